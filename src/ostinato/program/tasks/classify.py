"""Classification: a class, or any number of labels, of a row.

Letters: N rows, B rows of a batch, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError, phrase
from ..data.examples import Examples
from ..options import NetworkOptions
from .base import ScoredTask
from .baselines.choose import for_rows
from .inputs import SeriesInputs, TextInputs, inputs_from, inputs_of
from .intervals import Tally
from .metrics import details_of_classes, details_of_labels, indicators, share_of, tally_of_classes, tally_of_labels
from .networks import RowNetwork
from .scored import targets_of, truth_of
from .task import Baseline, Batch, Encoded, Predictions

UNSEEN = -1
"""The target of a class that the training rows lack; its rows add nothing to the loss."""
UNBALANCED = 2.0
"""The largest class by the median class from which on macro-F1 is the metric instead of accuracy."""


class Classify(ScoredTask):
    """The task of one class a row, or of several labels a row where the targets are tuples."""

    name = "classify"

    def __init__(
        self, inputs: TextInputs | SeriesInputs, classes: Sequence[str], counts: Sequence[int], several: bool
    ) -> None:
        self.inputs, self.classes, self.counts, self.several = inputs, classes, counts, several
        self.place = {name: k for k, name in enumerate(classes)}
        unbalanced = share_of(dict(zip(classes, counts))) > UNBALANCED
        self.metric = "micro_f1" if several else "macro_f1" if unbalanced else "accuracy"
        self.class_weights: Tensor | None = None

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Classify:
        targets = targets_of(train, "classify")
        several = train.target_kind == "labels"
        counts = _counts(targets, several)
        if len(counts) < (1 if several else 2):
            expected = "labels" if several else "of at least two classes"
            received = f"only {next(iter(counts))!r}" if counts else "none"
            remedy = "There is nothing to tell apart: check the target column."
            raise InputError(phrase("classify", "the training rows", expected, received, remedy))
        classes = sorted(str(name) for name in counts)
        return cls(inputs_of(train, options), classes, [counts[c] for c in classes], several)

    def balance(self, train: Examples) -> None:
        """Weighs each class by N / (K · rows of the class), so that all classes count alike in the loss.

        Several labels a row: a label that is there counts (N - rows) / rows times.
        """
        found = _counts(targets_of(train, "classify"), self.several)
        counts = torch.tensor([found[c] for c in self.classes], dtype=torch.float32).clamp(min=1)
        rows = float(len(train))
        weights = (rows - counts).clamp(min=1) if self.several else torch.full_like(counts, rows / len(counts))
        self.class_weights = weights / counts

    def encode(self, examples: Examples) -> Encoded:
        encoded = self.inputs.encode(examples)
        if examples.targets is None:
            return Encoded([(row, None) for row in encoded.rows], encoded.lengths)
        return Encoded(list(zip(encoded.rows, map(self._target, examples.targets))), encoded.lengths)

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.from_numpy(encoded.lengths[np.asarray(rows, np.int64)])
        x = self.inputs.tensors([row for row, _ in chosen])
        targets = [target for _, target in chosen]
        target = None if any(t is None for t in targets) else torch.from_numpy(np.array(targets))
        return Batch(x, lengths, target, len(chosen))

    def network(self, options: NetworkOptions) -> nn.Module:
        return RowNetwork(self.inputs, options, len(self.classes))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Nats: the mean over rows of -log p of the class; of several labels, of the sum over labels."""
        assert batch.target is not None  # only rows with targets are trained on
        weights = None if self.class_weights is None else self.class_weights.to(outputs)
        if not self.several:
            losses = F.cross_entropy(outputs, batch.target, weights, ignore_index=UNSEEN, reduction="none")
            return losses.sum() / batch.weight
        losses = F.binary_cross_entropy_with_logits(outputs, batch.target, reduction="none", pos_weight=weights)
        return losses.sum(1).sum() / batch.weight

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        scores = outputs.detach().to("cpu", torch.float64)
        probabilities = (torch.sigmoid(scores) if self.several else torch.softmax(scores, -1)).numpy()
        return Predictions(said(probabilities, self.classes, self.several), probabilities)

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """What the predictions of N rows got right, by unit."""
        targets: Any = truth_of(truth, predictions)
        count = tally_of_labels if self.several else tally_of_classes
        return count(targets, predictions.values, predictions.probabilities, self.classes, truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """By class, and the confusion matrix."""
        targets: Any = truth_of(truth, predictions)
        return (details_of_labels if self.several else details_of_classes)(targets, predictions.values, self.classes)

    def baselines(self) -> list[Baseline]:
        return for_rows(self.inputs.kind, "labels" if self.several else "class", self.inputs.unit)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        labels = {"classes": self.classes, "counts": self.counts, "several": self.several}
        return {self.inputs.file: self.inputs.to_json(), "labels.json": labels}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Classify:
        labels = files["labels.json"]
        classes, counts = [str(c) for c in labels["classes"]], [int(n) for n in labels["counts"]]
        return cls(inputs_from(files), classes, counts, bool(labels["several"]))

    def _target(self, target: Any) -> Any:
        """The number of a class, -1 for one that the training rows lack; float32 [K] of several labels."""
        if self.several:
            known = [name for name in target if name in self.place]
            return indicators([known], self.classes)[0].astype(np.float32)
        return self.place.get(target, UNSEEN)


def said(probabilities: np.ndarray, classes: Sequence[str], several: bool) -> list[Any]:
    """The class of the highest probability, or the labels above one half, of each row [N, K]."""
    if several:
        return [tuple(c for c, p in zip(classes, row) if p > 0.5) for row in probabilities]
    return [classes[int(k)] for k in probabilities.argmax(1)]


def _counts(targets: Sequence[Any], several: bool) -> Counter[str]:
    """Rows of each class, or of each label."""
    return Counter(str(name) for row in targets for name in (row if several else (row,)))
