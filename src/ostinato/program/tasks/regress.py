"""Regression: a number of a row.

Letters: N rows, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ..data.examples import Examples
from ..data.sizes import refuse_huge
from ..options import NetworkOptions
from .base import ScoredTask
from .baselines.choose import for_rows
from .inputs import SeriesInputs, TextInputs, inputs_from, inputs_of
from .intervals import Tally
from .metrics import tally_of_numbers
from .networks import RowNetwork
from .scored import targets_of, truth_of
from .task import Baseline, Batch, Encoded, Predictions


class Regress(ScoredTask):
    """The task of one number a row. The network's output is the target less its mean, in standard deviations."""

    name = "regress"
    metric = "mae"

    def __init__(self, inputs: TextInputs | SeriesInputs, mean: float, deviation: float) -> None:
        self.inputs, self.mean, self.deviation = inputs, mean, deviation

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Regress:
        numbers = np.array(targets_of(train, "regress"), np.float64)
        if not np.isfinite(numbers).all():
            remedy = "Leave rows without a target out."
            raise InputError(phrase("regress", "the targets", "finite numbers", "NaN or infinity", remedy))
        refuse_huge(numbers, "the targets", "regress")
        mean, deviation = float(numbers.mean()), float(numbers.std())
        constant = deviation <= 1e-12 * abs(mean)
        return cls(inputs_of(train, options), mean, 1.0 if constant else deviation)

    def encode(self, examples: Examples) -> Encoded:
        encoded = self.inputs.encode(examples)
        targets = [None] * len(examples) if examples.targets is None else examples.targets
        scaled = [None if t is None else (float(t) - self.mean) / self.deviation for t in targets]
        return Encoded(list(zip(encoded.rows, scaled)), encoded.lengths)

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.from_numpy(encoded.lengths[np.asarray(rows, np.int64)])
        targets = [target for _, target in chosen]
        target = None if any(t is None for t in targets) else torch.tensor(targets, dtype=torch.float32)
        return Batch(self.inputs.tensors([row for row, _ in chosen]), lengths, target, len(chosen))

    def network(self, options: NetworkOptions) -> nn.Module:
        return RowNetwork(self.inputs, options, 1)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over rows of the squared error of the scaled target."""
        assert batch.target is not None  # only rows with targets are trained on
        return (outputs.squeeze(-1) - batch.target).square().sum() / batch.weight

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        scaled = outputs.detach().to("cpu", torch.float64).squeeze(-1).numpy()
        return Predictions((scaled * self.deviation + self.mean).tolist())

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """The errors of the predictions of N rows, by unit."""
        targets: Any = truth_of(truth, predictions)
        return tally_of_numbers(targets, predictions.values, truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """Quantiles of the error, prediction less truth, in the target's unit."""
        targets: Any = truth_of(truth, predictions)
        errors = np.asarray(predictions.values, np.float64) - np.asarray(targets, np.float64)
        shares = (0.05, 0.25, 0.5, 0.75, 0.95)
        return {"error_quantiles": {str(q): float(np.quantile(errors, q)) for q in shares}}

    def baselines(self) -> list[Baseline]:
        return for_rows(self.inputs.kind, "number", self.inputs.unit)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        target = {"mean": self.mean, "deviation": self.deviation}
        own = self.inputs.to_json()
        if self.inputs.file == "scaling.json":
            return {"scaling.json": {**own, "target": target}}
        return {self.inputs.file: own, "scaling.json": {"target": target}}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Regress:
        target = files["scaling.json"]["target"]
        return cls(inputs_from(files), float(target["mean"]), float(target["deviation"]))
