"""Generation of whole items, such as names or captions, from the values of columns, from numbers, or from nothing.

Letters: N rows, B rows of a batch, T steps, V entries of the vocabulary, R combinations of values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.examples import Examples
from ...data.findings import many
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.item_ngrams import for_items
from ..inputs import padded
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import IGNORED, Baseline, Batch, Encoded, Metric, Predict, Predictions
from .conditions import Conditions
from .exact_items import exact_match
from .item_network import ItemNetwork
from .items import LONGEST, framed, tally_of_items
from .metrics import metric_named
from .units import UNKNOWN, TextUnits

MOST_MARGINAL = 64
"""Combinations of values over which the probability of an item without its condition is summed."""


class Generate(ScoredTask):
    """The task of the text of an item, unit by unit, given a condition."""

    name = "generate"
    writes = True
    defaults: ClassVar[Mapping[str, Any]] = {
        "both_directions": False,
        "unit": "char",
        "hidden": 256,
        "embedding": 32,
        "dropout": 0.2,
        "learning_rate": 5e-3,
    }

    def __init__(self, units: TextUnits, conditions: Conditions) -> None:
        self.units, self.conditions, self.metric = units, conditions, metric_named("nats", units.noun)
        self.mark = len(units)
        """The entry that begins an item as an input, and ends it as a target."""

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Generate:
        texts = [str(text) for text in targets_of(train, "generate")]
        return cls(TextUnits.of(texts, options), Conditions.of(train))

    def encode(self, examples: Examples) -> Encoded:
        given = self.conditions.encode(examples)
        if examples.targets is None:
            bare = np.array([self.mark], np.int32)
            return Encoded([(row, bare) for row in given], np.ones(len(given), np.int64))
        rows = [framed(str(text), self.units) for text in examples.targets]
        return Encoded(list(zip(given, rows)), np.array([len(row) - 1 for row in rows], np.int64))

    def part_notes(self, examples: Examples, part: str) -> list[str]:
        """What is cut or unknown in the rows of a part, counted: a sentence each."""
        rows = [row for _, row in self.encode(examples).rows] if examples.targets is not None else []
        cut = sum(row[-1] != self.mark for row in rows)
        unknown = sum(int((row == UNKNOWN).sum()) for row in rows)
        found = []
        if cut:
            noun = f"{many(cut, 'item')} of {part} {'is' if cut == 1 else 'are'}"
            found.append(f"{noun} cut after {LONGEST:,} {self.units.noun}s.")
        if unknown:
            whole = sum(len(row) - 2 for row in rows)
            noun = f"{many(unknown, self.units.noun)} of {whole:,} in {part} {'is' if unknown == 1 else 'are'}"
            found.append(f"{noun} not in the vocabulary.")
        return found

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.from_numpy(encoded.lengths[np.asarray(rows, np.int64)])
        conditions = self.conditions.tensors([given for given, _ in chosen])
        if any(len(row) == 1 for _, row in chosen):  # rows without a target: the mark alone
            units = torch.from_numpy(padded([row for _, row in chosen], np.int64))
            return Batch({"units": units, **conditions}, lengths, None, len(chosen))
        units = torch.from_numpy(padded([row[:-1] for _, row in chosen], np.int64))
        target = torch.from_numpy(padded([row[1:] for _, row in chosen], np.int64))
        target[torch.arange(len(target))[:, None] >= lengths[None, :]] = IGNORED
        return Batch({"units": units, **conditions}, lengths, target, int(lengths.sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return ItemNetwork(self.mark + 1, self.conditions, options)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Nats: the mean over units and ends of items of -log p."""
        assert batch.target is not None  # only rows with targets are trained on
        losses = F.cross_entropy(outputs.flatten(0, 1), batch.target.flatten(), ignore_index=IGNORED, reduction="sum")
        return losses / batch.weight

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        """float64 [T] nats of the units and the end of each item; none of rows without a target."""
        if batch.target is None:
            return Predictions([np.zeros(0) for _ in range(len(batch.lengths))])
        logs = torch.log_softmax(outputs.detach().to("cpu", torch.float64), -1)
        target = batch.target.cpu()
        nats = -logs.gather(-1, target.clamp(min=0)[..., None])[..., 0].numpy()
        return Predictions([nats[: int(n), b] for b, n in enumerate(batch.lengths)])

    @property
    def passes(self) -> int:
        """Passes over rows in which they are judged given and not given their condition."""
        return 1 + min(MOST_MARGINAL, len(self.conditions.counts)) if self.conditions.columns else 1

    def metric_of_writing(self, network: nn.Module, examples: Examples) -> Metric | None:
        """How many texts are written exactly as they are."""
        return exact_match(self, network, examples)

    def without_condition(self, examples: Examples, predict: Predict) -> tuple[Predictions, str] | None:
        """The network's predictions of the items without their condition, and a note; None where there is no condition.

        The probability of a text is summed over the combinations of values of the training rows, weighted by their
        frequency, the 64 most frequent ones; that of each unit is the ratio of two such sums.
        """
        counts = self.conditions.counts[:MOST_MARGINAL]
        if not self.conditions.columns or not counts or examples.targets is None:
            return None
        encoded = self.encode(examples)
        prior = np.log(np.array([n for _, n in counts], np.float64) / sum(n for _, n in counts))
        upto: list[list[np.ndarray]] = [[] for _ in range(len(examples))]
        for values, _ in counts:
            entries = self.conditions.entries(values)
            same = Encoded([(entries, row) for _, row in encoded.rows], encoded.lengths)
            for place, nats in enumerate(predict(same).values):
                upto[place].append(np.concatenate([[0.0], -np.cumsum(nats)]))
        found = []
        for sums in upto:
            joint = prior[:, None] + np.stack(sums)  # [R, T + 1]: log of p(values) · p(units up to here | values)
            most = joint.max(0)
            found.append(-np.diff(most + np.log(np.exp(joint - most).sum(0))))
        cut = len(self.conditions.counts) - len(counts)
        note = f"summed over the {len(counts)} most frequent combinations of values" if cut else ""
        return Predictions(found), note

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """Nats by item; equal texts are one unit of the resampling."""
        texts = [str(text) for text in truth_of(truth, predictions)]
        rows = [framed(text, self.units) for text in texts]
        return tally_of_items(rows, predictions.values, self.units, truth.groups or texts)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """By value of the one column that the items are given: rows and nats of a unit."""
        if len(self.conditions.columns) != 1 or self.conditions.scaling is not None:
            return {}
        rows: dict[str, list[int]] = {}
        for place, values in enumerate(truth.inputs):
            rows.setdefault(values[0], []).append(place)
        whole = {
            value: {
                self.metric: float(sum(np.sum(predictions.values[p]) for p in places))
                / sum(len(predictions.values[p]) for p in places),
                "rows": float(len(places)),
            }
            for value, places in sorted(rows.items())
        }
        return {"by_class": whole}

    def baselines(self) -> list[Baseline]:
        return [*for_items(self.units, self.conditions)]

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        return {self.units.file: self.units.to_json(), "conditions.json": self.conditions.to_json()}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Generate:
        name = "vocabulary.json" if "vocabulary.json" in files else "tokenizer.json"
        return cls(TextUnits.from_json(files[name]), Conditions.from_json(files["conditions.json"]))
