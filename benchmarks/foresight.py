"""Which runs of the lab will learn, foretold: correlations one task left out at a time, and what an early word saves.

    python benchmarks/foresight.py                          both tables into docs/lab-lag.md, and their picture
    python benchmarks/foresight.py --what correlations      the first table alone, printed
    python benchmarks/foresight.py --what savings           the second
    python benchmarks/foresight.py --train                  trains the runs of the test set that the record lacks
    python benchmarks/foresight.py --measure                measures the runs that the record lacks

The tables are made from records: of the 136 runs of the lab's default experiment, of the test set, and of what was
measured in both. Delete a record to make it anew; training takes about 25 minutes on two cores, measuring 5.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import foresight_runs
import numpy as np
from foresight_picture import AT, foresight_picture
from foresight_rules import EARLY, RULES, judged, line_of, scores, table
from foresight_runs import CHOSEN_ON, TEST, Run
from foresight_savings import Savings, at_speed_of, savings, stopped_left_out, threshold
from report import fill, markdown_table

from ostinato.apps.lab import Settings
from ostinato.apps.lab.record import finished_run
from ostinato.apps.lab.report import markdown, overview
from ostinato.lens.render.plots.style import png

DOCS = Path(__file__).parent.parent / "docs"
LOST = (0.0, 0.02, 0.05, 0.1)
"""Shares of the good runs of the other tasks that a threshold may lose: the rows of the second table."""


def correlations(chosen: Sequence[Run], test: Sequence[Run]) -> list[str]:
    """Lines of the first table: rank correlations on the runs of choice, and on the test set."""
    rows = []
    for names in RULES:
        left_out = judged(chosen, scores(chosen, names))
        once = judged(test, scores(test, names, chosen))
        within = left_out.by_task.values()
        values = [left_out.together, float(np.nanmean(list(within))), *within, once.together]
        rows.append([" + ".join(names), *map(_two, values)])
    tasks = dict.fromkeys(run.case.task for run in chosen)
    headings = ["measure or rule", "together", "mean of tasks", *tasks, "test set"]
    return markdown_table(headings, rows)


def _two(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def trade_off(chosen: Sequence[Run], test: Sequence[Run]) -> list[str]:
    """Lines of the second table: what the early word stops, loses and saves for several thresholds."""
    values = table(chosen, EARLY)
    good = np.array([run.result.bridged for run in chosen])
    line = line_of(chosen, EARLY)
    rows = []
    for lost in LOST:
        bound = threshold(line.score(values), good, lost)
        stopped = scores(test, EARLY, chosen) < bound
        left_out = savings(chosen, stopped_left_out(chosen, EARLY, values, lost))
        rows.append([f"{lost:.0%}", f"{bound:.3f}", *_row(left_out), *_row(savings(test, stopped))])
    columns = ["stopped", "lost", "minutes saved"]
    headings = ["may lose", "score below", *columns, *(f"test set: {column}" for column in columns)]
    return markdown_table(headings, rows)


def _row(found: Savings) -> list[str]:
    return [
        f"{found.stopped} of {found.hopeless}",
        f"{found.lost} of {found.good}",
        f"{found.saved:.1f} of {found.minutes_hopeless:.1f} ({found.saved_share:.0%})",
    ]


def misled(runs: Sequence[Run], stopped: np.ndarray) -> str:
    """The runs that an early word stops wrongly, by name."""
    lost = [str(run.case) for run, cut in zip(runs, stopped, strict=True) if cut and run.result.bridged]
    return "; ".join(lost) or "none"


def write_lab(chosen: Sequence[Run]) -> None:
    """The page of recorded results, and the table of lags in the document."""
    settings, results = Settings(), {run.case: run.result for run in chosen}
    lines = CHOSEN_ON.read_text(encoding="utf-8").splitlines()
    machines: list[Mapping[str, str | int]] = []
    for machine in (finished_run(line)[2] for line in lines):
        machines += [] if machine in machines else [machine]
    heading = "# The lab's default experiment, as `ostinato lab lag` wrote it\n\n"
    CHOSEN_ON.with_suffix(".md").write_text(heading + markdown(settings, results, machines), encoding="utf-8")
    fill(DOCS / "lab-lag.md", "bridged", "\n".join(markdown_table(*overview(settings, results))))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", choices=("correlations", "savings"), help="print one table and write nothing")
    parser.add_argument("--train", action="store_true", help="train the runs of the test set")
    parser.add_argument("--measure", action="store_true", help="measure the runs that the record lacks")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--folder", type=Path, default=Path("ostinato-lab-lag-test"), help="of unfinished trainings")
    given = parser.parse_args()
    if given.train:
        foresight_runs.train(given.folder, given.workers)
    if given.measure:
        foresight_runs.measure(given.workers)
    if given.train or given.measure:
        return
    chosen = foresight_runs.read(CHOSEN_ON)
    test = at_speed_of(chosen, foresight_runs.read(TEST))
    if given.what != "savings":
        first = correlations(chosen, test)
        print("\n".join(first))
    if given.what != "correlations":
        second = trade_off(chosen, test)
        print("\n".join(second))
        line, values = line_of(chosen, EARLY), table(chosen, EARLY)
        print("score:", line)
        print("stopped wrongly:", misled(chosen, stopped_left_out(chosen, EARLY, values, AT)))
        bound = threshold(line.score(values), np.array([run.result.bridged for run in chosen]), AT)
        print("stopped wrongly in the test set:", misled(test, line.score(table(test, EARLY)) < bound))
    if given.what is None:
        write_lab(chosen)
        fill(DOCS / "lab-lag.md", "foresight", "\n".join(first))
        fill(DOCS / "lab-lag.md", "early word", "\n".join(second))
        (DOCS / "img" / "lab-lag-early.png").write_bytes(png(foresight_picture(chosen, test)))


if __name__ == "__main__":
    main()
