"""Steps of a stream that always run together: the new ones of a window, and those that run again.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .chunks import each, joined, span
from .generators import Places


@dataclass
class Part:
    """Steps first, …, last - 1 of the stream.

    inputs  what the model takes by place, each [T, B, ...] or [B, T, ...]
    resets  bool, laid out as these; None where none were given
    drawn   where torch's random numbers stood before these steps ran for the first time; None if they drew none
    """

    first: int
    last: int
    inputs: Any
    resets: Tensor | None
    drawn: Places | None = None

    def own(self) -> Part:
        """In memory of its own, without history: the caller may use a chunk's memory again."""

        def copy(t: Tensor) -> Tensor:
            return t.detach().clone()

        return replace(self, inputs=each(copy, self.inputs), resets=each(copy, self.resets))


def cut(inputs: Any, resets: Tensor | None, first: int, last: int, cuts: Sequence[int], axis: int) -> list[Part]:
    """Steps first, …, last - 1, cut before each of `cuts` that lies between."""
    places = [first, *sorted({c for c in cuts if first < c < last}), last]
    return [
        Part(
            a,
            b,
            span(inputs, axis, a - first, b - first),
            None if resets is None else span(resets, _axis(resets, axis), a - first, b - first),
        )
        for a, b in pairwise(places)
    ]


def grouped(parts: Sequence[Part], walls: set[int], merge: bool) -> list[list[Part]]:
    """Parts that may run in one call: none begins at a wall but the first, and none has random numbers of its own."""
    groups: list[list[Part]] = []
    for part in parts:
        alone = part.first in walls or not merge or part.drawn is not None
        if groups and not alone and groups[-1][0].drawn is None:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def together(parts: Sequence[Part], axis: int) -> tuple[Any, Tensor | None]:
    """The inputs of parts that follow each other, and their resets, False where none were given."""
    inputs = joined([p.inputs for p in parts], axis)
    known = next((p.resets for p in parts if p.resets is not None), None)
    if known is None:
        return inputs, None
    along = _axis(known, axis)

    def of(p: Part) -> Tensor:
        shape = [*known.shape[:along], p.last - p.first, *known.shape[along + 1 :]]
        return known.new_zeros(shape) if p.resets is None else p.resets

    return inputs, torch.cat([of(p) for p in parts], along)


def _axis(resets: Tensor, axis: int) -> int:
    """Where resets have time: [T, B] or [B, T], or [T] for one sequence."""
    return axis if resets.dim() > 1 else 0
