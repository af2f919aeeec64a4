"""Where rows are cut into pieces, and where each step of a piece goes: numbers only, no tensors of a network.

A row is cut at its resets. Pieces are then rows of their own, packed with the longest first, so the packed rows of a
step are the first ones of the step before. The kernels know such rows; a piece has the bits of the same steps alone.

Letters: T steps, B rows of the caller's batch, N pieces, R steps of all pieces together, S steps of the longest piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """How the steps of a batch are laid out as packed rows.

    sizes    [S], the packed rows of each step: N first, never growing
    starts   [N], where each piece's first step stands among the T·B steps of the caller's x
    stride   how far from there its next step stands
    rows     [N], the row that each piece was cut from
    fresh    [N], whether it starts from the layer's own start, and not where the row's state stands
    last     [B], the last piece of each row, N + b for a row b without a step
    lengths  [B], the steps of each row
    steps    T
    """

    sizes: Integers
    starts: Integers
    stride: int
    rows: Integers
    fresh: NDArray[np.bool_]
    last: Integers
    lengths: Integers
    steps: int

    @cached_property
    def piece(self) -> Integers:
        """[R], which piece each packed row is a step of."""
        before = np.cumsum(self.sizes) - self.sizes
        return np.arange(int(self.sizes.sum())) - np.repeat(before, self.sizes)

    @cached_property
    def index(self) -> Integers:
        """[R], where each packed row stands among the T·B steps of the caller's x."""
        return self.starts[self.piece] + self.stride * np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def inverse(self) -> Integers:
        """[T·B], the packed row of each step of the caller's x, R where no piece has that step."""
        inverse = np.full(self.steps * len(self.lengths), len(self.index))
        inverse[self.index] = np.arange(len(self.index))
        return inverse


def cut(lengths: Integers, resets: NDArray[np.bool_] | None, steps: int, batch_first: bool) -> Pieces:
    """lengths [B], each from 0 to T = `steps`; resets [T, B]: a piece begins at each True within its row's length.

    batch_first says how the caller counts the steps of x: row by row, or else step by step.
    """
    lengths = np.array(lengths, np.int64)  # a copy: the caller may write to its own before backward reads this one
    batch = len(lengths)
    if resets is None:
        rows = np.nonzero(lengths)[0]
        begins, sizes = np.zeros_like(rows), lengths[rows]
        fresh = np.zeros(len(rows), np.bool_)
        ends_row = np.ones(len(rows), np.bool_)
    else:
        begin = resets & (np.arange(steps)[:, None] < lengths)
        begin[:1] = lengths > 0
        rows, begins = np.nonzero(begin.T)  # row by row, each from its first step on
        ends_row = np.append(rows[1:] != rows[:-1], np.ones(min(1, len(rows)), np.bool_))
        sizes = np.where(ends_row, lengths[rows], np.append(begins[1:], 0)[: len(rows)]) - begins
        fresh = resets[begins, rows]
    order = np.argsort(-sizes, kind="stable")
    count, last = len(rows), np.arange(batch) + len(rows)
    last[rows[order[ends_row[order]]]] = np.nonzero(ends_row[order])[0]
    rows, begins, fresh, sizes = rows[order], begins[order], fresh[order], sizes[order]
    longest = int(sizes[0]) if count else 0
    living = count - np.cumsum(np.bincount(sizes, minlength=longest + 1))[:longest]
    starts = rows * steps + begins if batch_first else begins * batch + rows
    return Pieces(living, starts, 1 if batch_first else batch, rows, fresh, last, lengths, steps)
