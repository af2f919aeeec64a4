"""The runs of the foresight: the 136 that measures are chosen on, the test set, their records, and what is measured."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ostinato.apps.lab import Case, Result, Settings
from ostinato.apps.lab.early import Moment, moments
from ostinato.apps.lab.predictive_value import learned
from ostinato.apps.lab.record import Record, finished_run
from ostinato.apps.lab.workers import in_parallel

RESULTS = Path(__file__).parent / "results"
CHOSEN_ON, TEST, MEASURED = RESULTS / "lab-lag.jsonl", RESULTS / "lab-lag-test.jsonl", RESULTS / "foresight.jsonl"
LAGS, SEEDS = (20, 60), (1, 2)
"""Of the test set, with all tasks and variants of the lab's default."""


@dataclass(frozen=True)
class Run:
    """A finished run, and what was measured in it before and early in training."""

    case: Case
    result: Result
    moments: tuple[Moment, ...]

    @property
    def learned(self) -> float:
        """How well it went, from 0 to 2: `predictive_value.learned`."""
        return learned(self.case, self.result)


def chosen_cases() -> tuple[Case, ...]:
    """The lab's default experiment."""
    return Settings().cases


def test_cases() -> tuple[Case, ...]:
    """The test set."""
    return tuple(case for case in Settings(lags=LAGS, seeds=max(SEEDS) + 1).cases if case.seed in SEEDS)


def read(results: Path) -> tuple[Run, ...]:
    """The finished runs of a record for which there are measurements, in the order of the record."""
    found, runs = _measured(), []
    for line in results.read_text(encoding="utf-8").splitlines():
        case, result, _ = finished_run(line)
        measured = found.get(_key(case))
        if measured is None:
            raise SystemExit(f"{MEASURED.name} lacks {case}; python benchmarks/foresight.py --measure makes it anew.")
        runs.append(Run(case, result, tuple(map(_moment, measured))))
    return tuple(runs)


def train(folder: Path, workers: int) -> None:
    """Trains the test set, goes on where an earlier call was stopped, and writes its record."""
    if TEST.exists() and not (folder / "runs.jsonl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "runs.jsonl").write_text(TEST.read_text(encoding="utf-8"), encoding="utf-8")
    record = Record(folder)
    waiting = [case for case in test_cases() if case not in record.finished]
    with closing(in_parallel(waiting, folder, lambda: False, workers)) as updates:  # type: ignore[type-var]
        for update in updates:
            if update.result is not None:
                record.add(update.case, update.result)
                print(f"{len(record.finished)}: {update.case}: {update.result.error}", flush=True)
    TEST.write_text((folder / "runs.jsonl").read_text(encoding="utf-8"), encoding="utf-8")


def measure(workers: int) -> None:
    """Measures the cases of both sets that the record lacks, and adds them to it."""
    known = _measured() if MEASURED.exists() else {}
    cases = [case for case in (*chosen_cases(), *test_cases()) if _key(case) not in known]
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, torch.set_num_threads, (1,)) as pool, MEASURED.open("a", encoding="utf-8") as file:
        for case, found in zip(cases, pool.imap(moments, cases), strict=True):
            line = {"case": asdict(case), "moments": [_plain(moment) for moment in found]}
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(case, flush=True)


def _measured() -> dict[str, list[dict[str, float | str]]]:
    """Case → its moments, of the record."""
    lines = [json.loads(line) for line in MEASURED.read_text(encoding="utf-8").splitlines()]
    return {json.dumps(line["case"]): line["moments"] for line in lines}


def _key(case: Case) -> str:
    return json.dumps(asdict(case))


def _plain(moment: Moment) -> dict[str, float | str]:
    """A moment as JSON has it, with six digits; inf and NaN as texts."""
    written: dict[str, float | str] = {}
    for name, value in asdict(moment).items():
        short = float(f"{value:.6g}")
        written[name] = value if isinstance(value, int) else short if math.isfinite(short) else str(short)
    return written


def _moment(written: Mapping[str, float | str]) -> Moment:
    values: dict[str, Any] = {name: float(value) for name, value in written.items()}
    return Moment(**values)
