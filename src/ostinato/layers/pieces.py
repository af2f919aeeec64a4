"""Where rows are cut into pieces, and where each step of a piece goes: numbers only, no tensors of a network.

A row is cut at its resets. Pieces are then rows of their own, packed with the longest first, so the packed rows of a
step are the first ones of the step before. The kernels know such rows; a piece has the bits of the same steps alone.

Letters: T steps, B rows of the caller's batch, N pieces, R steps of all pieces together, S steps of the longest piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """How the steps of a batch are laid out as packed rows.

    sizes    [S], the packed rows of each step: N first, never growing
    index    [R], where each packed row stands among the T·B steps of the caller's x
    inverse  [T·B], the packed row of each step of the caller's x, R where no piece has that step
    piece    [R], which piece each packed row is a step of
    rows     [N], the row that each piece was cut from
    fresh    [N], whether it starts from the layer's own start, and not where the row's state stands
    last     [B], the last piece of each row, N + b for a row b without a step
    """

    sizes: Integers
    index: Integers
    inverse: Integers
    piece: Integers
    rows: Integers
    fresh: NDArray[np.bool_]
    last: Integers


def cut(lengths: Integers, resets: NDArray[np.bool_] | None, steps: int, batch_first: bool) -> Pieces:
    """lengths [B], each from 0 to T = `steps`; resets [T, B]: a piece begins at each True within its row's length.

    batch_first says how the caller counts the steps of x: row by row, or else step by step.
    """
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
    # Packed row r stands in step `step` of its piece, `piece`.
    packed = np.arange(int(living.sum()))
    step = np.repeat(np.arange(longest), living)
    piece = packed - np.repeat(np.cumsum(living) - living, living)
    time, row = begins[piece] + step, rows[piece]
    index = row * steps + time if batch_first else time * batch + row
    inverse = np.full(steps * batch, len(packed))
    inverse[index] = packed
    return Pieces(living, index, inverse, piece, rows, fresh, last)
