"""What a task is made of: encoding, network, loss, predictions, metrics and baselines.

Letters: N rows, B rows of a batch, T steps, C features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, nn

from ..data.examples import Examples
from ..options import NetworkOptions

IGNORED = -100
"""The target of a step that adds nothing to the loss, as `torch.nn.functional.cross_entropy` has it."""


@dataclass(frozen=True)
class Batch:
    """Some rows, ready for the network."""

    x: Mapping[str, Tensor]
    """The network's inputs by name, such as words [T, B] int64; padding past a row's length is never read."""
    lengths: Tensor
    """[B] int64 on the CPU."""
    target: Tensor | None
    """As the task's loss takes it."""
    weight: int
    """The units that the loss is a mean over: rows, tokens of a tagger, characters of a language model."""
    resets: Tensor | None = None
    """bool [T, B] of a window of a stream: True where a new document begins. The states of all other rows are carried
    over from the window before. None of rows, each of which begins with the initial state."""
    begins: bool = False
    """Whether this window is the first of its streams."""


@dataclass(frozen=True)
class Encoded:
    """Rows as numbers, not yet in batches."""

    rows: Sequence[Any]
    """[N]: the task's own record of a row."""
    lengths: np.ndarray
    """[N] int64: steps of each row, by which batches are formed."""
    streams: Stream | None = None
    """Of a text that is trained on as parallel streams instead of as rows; `rows` and `lengths` are those of an
    evaluation."""
    training: Encoded | None = None
    """What a training reads instead of the rows, where these are too long for it; None: the rows."""


@dataclass(frozen=True)
class Stream:
    """A long text, which B parallel streams read side by side, window after window."""

    units: np.ndarray
    """[N] unsigned or int32: the entry of each unit; may be a memory map of a file."""
    begins: np.ndarray
    """[D] int64: where the documents begin, rising, the first at 0. No state crosses from one to the next."""


@dataclass(frozen=True)
class Predictions:
    """What a model, or a baseline, says about N rows."""

    values: Sequence[Any]
    """[N]: a class, a tuple of labels, a number, a list of tags, a translation or transcript, the nats of each unit of
    a text or of each frame of a piece [T], or the median forecast [H, K] of each of H steps and K series."""
    probabilities: Any = None
    """[N, K] float64 for classes and labels; [N, 1] for transcripts; a list of [T, K] for tags and for the keys of
    pieces; None for others."""
    quantiles: Any = None
    """float64 [N, H, K, Q] of forecasts, rising along Q; None for others."""
    ranks: Any = None
    """A list of int64 [T] of missing units of a text: how many others are more probable; None for others."""
    alignments: Any = None
    """A list of float32 [U, T] of outputs that are texts: the weight of each step of the input for each of the U units
    of the output; None for others."""

    def take(self, rows: Sequence[int] | np.ndarray) -> Predictions:
        """The predictions of some rows, in this order."""
        chosen = [int(row) for row in rows]

        def pick(found: Any) -> Any:
            if isinstance(found, np.ndarray):
                return found[chosen]
            return None if found is None else [found[row] for row in chosen]

        picked = [pick(found) for found in (self.probabilities, self.quantiles, self.ranks, self.alignments)]
        return Predictions([self.values[row] for row in chosen], *picked)


Predict = Callable[[Encoded], Predictions]
"""A network's predictions of encoded rows."""


@dataclass(frozen=True)
class Metric:
    """One number about predictions, and how to compute it again on resampled units."""

    name: str
    """accuracy, macro_f1, mae, …"""
    value: float
    low: float
    """The ends of the 95 % interval, by resampling independent units."""
    high: float
    n: int
    """Units that were resampled."""
    higher_is_better: bool


class Baseline(Protocol):
    """A model that the network has to beat."""

    name: str
    """As the table shows it."""
    trivial: bool
    """Whether it looks at no input: majority, mean."""
    without_order: bool
    """Whether the order of the steps changes nothing."""
    note: str
    """What `fit` chose or left out, in a sentence or a part of one; empty where there is nothing to say."""

    def fit(self, train: Examples) -> Baseline: ...
    def predict(self, examples: Examples) -> Predictions: ...


