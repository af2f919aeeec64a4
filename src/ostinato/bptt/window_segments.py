"""Segments of a window: consecutive steps of the stream that run in one call of the model.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .chunks import concat_time, span, tree_map
from .generators import RngStates


@dataclass
class WindowSegment:
    """Steps first, …, last - 1 of the stream.

    inputs  positional arguments of the model, each [T, B, ...] or [B, T, ...]
    resets  bool, in the same layout; None where none were given
    drawn   the generators' states before the first run of these steps; None if they draw no random numbers
    """

    first: int
    last: int
    inputs: Any
    resets: Tensor | None
    drawn: RngStates | None = None

    def detach_copy(self) -> WindowSegment:
        """A copy without autograd history. The caller may reuse the memory of a chunk."""

        def copy(t: Tensor) -> Tensor:
            return t.detach().clone()

        return replace(self, inputs=tree_map(copy, self.inputs), resets=tree_map(copy, self.resets))


def cut_segments(
    inputs: Any, resets: Tensor | None, first: int, last: int, cuts: Sequence[int], axis: int
) -> list[WindowSegment]:
    """Steps first, …, last - 1, cut before each step of `cuts` that lies between."""
    bounds = [first, *sorted({c for c in cuts if first < c < last}), last]
    return [
        WindowSegment(
            a,
            b,
            span(inputs, axis, a - first, b - first),
            None if resets is None else span(resets, _axis(resets, axis), a - first, b - first),
        )
        for a, b in pairwise(bounds)
    ]


def group_segments(segments: Sequence[WindowSegment], boundaries: set[int], merge: bool) -> list[list[WindowSegment]]:
    """Segments grouped by call of the model. A segment that begins at one of `boundaries`, or that draws random
    numbers, begins a group.
    """
    groups: list[list[WindowSegment]] = []
    for segment in segments:
        alone = segment.first in boundaries or not merge or segment.drawn is not None
        if groups and not alone and groups[-1][0].drawn is None:
            groups[-1].append(segment)
        else:
            groups.append([segment])
    return groups


def concat_segments(segments: Sequence[WindowSegment], axis: int) -> tuple[Any, Tensor | None]:
    """(inputs, resets) of consecutive segments, concatenated along time; resets are False where none were given."""
    inputs = concat_time([p.inputs for p in segments], axis)
    known = next((p.resets for p in segments if p.resets is not None), None)
    if known is None:
        return inputs, None
    along = _axis(known, axis)

    def resets_of(p: WindowSegment) -> Tensor:
        shape = [*known.shape[:along], p.last - p.first, *known.shape[along + 1 :]]
        return known.new_zeros(shape) if p.resets is None else p.resets

    return inputs, torch.cat([resets_of(p) for p in segments], along)


def _axis(resets: Tensor, axis: int) -> int:
    """The time axis of resets [T, B] or [B, T]; 0 for the [T] of one sequence."""
    return axis if resets.dim() > 1 else 0
