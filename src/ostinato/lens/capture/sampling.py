"""Which steps, segments and rows of a call are sampled: evenly spread ones, few enough to keep until the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ... import _torch_private
from ...caching import bounded_cache, tensor_bytes
from .call_layout import CallLayout

MOST_ROWS = 256
"""How many packed rows at most shares, deviations and histograms are taken from, spread over steps and segments."""
MOST_SEGMENTS = 4
"""How many segments at most retention by lag is taken from, and how many rows of x at most gates over time."""

_CACHED_STEPS = 1 << 14
"""Samples of calls of more steps than this are not cached: 1 MiB."""


class Sampling:
    """The sample of one call."""

    def __init__(self, layout: CallLayout) -> None:
        segments = layout.segment_index.shape[1]
        self.stride = _stride(layout.count, segments)
        """The distance of sampled packed rows."""
        self.segments = _segments(segments)
        """int64 [n], the sampled segments."""
        # Of rows that end early the longest is one, so that every step has some.
        order = None if layout.dense else (layout.x_index < 0).sum(0).argsort(stable=True)
        self.rows = self.segments if order is None else evenly(order)
        """int64 [n], the sampled rows of x."""


@dataclass(frozen=True, slots=True)
class DenseSample:
    """What is sampled of some steps of a dense batch. Only ever read."""

    inside: Tensor
    """bool [T, n], which steps of the sampled rows lie in the piece."""
    spread: Tensor
    """int64 [M], the packed rows that are spread over the piece."""
    rows: Tensor
    """int64 [M + k], these, and those of the sampled rows, step by step."""


def dense_sample(steps: int, rows: int, first: int, count: int, stride: int) -> DenseSample:
    """Of `count` steps of a dense batch from the step `first` on."""
    sample = _dense_sample if steps <= _CACHED_STEPS else _dense_sample.__wrapped__
    return sample(steps, rows, first, count, stride)


@bounded_cache(4 << 20, size_of=lambda sample, *_: tensor_bytes((sample.inside, sample.spread, sample.rows)))
def _dense_sample(steps: int, rows: int, first: int, count: int, stride: int) -> DenseSample:
    with _torch_private.untransformed():
        kept = evenly(torch.arange(rows, device="cpu"))
        inside = torch.zeros(steps, len(kept), dtype=torch.bool, device="cpu")
        inside[first : first + count] = True
        spread = torch.arange(-first * rows % stride, count * rows, stride, device="cpu")
        by_row = (torch.arange(count, device="cpu")[:, None] * rows + kept).flatten()
        return DenseSample(inside, spread, torch.cat([spread, by_row]))


def evenly(numbers: Tensor) -> Tensor:
    """At most `MOST_SEGMENTS` of the numbers, the first one among them."""
    return numbers[:: max(1, -(-len(numbers) // MOST_SEGMENTS))]


@lru_cache(maxsize=256)
def _segments(segments: int) -> Tensor:
    """The sampled ones of so many segments. Only ever read."""
    with _torch_private.untransformed():
        return evenly(torch.arange(segments, device="cpu")).clone()


@lru_cache(maxsize=256)
def _stride(rows: int, segments: int) -> int:
    """A distance that shares no factor with the number of segments, so that all of them are met."""
    stride = max(1, -(-rows // MOST_ROWS))
    while math.gcd(stride, max(1, segments)) > 1:
        stride += 1
    return stride
