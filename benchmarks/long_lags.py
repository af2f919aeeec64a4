"""Which cells bridge lags of a thousand and of ten thousand steps: trains networks and writes the tables that say it.

    python benchmarks/long_lags.py --write docs/long-lags.md

Trains the networks of `long_lags_runs.PLAN` as `ostinato lab lag` does, one for each core, with one thread each.
Finished ones are kept in the folder --out, so the same command goes on where --minutes or Ctrl-C stopped it. Then it
measures the memory of such training steps. `--recorded` writes from what was recorded, and trains and measures nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import long_memory
from long_lags_page import picture, tables
from long_lags_runs import PLAN, Curves, Run, finished, recorded, spend, spent
from report import fill

from ostinato.apps.environment import cores
from ostinato.apps.lab import Case
from ostinato.apps.lab.experiment import EVERY
from ostinato.apps.lab.record import Record
from ostinato.apps.lab.report import outcome
from ostinato.apps.lab.workers import in_parallel
from ostinato.lens.pictures import png

RESULTS = Path(__file__).with_name("results")
RUNS, COSTS = "long-lags.jsonl", "long-lags-costs.json"
PICTURE = "long-lags.png"


def train(cases: Sequence[Case], folder: Path, minutes: float, workers: int) -> bool:
    """Trains what the folder lacks and prints a line for each network; whether all are finished."""
    record, curves = Record(folder), Curves(folder)
    waiting = [case for case in cases if case not in record.finished]
    print(f"{len(cases) - len(waiting)} of {len(cases)} networks are finished.", flush=True)
    end, before = time.monotonic() + 60 * minutes, _processor_minutes()
    count = min(workers, len(waiting))
    try:
        with closing(in_parallel(waiting, folder, lambda: time.monotonic() > end, count)) as updates:  # type: ignore[type-var]
            for update in updates:
                # A run that was stopped between two measurements tells the last one again.
                if update.updates % EVERY == 0 or update.result is not None:
                    curves.add(update.case, update.updates, update.error)
                if update.result is not None:
                    record.add(update.case, update.result)
                    told = f"{outcome([update.result])} ({update.result.seconds:.0f} s)"
                    print(f"{update.case}, learning rate {update.case.training.learning_rate:g}: {told}", flush=True)
    finally:
        spend(folder, _processor_minutes() - before)
    return all(case in record.finished for case in cases)


def _processor_minutes() -> float:
    """Minutes of one core that this process and its finished children have used: a busy machine does not add to it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) / 60


@dataclass(frozen=True)
class Costs:
    """What the networks took: minutes of one core for all of them, and the memory of a training step."""

    minutes: float
    memory: long_memory.MemoryTable


def recorded_costs(path: Path) -> Costs:
    """The costs that `main` wrote to a file."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    return Costs(entry["minutes"], long_memory.table_of(entry["memory"]))


def write(page: Path, runs: Sequence[Run], costs: Costs) -> None:
    """Fills the tables of a page and writes its picture beside it."""
    for name, content in {**tables(runs, costs.minutes), "long-memory": long_memory.table(costs.memory)}.items():
        fill(page, name, content)
    (page.parent / "img" / PICTURE).write_bytes(png(picture(runs)))


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where everything is finished and written; 1 where the time was up before."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30.0, help="for the training; the same command goes on then")
    options.add_argument("--workers", type=int, default=cores(), help="networks at a time")
    options.add_argument("--out", type=Path, default=Path("ostinato-lab-long"), help="folder of what is finished")
    options.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    options.add_argument("--write", type=Path, metavar="PAGE", help="a page with the markers of the tables")
    options.add_argument("--recorded", action="store_true", help="write from the records; train nothing")
    chosen = options.parse_args(arguments)
    # The longest lag first, so that no core is left with it at the end.
    cases = tuple(case for row in sorted(PLAN, key=lambda row: -row.lag) for case in row.cases)
    if chosen.recorded:
        runs, costs = recorded(chosen.results / RUNS), recorded_costs(chosen.results / COSTS)
    else:
        if not train(cases, chosen.out, chosen.minutes, chosen.workers):
            print("The time is up. The same command goes on with the others.")
            return 1
        runs = sorted((r for r in finished(chosen.out) if r.case in cases), key=lambda run: cases.index(run.case))
        costs = Costs(spent(chosen.out), long_memory.measure())
    if chosen.write:
        write(chosen.write, runs, costs)
        (chosen.results / RUNS).write_text("".join(run.line + "\n" for run in runs), encoding="utf-8")
        text = json.dumps(asdict(costs), indent=1) + "\n"
        (chosen.results / COSTS).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
