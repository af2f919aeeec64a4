"""Forecasts: quantiles of the H steps after a window of a series.

Letters: N windows, B windows of a batch, H steps of the future, K series of a window, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..data.examples import Examples
from ..options import NetworkOptions
from . import forecast_scaling
from .forecast_network import ForecastNetwork
from .forecast_scaling import ForecastScaling
from .task import Batch, Encoded, Predictions


class Forecast:
    name = "forecast"
    metric = "wql"
    classes: Sequence[str] = ()
    defaults: ClassVar[Mapping[str, Any]] = {"both_directions": False}

    def __init__(self, scaling, levels, linear=None):
        self.scaling, self.levels, self.linear = scaling, levels, linear
        self.quantiles = quantiles_of(levels)

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions, segment=1, log=False):
        scaling, linear = forecast_scaling.fitted(train.inputs, quantiles_of(options.levels), log, segment)
        return cls(scaling, list(options.levels), linear)

    def encode(self, examples: Examples) -> Encoded:
        lengths = np.full(len(examples), self.scaling.shape.length, np.int64)
        return Encoded(examples.inputs, lengths)

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        windows = [encoded.rows[r] for r in rows]
        x = self.scaling.tensors(windows)
        truth = torch.from_numpy(np.stack([self.scaling.forward(w.future) for w in windows]))
        target = ((truth - x["reference"]) / x["unit"][:, None, :]).to(torch.float32)
        lengths = torch.full((len(windows),), self.scaling.shape.length)
        return Batch(x, lengths, target, int((~torch.isnan(target)).sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return ForecastNetwork(self.scaling.shape, options, self.linear)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        there = ~torch.isnan(batch.target)
        errors = torch.where(there, batch.target, 0.0).unsqueeze(-1) - outputs
        q = torch.tensor(self.quantiles, dtype=outputs.dtype)
        losses = torch.maximum(q * errors, (q - 1) * errors).mean(-1)
        return torch.where(there, losses, 0.0).sum() / max(batch.weight, 1)

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        scaled = outputs.detach().to("cpu", torch.float64).sort(-1).values
        found = batch.x["reference"][..., None] + batch.x["unit"][:, None, :, None] * scaled
        quantiles = self.scaling.backward(found.numpy())
        middle = self.quantiles.index(0.5)
        return Predictions(list(quantiles[..., middle]), None, quantiles)

    def score(self, truth, predictions):
        y = np.stack([w.future for w in truth.inputs])
        e = y[..., None] - predictions.quantiles
        q = np.array(self.quantiles)
        sp = np.stack([self.scaling.spread_of(w) for w in truth.inputs])[:, None, :, None]
        return float(np.nanmean(np.maximum(q * e, (q - 1) * e)/ (1 if self.scaling.log else sp)))

    def metrics(self, truth, predictions, seed=0):
        from .task import Metric
        v = self.score(truth, predictions)
        return [Metric("wql", v, v, v, len(truth), False)]


def quantiles_of(levels: Sequence[float]) -> list[float]:
    """The quantiles of bands, rising, with the median: .025 .1 .5 .9 .975 of 80 and 95 percent."""
    lows = sorted({round((1 - level / 100) / 2, 10) for level in levels})
    return [*lows, 0.5, *(round(1 - low, 10) for low in reversed(lows))]
