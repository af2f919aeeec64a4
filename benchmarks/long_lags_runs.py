"""The networks of docs/long-lags.md: the plan of what is trained, and the records of what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ostinato.apps.lab import Case, Result
from ostinato.apps.lab.experiment import Reach
from ostinato.apps.lab.settings import Training

Curve = tuple[tuple[int, float], ...]
"""(updates, error on the sequences watched during training) at each measurement."""


@dataclass(frozen=True)
class Row:
    """Networks that differ in their seed alone: one row of a table.

    updates  of Adam at most; a lag that is bridged ends the training earlier
    """

    task: str
    lag: int
    cell: str
    init: str
    updates: int
    learning_rate: float = 5e-3
    batch: int = 32
    seeds: tuple[int, ...] = (0, 1, 2)

    @property
    def training(self) -> Training:
        """The budget as the lab takes it."""
        return Training(updates=self.updates, batch=self.batch, learning_rate=self.learning_rate)

    @property
    def cases(self) -> tuple[Case, ...]:
        """One for each seed."""
        return tuple(Case(self.task, self.lag, self.cell, self.init, seed, self.training) for seed in self.seeds)


BUDGETS = {"temporal-order": (1_000, 1_000), "distractors": (1_500, 1_000), "adding": (2_500, 1_500)}
"""Task → updates at most of gated and of plain networks; the latter get more than any gated one needed."""
SHORT = {"temporal-order": 100, "distractors": 52, "adding": 100}
"""Task → a lag that Hochreiter and Schmidhuber have as well."""
GATED, PLAIN = (("gru", "chrono"), ("lstm", "chrono")), (("elman", "torch"), ("elman", "orthogonal"))


def plan() -> Iterator[Row]:
    """The rows in the order of the table."""
    for task, (gated, plain) in BUDGETS.items():
        for cell, init in GATED:
            yield Row(task, 1_000, cell, init, gated)
        for cell, init in PLAIN:
            yield Row(task, 1_000, cell, init, plain)
        yield Row(task, 1_000, "elman", "orthogonal", plain, learning_rate=1e-3, seeds=(0,))
    # The one plain network whose error fell within its budget, once more with three times as much.
    yield Row("distractors", 1_000, "elman", "torch", 3_000, seeds=(2,))
    for cell in ("gru", "lstm"):
        yield Row("temporal-order", 1_000, cell, "torch", 1_000, seeds=(0,))
    yield Row("temporal-order", 10_000, "gru", "chrono", 800, seeds=(0,))
    for cell, init in PLAIN:
        yield Row("temporal-order", 10_000, cell, init, 500, seeds=(0,))
    for task, lag in SHORT.items():
        for cell, init in GATED:
            yield Row(task, lag, cell, init, BUDGETS[task][0], seeds=(0,))


PLAN = tuple(plan())


@dataclass(frozen=True)
class Run:
    """A finished network."""

    case: Case
    result: Result
    curve: Curve
    machine: Mapping[str, str | int]

    @property
    def sequences(self) -> int:
        """How many sequences it has been trained on."""
        return self.result.updates * self.case.training.batch

    @property
    def line(self) -> str:
        """As JSON."""
        return json.dumps({**asdict(self), "curve": [list(point) for point in self.curve]}, allow_nan=False)


def case_of(entry: Mapping[str, Any]) -> Case:
    """The case that `asdict` made `entry` of."""
    return Case(**{**entry, "training": Training(**entry["training"])})


def run_of(entry: Mapping[str, Any], curve: Iterable[Sequence[float]]) -> Run:
    """A finished network from a line of the lab's record, and the errors measured during its training."""
    result = entry["result"]
    groups = tuple(tuple(group) for group in result["groups"])
    whole = Result(**{**result, "reach": Reach(**result["reach"]), "groups": groups})
    points = tuple((int(updates), float(error)) for updates, error in curve)
    return Run(case_of(entry["case"]), whole, points, entry["machine"])


def recorded(path: Path) -> list[Run]:
    """The runs of a file that `Run.line` wrote."""
    return [run_of(entry, entry["curve"]) for entry in _entries(path)]


class Curves:
    """A file in the folder of an experiment with the errors measured during training, one line for each."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "curves.jsonl"
        if self.path.exists():
            text = self.path.read_text(encoding="utf-8")
            # The half line of a crash: what is appended would stand on the same line.
            self.path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def add(self, case: Case, updates: int, error: float) -> None:
        """Appends a measurement; a case that was stopped before its first one has none."""
        if math.isfinite(error):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"case": asdict(case), "updates": updates, "error": error}) + "\n")

    def read(self) -> dict[Case, Curve]:
        """The measurements of each case by rising updates; what was measured twice, before and after a stop, once."""
        points: dict[Case, dict[int, float]] = {}
        for entry in _entries(self.path):
            points.setdefault(case_of(entry["case"]), {})[entry["updates"]] = entry["error"]
        return {case: tuple(sorted(errors.items())) for case, errors in points.items()}


def finished(folder: Path) -> list[Run]:
    """The runs that a folder of the lab has, with their curves."""
    curves = Curves(folder).read()
    runs = [run_of(entry, ()) for entry in _entries(folder / "runs.jsonl")]
    return [Run(run.case, run.result, curves.get(run.case, ()), run.machine) for run in runs]


def spend(folder: Path, minutes: float) -> None:
    """Adds a call's minutes of one core to the folder's record."""
    with (folder / "minutes.txt").open("a", encoding="utf-8") as file:
        file.write(f"{minutes}\n")


def spent(folder: Path) -> float:
    """Minutes of one core that all calls with this folder have used."""
    return sum(map(float, (folder / "minutes.txt").read_text(encoding="utf-8").split()))


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file, none where there is no file."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())
