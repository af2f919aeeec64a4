"""A language model: the probability of each unit of a text after those before it.

Letters: N rows (passages), B rows of a batch, T steps, V entries of the vocabulary, C units of a context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.choose import for_passages
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import IGNORED, Baseline, Batch, Encoded, Predictions
from .language_network import LanguageNetwork
from .metrics import by_position, metric_named, tally_of_nats
from .passage_units import PassageUnits, UnitsOfPassage
from .units import TextUnits

MOST_SCORES = 1 << 26
"""Numbers of the scores [T, B, V] of an evaluation that are in memory at a time."""
USUAL_STEPS = 2_500
"""About the steps of a passage of characters with its context."""


class LanguageModel(ScoredTask):
    """The task of the next unit, in streams of a text."""

    name = "language-model"
    writes = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "cell": "gru",
        "hidden": 512,
        "layers": 1,
        "both_directions": False,
        "embedding": 64,
        "dropout": 0.1,
        "vocabulary": 10_000,
        "batch": 16,
        "learning_rate": 3e-3,
    }

    def __init__(self, units: TextUnits) -> None:
        self.units = units
        self.metric = metric_named("nats", units.noun)
        self.passages = PassageUnits(units)

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> LanguageModel:
        """With the units of the training passages."""
        if train.kind != "passage":
            remedy = "Give .txt files."
            raise InputError(phrase("language model", "the training rows", "passages of a text", train.kind, remedy))
        targets_of(train, "language model")
        return cls(TextUnits.of((passage.text for passage in train.inputs), options))

    @property
    def rows_at_once(self) -> int:
        """Rows of a batch of an evaluation; the number changes no result."""
        return max(1, min(64, MOST_SCORES // (USUAL_STEPS * len(self.units))))

    def encode(self, examples: Examples) -> Encoded:
        """Passages as rows, and as the streams that a training reads; both encode a passage only once."""
        found = self.passages.encoded(examples.inputs)
        lengths = np.array([row.steps for row in found.rows], np.int64)
        return Encoded(found.rows, lengths, found.stream)

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        """Each passage after up to C units of its context, which are read and not scored."""
        chosen: list[UnitsOfPassage] = [encoded.rows[row] for row in rows]
        longest = max(row.steps for row in chosen)
        units = np.zeros((longest, len(chosen)), np.int64)
        target = np.full((longest, len(chosen)), IGNORED, np.int64)
        for place, row in enumerate(chosen):
            read, context = row.read(), len(row.before)
            units[: len(read) - 1, place] = read[:-1]
            target[context - 1 : len(read) - 1, place] = read[context:]
        lengths = torch.tensor([row.steps for row in chosen])
        weight = int((target != IGNORED).sum())
        return Batch({"units": torch.from_numpy(units)}, lengths, torch.from_numpy(target), weight)

    def network(self, options: NetworkOptions) -> nn.Module:
        return LanguageNetwork(len(self.units), options)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Nats: the mean over units of -log p."""
        assert batch.target is not None  # the units are their own targets
        losses = F.cross_entropy(outputs.flatten(0, 1), batch.target.flatten(), ignore_index=IGNORED, reduction="sum")
        return losses / max(1, batch.weight)

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        """The nats of every unit of each passage, float64 [T]."""
        assert batch.target is not None
        nats = F.cross_entropy(outputs.flatten(0, 1), batch.target.flatten(), ignore_index=IGNORED, reduction="none")
        whole = nats.view_as(batch.target).cpu().double().numpy()
        scored = (batch.target != IGNORED).cpu().numpy()
        return Predictions([whole[scored[:, row], row] for row in range(whole.shape[1])])

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """Sums over passages."""
        truth_of(truth, predictions)
        return tally_of_nats(truth.inputs, predictions.values, self.units.noun)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Counts of units, characters and bytes, unknown units, and nats by the place in a passage."""
        unknown = sum(int((self.units.encode(passage.text) == 0).sum()) for passage in truth.inputs)
        texts = [passage.text for passage in truth.inputs]
        return {
            "unit": self.units.unit,
            "units": sum(len(nats) for nats in predictions.values),
            "unknown_units": unknown,
            "characters": sum(map(len, texts)),
            "bytes": sum(len(text.encode("utf-8", "surrogatepass")) for text in texts),
            "entries": len(self.units),
            "by_position": by_position(predictions.values, self.metric),
        }

    def pieces(self, text: str) -> list[str]:
        """[T] the units of a text, as a page shows them."""
        return self.units.pieces(self.units.encode(text))

    def baselines(self) -> list[Baseline]:
        return for_passages(self.units)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        return {self.units.file: self.units.to_json()}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> LanguageModel:
        content = files.get("tokenizer.json") or files["vocabulary.json"]
        return cls(TextUnits.from_json(content))