class Task(Protocol):
    """One task, after `encode_from` has seen the training rows. Everything that it keeps is JSON and tensors.

    `ScoredTask` of base.py has the metrics of a task that counts them in a tally, and `OptionalParts` there the parts
    that a task may leave out, which are marked here.
    """

    name: str
    metric: str
    """The name of the metric that stops the fit early and chooses the weights."""
    classes: Sequence[str]
    """[K]; empty for numbers. Optional."""
    defaults: ClassVar[Mapping[str, Any]]
    """Options of the network and the fit, by name, whose default is another for this task. Optional."""
    writes: ClassVar[bool]
    """Whether the networks write texts, unit by unit, by `step`; the task then has `units`. Optional: False."""
    notes: Sequence[str]
    """What was chosen from the training rows, a sentence each. Optional: none."""

    @property
    def rows_at_once(self) -> int | None:
        """Rows of a batch of an evaluation, where the usual number takes too much memory. Optional: None."""

    @property
    def most_judged(self) -> int | None:
        """Validation rows, evenly spaced, that the evaluations of a fit read at most. Optional: None, all."""

    @property
    def passes(self) -> int:
        """Evaluations of a fit that judging as many rows takes: of several passes, of a longer search. Optional: 1."""

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Task:
        """The task with its vocabularies, labels and scalers, all from training rows."""

    def encode(self, examples: Examples) -> Encoded: ...
    def part_notes(self, examples: Examples, part: str) -> list[str]:
        """What `encode` cuts or does not know in the rows of a part, a sentence each. Optional: none."""

    def private(self) -> tuple[Task, list[str]]:
        """(the task as a private folder has it, without values of rows; what to note about it). Optional: itself."""

    def recall(self, train: Examples) -> None:
        """Finds what `private` has left out again, from the training rows. Optional."""

    def balance(self, train: Examples) -> None:
        """Weighs the classes, so that all count alike in the loss. Optional: refused."""

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch: ...
    def network(self, options: NetworkOptions) -> nn.Module:
        """An untrained network; called as network(batch.x, batch.lengths) → outputs."""

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The mean over `batch.weight` units, in nats or in squared units of the scaled target."""

    def decode(self, outputs: Any, batch: Batch) -> Predictions: ...
    def answer(self, network: nn.Module, outputs: Any, batch: Batch, quick: bool) -> Predictions:
        """What the network says of a batch, where that needs more than its outputs: a search. Optional: `decode`.

        quick  whether this is an evaluation inside a fit, which may search less
        """

    def search_with(self, network: nn.Module, beam: int, where: str) -> None:
        """Sets how many hypotheses the search of `answer` follows. Optional: refused."""

    def calibrate(self, valid: Examples, predict: Predict) -> None:
        """Corrects what `decode` gives, by the validation rows; called once, after the fit. Optional: nothing."""

    def metrics(self, truth: Examples, predictions: Predictions, seed: int = 0) -> list[Metric]:
        """All metrics of the task, the one named by `metric` first."""

    def score(self, truth: Examples, predictions: Predictions) -> float:
        """The value of `metric` alone, without an interval."""

    def gain(self, truth: Examples, network: Predictions, baseline: Predictions, seed: int = 0) -> Metric:
        """How much better the network is than a baseline by `metric`, resampled in pairs of the same units."""

    def gain_of_runs(
        self, truth: Examples, ours: Sequence[Predictions], theirs: Sequence[Predictions], seed: int = 0
    ) -> Metric:
        """The same of the means over several runs of two models."""

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """What the task counts beside its metrics, as JSON holds it: by class, the confusion matrix."""

    def baseline_details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Optional. What of `details` is counted for a baseline, too."""

    def baselines(self) -> list[Baseline]:
        """Unfitted, the trivial ones first."""

    def metric_of_writing(self, network: nn.Module, examples: Examples) -> Metric | None:
        """A metric of the texts that the network writes for rows, beside those of `metrics`. Optional: None."""

    def without_condition(self, examples: Examples, predict: Predict) -> tuple[Predictions, str] | None:
        """What the network says of rows without their condition, and a note: a row of the table. Optional: None."""

    def pieces(self, text: str) -> list[str]:
        """[T]: the units of a text, as the report page shows them. Optional: its characters."""

    def source_pieces(self, text: str) -> list[str]:
        """[T]: the units of the source of a translation, as the page shows them. Optional: its characters."""

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        """File name → content: vocabulary.json, labels.json, scaling.json, as the task has them."""

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Task: ...
