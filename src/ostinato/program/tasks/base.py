"""What tasks share: the parts that most of them leave as they are, and the metrics of a tally."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from ...errors import InputError, phrase
from ..data.examples import Examples
from .intervals import Tally
from .over_seeds import gain_over_seeds
from .own_options import TASKS
from .scored import gain_of, metrics_of
from .task import Batch, Metric, Predict, Predictions


class OptionalParts:
    """The optional parts of `Task`, as a task has them that does not define them."""

    name: str
    classes: Sequence[str] = ()
    defaults: ClassVar[Mapping[str, Any]] = {}
    writes: ClassVar[bool] = False
    notes: Sequence[str] = ()
    decode: Callable[[Any, Batch], Predictions]

    @property
    def rows_at_once(self) -> int | None:
        return None

    @property
    def most_judged(self) -> int | None:
        return None

    @property
    def passes(self) -> int:
        return 1

    def private(self) -> tuple[Any, list[str]]:
        return self, []

    def recall(self, train: Examples) -> None:
        return None

    def part_notes(self, examples: Examples, part: str) -> list[str]:
        return []

    def balance(self, train: Examples) -> None:
        """Raises InputError."""
        remedy = "Leave --class-weights out."
        raise InputError(phrase("fit", "class_weights", f"none for the task {self.name}", "balanced", remedy))

    def answer(self, network: nn.Module, outputs: Any, batch: Batch, quick: bool) -> Predictions:
        return self.decode(outputs, batch)

    def search_with(self, network: nn.Module, beam: int, where: str) -> None:
        """Raises InputError."""
        remedy = f"It belongs to the task {' or '.join(TASKS['beam'])}."
        raise InputError(phrase(where, "--beam", f"left out, as the task is {self.name}", "it", remedy))

    def calibrate(self, valid: Examples, predict: Predict) -> None:
        return None

    def metric_of_writing(self, network: nn.Module, examples: Examples) -> Metric | None:
        return None

    def without_condition(self, examples: Examples, predict: Predict) -> tuple[Predictions, str] | None:
        return None

    def baseline_details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        return {}

    def pieces(self, text: str) -> list[str]:
        return list(text)

    def source_pieces(self, text: str) -> list[str]:
        return list(text)


class ScoredTask(OptionalParts, ABC):
    """A task whose metrics are functions of sums over independent units."""

    metric: str

    @abstractmethod
    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """The sums of N rows, and the metrics as functions of them."""

    def metrics(self, truth: Examples, predictions: Predictions, seed: int = 0) -> list[Metric]:
        """All metrics of the task, its own first, with intervals by resampling units."""
        return metrics_of(self.tally(truth, predictions), self.metric, seed)

    def score(self, truth: Examples, predictions: Predictions) -> float:
        """The task's own metric, without an interval."""
        return self.tally(truth, predictions).value(self.metric)

    def gain(self, truth: Examples, network: Predictions, baseline: Predictions, seed: int = 0) -> Metric:
        """How much better the network is than a baseline on the same rows, by the task's own metric."""
        return gain_of(self.tally(truth, network), self.tally(truth, baseline), self.metric, seed)

    def gain_of_runs(
        self, truth: Examples, ours: Sequence[Predictions], theirs: Sequence[Predictions], seed: int = 0
    ) -> Metric:
        """How much better the mean of some runs is than that of others on the same rows, by the task's own metric."""
        first, second = ([self.tally(truth, found) for found in side] for side in (ours, theirs))
        return gain_over_seeds(first, second, self.metric, seed)
