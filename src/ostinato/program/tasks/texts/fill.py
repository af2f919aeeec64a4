"""Filling gaps: the probability of each unit of a text after those before it and before those after it.

Letters: N rows (passages), B rows of a batch, T steps, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.choose import for_gaps
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import IGNORED, Baseline, Batch, Encoded, Predictions
from .fill_metrics import fill_metric, tally_of_gaps
from .fill_network import FillNetwork
from .passage_units import PassageUnits
from .units import TextUnits

SPAN = 64
"""Units of a row of a training at most: passages are cut into runs of about equal length, each with two edges."""


class Fill(ScoredTask):
    """The task of a missing unit between two contexts."""

    name = "fill"
    defaults: ClassVar[Mapping[str, Any]] = {
        "cell": "lstm",
        "hidden": 256,
        "layers": 1,
        "both_directions": True,
        "embedding": 64,
        "dropout": 0.1,
        "unit": "word",
        "vocabulary": 10_000,
        "batch": 16,
        "learning_rate": 4e-3,
    }

    def __init__(self, units: TextUnits) -> None:
        self.units = units
        self.metric = fill_metric("nats", units.noun)
        self.passages = PassageUnits(units)

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Fill:
        """With the units of the training passages."""
        if train.kind != "passage":
            remedy = "Give .txt files."
            raise InputError(phrase("fill", "the training rows", "passages of a text", train.kind, remedy))
        targets_of(train, "fill")
        return cls(TextUnits.of((passage.text for passage in train.inputs), options))

    def encode(self, examples: Examples) -> Encoded:
        """Passages as rows, and the runs of them that a training reads."""
        rows = [row.own for row in self.passages.encoded(examples.inputs).rows]
        runs = [run for row in rows for run in np.array_split(row, -(-len(row) // SPAN))]
        return Encoded(rows, _lengths(rows), training=Encoded(runs, _lengths(runs)))

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        """Runs of units from both ends; every unit is a target."""
        chosen = [encoded.rows[row] for row in rows]
        shape = (max(map(len, chosen)), len(chosen))
        edge = len(self.units)
        before, after, target = np.full(shape, edge), np.full(shape, edge), np.full(shape, IGNORED)
        for place, own in enumerate(chosen):
            before[1 : len(own), place] = own[:-1]
            after[1 : len(own), place] = own[:0:-1]
            target[: len(own), place] = own
        x = {"before": torch.from_numpy(before), "after": torch.from_numpy(after)}
        lengths = torch.tensor([len(own) for own in chosen])
        return Batch(x, lengths, torch.from_numpy(target), int(lengths.sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return FillNetwork(len(self.units), options)

    def loss(self, outputs: Any, batch: Batch) -> torch.Tensor:
        """Nats: the mean over units of -log p."""
        assert batch.target is not None  # the units are their own targets
        return outputs.nats(batch.target).sum() / max(1, batch.weight)

    def decode(self, outputs: Any, batch: Batch) -> Predictions:
        """The nats of every unit of each passage, float64 [T], and its rank, int64 [T]."""
        assert batch.target is not None
        rows = torch.nonzero(batch.target != IGNORED)[:, 1].cpu().numpy()
        nats = outputs.nats(batch.target).cpu().double().numpy()
        ranks = outputs.ranks(batch.target).cpu().numpy()
        each = range(len(batch.lengths))
        return Predictions([nats[rows == row] for row in each], ranks=[ranks[rows == row] for row in each])

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """Sums over passages."""
        truth_of(truth, predictions)
        return tally_of_gaps(predictions.values, predictions.ranks, self.units.noun)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Counts of units, and of unknown ones among them."""
        unknown = sum(int((self.units.encode(passage.text) == 0).sum()) for passage in truth.inputs)
        units = sum(len(nats) for nats in predictions.values)
        return {"unit": self.units.unit, "units": units, "unknown_units": unknown, "entries": len(self.units)}

    def pieces(self, text: str) -> list[str]:
        """[T] the units of a text, as a page shows them."""
        return self.units.pieces(self.units.encode(text))

    def baselines(self) -> list[Baseline]:
        return for_gaps(self.units)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        return {self.units.file: self.units.to_json()}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Fill:
        content = files.get("tokenizer.json") or files["vocabulary.json"]
        return cls(TextUnits.from_json(content))


def _lengths(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([len(row) for row in rows], np.int64)
