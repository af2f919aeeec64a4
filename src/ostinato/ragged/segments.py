"""How rows are cut into pieces at resets, and the packed layout of the pieces: index arithmetic on arrays.

A row is cut at its resets. Pieces are then rows of their own, packed with the longest first, so the packed rows of a
step are the first ones of the step before. A piece has the bits of the same steps run alone.

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
    """How the steps of a batch are laid out as packed rows."""

    sizes: Integers
    """[S], the packed rows of each step: N first, never growing."""
    starts: Integers
    """[N], the index of each piece's first step among the T·B steps of the caller's x."""
    stride: int
    """The distance from the index of a step to that of the next."""
    rows: Integers
    """[N], the row that each piece was cut from."""
    lengths: Integers
    """[B], the steps of each row."""
    steps: int
    """T."""
    starts_new: NDArray[np.bool_] | None = None
    """[N], whether the piece starts from the layer's initial state, not from the row's; None where no piece does."""
    ends: NDArray[np.bool_] | None = None
    """[N], whether it is the last piece of its row; None where every row is one piece."""

    @property
    def dense(self) -> bool:
        """Whether all rows have T steps in one piece. Without a step there is nothing dense."""
        whole = self.ends is None and self.steps > 0
        return whole and (
            not len(self.lengths) or len(self.sizes) == self.steps and self.sizes[-1] == len(self.lengths)
        )

    @cached_property
    def last(self) -> Integers:
        """[B], the last piece of each row, N + b for a row b without a step."""
        count = len(self.rows)
        last = np.arange(len(self.lengths)) + count
        number = np.arange(count) if self.ends is None else np.nonzero(self.ends)[0]
        last[self.rows[number]] = number
        return last

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
    batch, stride = len(lengths), 1 if batch_first else len(lengths)
    if resets is None:
        rows = np.argsort(-lengths, kind="stable")
        longest = int(lengths[rows[0]]) if batch else 0
        living = batch - np.cumsum(np.bincount(lengths, minlength=longest + 1))[:longest]
        rows = rows[: living[0] if longest else 0]
        return Pieces(living, rows * steps if batch_first else rows, stride, rows, lengths, steps)
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
    return Pieces(living, starts, stride, rows, lengths, steps, starts_new, ends)
