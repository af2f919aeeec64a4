"""Where the steps of a call lie in memory, in its x, and in each of its segments.

A segment is an unbroken sequence: a row of the batch up to its length, or the part of it between two resets. Kernels
read packed rows: the steps of the segments, one packed row each; the segments that have a step s lie side by side.
`t.flatten(0, -2)` are the packed rows of a tensor that is laid out as the output: [T, B, H] of a dense batch → [R, H],
and [R, H] stay as they are.

Letters: T steps and B rows of the caller's x, N segments, S steps of the longest segment, R packed rows, K lags.
"""

from __future__ import annotations

import math
from array import array
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ... import _torch_private
from ...caching import bounded_cache, tensor_bytes
from ...ragged.batch import Batch

_CACHED_ROWS = 1 << 16
"""Layouts of more packed rows than this are not cached: 1 MiB, or 4 where there are few segments."""


class CallLayout:
    """The packed rows of one call; the same for all its layers, and mirrored for its second direction."""

    segment_index: Tensor
    """int64 [S, N], the packed row of each segment's step, -1 past its end."""
    lengths: Tensor
    """int64 [N], steps of each segment."""
    x_index: Tensor
    """int64 [T, B], the packed row of each step of x, -1 past a row's end."""
    step_offsets: array
    """int64, the first packed row of each step, and R."""
    dense: bool
    """Whether every row has T steps, and is one segment."""

    def __init__(self, batch: Batch):
        ragged = batch.ragged
        self.dense = ragged is None
        if ragged is None:
            T, B = batch.x.shape[:2]
            dense = _dense if T * (B + 1) <= _CACHED_ROWS else _dense.__wrapped__
            self.segment_index, self.lengths, self.step_offsets = dense(T, B)
            self.x_index = self.segment_index
            return
        sizes, segments = ragged.sizes, np.arange(ragged.count)
        inside, offsets = segments < sizes[:, None], np.cumsum(sizes)
        self.segment_index = torch.from_numpy(np.where(inside, (offsets - sizes)[:, None] + segments, -1))
        self.lengths = torch.from_numpy(inside.sum(0))
        packed_row = ragged.packed_row(batch.batch_first)
        self.x_index = torch.from_numpy(np.where(packed_row < len(ragged.index), packed_row, -1))
        self.step_offsets = array("q", [0, *offsets.tolist()])

    @property
    def count(self) -> int:
        """R."""
        return int(self.step_offsets[-1])

    @cached_property
    def steps_align(self) -> bool:
        """Whether step s of every segment is step s of x: no segment begins inside a row."""
        steps, rows = self.x_index.shape
        step_of = torch.full((self.count,), -1, device="cpu")
        inside = self.x_index >= 0
        step_of[self.x_index[inside]] = torch.arange(steps, device="cpu")[:, None].expand(steps, rows)[inside]
        known = self.segment_index >= 0
        expected = torch.arange(len(self.segment_index), device="cpu")[:, None].expand_as(known)[known]
        return bool((step_of[self.segment_index[known]] == expected).all())

    def in_x(self, per_row: Tensor, fill: float = math.nan) -> Tensor:
        """per_row [R, ...] → [T, B, ...] in the order of x; `fill` where x has no such step."""
        return gathered(per_row, self.x_index, fill)

    def by_lag(self, per_row: Tensor, reverse: bool) -> Tensor:
        """per_row [R, ...] → [K, N, ...]: entry k is the step k before a segment's last one, in the order of
        computation; NaN where a segment has no such step.
        """
        index = self.segment_index
        if not reverse and len(index):
            at = self.lengths - 1 - torch.arange(len(index), device="cpu")[:, None]
            index = index.gather(0, at.clamp(min=0)).where(at >= 0, -1)
        return gathered(per_row, index, math.nan)

    def last_rows(self, reverse: bool) -> Tensor:
        """int64 [N], the packed row of each segment's last step in the order of computation."""
        if reverse:
            return self.segment_index[0]
        return self.segment_index.gather(0, (self.lengths - 1)[None])[0]


@bounded_cache(4 << 20, size_of=lambda layout, steps, rows: tensor_bytes(layout[:2]) + 64 * steps)
def _dense(steps: int, rows: int) -> tuple[Tensor, Tensor, array]:
    """(segment_index, lengths, step_offsets) of a batch in which no row ends early; only ever read."""
    with _torch_private.untransformed():
        offsets = array("q", range(0, steps * rows + 1, rows) if rows else [0] * (steps + 1))
        return (
            torch.arange(steps * rows, device="cpu").view(steps, rows),
            torch.full((rows,), steps, device="cpu"),
            offsets,
        )


def gathered(per_row: Tensor, index: Tensor, fill: float) -> Tensor:
    """per_row [R, ...], index int64 [S, B] → [S, B, ...], `fill` where an index is -1."""
    at = index.clamp(min=0).to(per_row.device)
    values = per_row.index_select(0, at.flatten()).view(*index.shape, *per_row.shape[1:])
    known = (index >= 0).to(per_row.device).view(*index.shape, *[1] * (per_row.dim() - 1))
    return values.where(known, fill) if not bool((index >= 0).all()) else values


def chosen_rows(t: Tensor, at: Tensor | None) -> Tensor:
    """The packed rows `at` of t, or all of them."""
    return t if at is None else t.index_select(0, at.to(t.device))
