"""How rows are cut into segments at resets, and their layout as index tensors, of their own sizes or of fixed ones.

Tracers need sizes that do not depend on lengths. For them one registered operator returns the same numbers in tensors
that are large enough for any lengths: packed lines and steps that no row has come last, and so do segments without a
step. Backends do not read these. A segment has the bits of the same steps run alone.

Letters: T steps, B rows of the caller's batch, N segments, R steps of all segments together, S steps of the longest
one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._torch_private import functorch_active
from ..execution.custom_op import register
from ..ragged_layout import Integers, RaggedLayout
from .lengths import known_lengths


def cut(lengths: Integers, resets: NDArray[np.bool_] | None, steps: int, batch_first: bool) -> RaggedLayout:
    """lengths [B], each from 0 to T = `steps`; resets [T, B]: a segment begins at each True within its row's length.

    batch_first says how the caller counts the steps of x: row by row, or else step by step.
    """
    lengths = np.asarray(lengths, np.int64)  # copied below: the caller may write to its own before backward reads it
    batch, stride = len(lengths), 1 if batch_first else len(lengths)
    if resets is None:
        rows = np.argsort(-lengths, kind="stable")
        longest = int(lengths[rows[0]]) if batch else 0
        living = batch - np.cumsum(np.bincount(lengths, minlength=longest + 1))[:longest]
        rows = rows[: living[0] if longest else 0]
        numbers = np.concatenate([lengths, rows * steps if batch_first else rows, rows])
        return RaggedLayout(numbers, living, len(rows), batch, steps, stride)
    begin = resets & (np.arange(steps)[:, None] < lengths)
    begin[:1] = lengths > 0
    rows, begins = np.nonzero(begin.T)  # row by row, each from its first step on
    ends = np.append(rows[1:] != rows[:-1], np.ones(min(1, len(rows)), np.bool_))
    sizes = np.where(ends, lengths[rows], np.append(begins[1:], 0)[: len(rows)]) - begins
    starts_new = resets[begins, rows]
    order = np.argsort(-sizes, kind="stable")
    rows, begins, starts_new, sizes, ends = rows[order], begins[order], starts_new[order], sizes[order], ends[order]
    longest = int(sizes[0]) if len(rows) else 0
    living = len(rows) - np.cumsum(np.bincount(sizes, minlength=longest + 1))[:longest]
    starts = rows * steps + begins if batch_first else begins * batch + rows
    numbers = np.concatenate([lengths, starts, rows])
    return RaggedLayout(numbers, living, len(rows), batch, steps, stride, starts_new, ends)


@dataclass(frozen=True)
class PaddedIndex:
    """A `RaggedLayout` as tensors that are large enough for any lengths: `sizes` on the CPU, all others on the device
    of x. `starts_new` is None where there are no resets."""

    sizes: Tensor
    index: Tensor
    inverse: Tensor
    segment: Tensor
    source_row: Tensor
    starts_new: Tensor | None
    last: Tensor
    has_padding_rows = True
    """Whether the tensors may be larger than they need to be."""


class DenseIndex:
    """A `RaggedLayout` as tensors of their own sizes, R, S and N, made on first use."""

    has_padding_rows = False

    def __init__(self, layout: RaggedLayout, device: torch.device):
        self.layout, self.device = layout, device
        self.sizes = layout.batch_sizes
        starts_new = layout.starts_new
        self.starts_new = None if starts_new is None or not starts_new.any() else self._tensor(starts_new)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def source_row(self) -> Tensor:
        return self._tensor(self.layout.source_row)

    @cached_property
    def last(self) -> Tensor:
        return self._tensor(self.layout.last)

    @cached_property
    def index(self) -> Tensor:
        return self._tensor(self.layout.index)

    @cached_property
    def inverse(self) -> Tensor:
        return self._tensor(self.layout.inverse)

    @cached_property
    def segment(self) -> Tensor:
        return self._tensor(self.layout.segment)


def layout_of(
    lengths: Tensor | None, resets: Tensor | None, steps: int, rows: int, batch_first: bool, device: torch.device
) -> DenseIndex:
    """lengths int64 [B], resets bool [T, B], both on the CPU."""
    return DenseIndex(_cut(lengths, resets, steps, rows, batch_first), device)


def layout_for_any(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> PaddedIndex:
    """The same through the registered operator: T·B for R, T for S, and for N, B, or T·B where there are resets.

    lengths of any integer type, and resets, on any device. `where` is the name in an error about lengths.
    """
    index = PaddedIndex(*torch.ops.ostinato.layout(lengths, resets, steps, rows, batch_first, device, where))
    return index if resets is not None else replace(index, starts_new=None)


def _cut(lengths: Tensor | None, resets: Tensor | None, steps: int, rows: int, batch_first: bool) -> RaggedLayout:
    known = np.full(rows, steps) if lengths is None else _array(lengths)
    return cut(known, None if resets is None else _array(resets), steps, batch_first)


def _array(t: Tensor) -> Any:
    """A tensor on the CPU as an array. Inside of torch.func even a new one is wrapped, and gives only lists."""
    return np.array(t.tolist(), str(t.dtype).removeprefix("torch.")) if functorch_active() else t.numpy()


def _fixed(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> tuple[Tensor, ...]:
    """The operator. An index of no line is T·B, for which `gather_rows` returns zeros."""
    known = None if lengths is None else known_lengths(lengths, steps, where)
    begins = None if resets is None else resets.detach().to("cpu")
    layout, lines = _cut(known, begins, steps, rows, batch_first), steps * rows
    count, segments = layout.count, rows if resets is None else lines
    inverse = np.where(layout.inverse == len(layout.index), lines, layout.inverse)
    last = np.where(layout.last < count, layout.last, layout.last + (segments - count))

    def padded(values: NDArray[Any], size: int, fill: int = 0) -> Tensor:
        whole = np.full(size, fill, values.dtype)
        whole[: len(values)] = values
        return torch.from_numpy(whole).to(device)

    return (
        padded(layout.sizes, steps).to("cpu"),
        padded(layout.index, lines, lines),
        torch.from_numpy(inverse).to(device),
        padded(layout.segment, lines),
        padded(layout.source_row, segments),
        padded(np.zeros(count, np.bool_) if layout.starts_new is None else layout.starts_new, segments),
        torch.from_numpy(last).to(device),
    )


def _fixed_fake(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> tuple[Tensor, ...]:
    lines = steps * rows
    segments = rows if resets is None else lines

    def empty(size: int, kind: torch.dtype = torch.int64, on: Any = device) -> Tensor:
        return torch.empty(size, dtype=kind, device=on)

    sizes = empty(steps, on="cpu")
    return sizes, empty(lines), empty(lines), empty(lines), empty(segments), empty(segments, torch.bool), empty(rows)


register(
    "layout(Tensor? lengths, Tensor? resets, SymInt steps, SymInt rows, bool batch_first, Device device, str where)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fixed,
    _fixed_fake,
)
