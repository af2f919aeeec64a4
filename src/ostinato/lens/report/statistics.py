"""Statistics of measured numbers: quantiles, medians, and the lag at which half is left."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = (0.1, 0.5, 0.9)
"""The quantiles that are shown where nothing else is asked for."""


def quantiles(values: Tensor, levels: tuple[float, ...] = LEVELS) -> Tensor:
    """Over the last dimension, NaN left out, the nearest value: [..., N] → [Q, ...]; NaN where nothing is left."""
    return values.nanquantile(values.new_tensor(levels), dim=-1, interpolation="nearest")


def quantiles_last(values: Tensor) -> Tensor:
    """The quantiles `LEVELS` in place of the last dimension: [..., N] → [..., Q]."""
    return quantiles(values).movedim(0, -1)


def median(values: Tensor) -> float:
    """The upper median of the numbers in `values` that are not NaN; NaN if there are none."""
    known = values[~values.isnan()]
    return float(known.sort().values[len(known) // 2]) if len(known) else math.nan


def half_life_steps(ratio: Tensor) -> Tensor:
    """The first lag at which ratio [K, ...] is at most 1/2, interpolated on a logarithmic scale; inf if none."""
    if not len(ratio):
        return ratio.new_full(ratio.shape[1:], math.nan)
    below = ratio <= 0.5
    at = below.to(torch.int64).argmax(0, keepdim=True)
    here = ratio.gather(0, at)
    before = ratio.gather(0, (at - 1).clamp(min=0))
    part = (math.log(0.5) - before.log()) / (here.log() - before.log())
    lag = at - 1 + torch.where(here > 0, part, 1.0)
    known = torch.where(below.any(0, keepdim=True), lag, math.inf)
    return known.where(ratio[:1].isfinite(), math.nan)[0]
