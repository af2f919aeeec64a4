"""The division of packed rows: the first line of each step, ranges of rows of equal cost, blocks of backpropagation.

Letters: T steps, B rows of the first step, R packed rows (lines) of all steps together.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...caching import bounded_cache
from ...errors import ShapeError, phrase
from . import cost_model

BLOCK_ROWS = 512
"""Rows of one block of backpropagation: the length of one chain of additions in a weight's gradient. Numerics, not a
cost: changing it changes bits."""

# Numbers up to which tables are shared between launch plans.
_MAX_SHARED = 1 << 13

Integers = NDArray[np.int64]


def block_steps(B: int) -> int:
    """Steps of one block of backpropagation of a batch of B rows, counted from the end of the sequence."""
    return max(1, BLOCK_ROWS // max(1, B))


def line_numbers(stride: int, count: int) -> array:
    """int64 0, stride, … count · stride, and more: one table serves all counts up to the next power of two."""
    table = _line_numbers if count <= _MAX_SHARED else _line_numbers.__wrapped__
    return table(stride, 1 << count.bit_length())


@bounded_cache(2 << 20, size_of=lambda table, *_: 8 * len(table))
def _line_numbers(stride: int, length: int) -> array:
    return array("q", (np.arange(length, dtype=np.int64) * stride).tobytes())


class RowPartition:
    """The packing of rows and the division of work between them, for `sizes`, the rows of each step.

    T, B         steps, and rows of the first step
    dense        whether every step has B rows: `sizes` is None
    num_lines    R
    step_offsets int64 [T + 1] or longer, the packed line at which each step begins, and R at T
    """

    def __init__(self, T: int, B: int, sizes: Integers | None):
        self.T, self.dense, self._sizes = T, sizes is None, sizes
        if sizes is None:
            self.B, self.num_lines, self.step_offsets = B, T * B, line_numbers(B, T)
            return
        if T and (sizes[0] > B or sizes[-1] < 0 or (sizes[1:] > sizes[:-1]).any()):
            expected = f"rows for each step, never more than in the step before and at most {B}"
            raise ShapeError(phrase("kernels", "sizes", expected, sizes.tolist(), "Sort rows by length."))
        self.B = int(sizes[0]) if T else B
        self.step_offsets = array("q", bytes(8))
        self.step_offsets.frombytes(sizes.cumsum().tobytes())
        self.num_lines = self.step_offsets[-1]

    @cached_property
    def _lengths(self) -> Integers:
        """[B], the steps of each row, where they differ."""
        assert self._sizes is not None
        return self.T - np.cumsum(np.bincount(self._sizes, minlength=self.B + 1))[: self.B]

    def row_splits(self, work_items: int, begin: int = 0, end: int | None = None) -> array:
        """The first rows of the work items, and B: ranges of nearly equal cost in steps begin … end.

        The cost is the number of lines if all rows are equally long. If not, a step of few rows costs as much as one of
        `min_rows_per_tile`: rows low … high cost the sum of their lengths, with the first rows of a tile all counted as
        long as the longest. Rows are bisected between halves of the work items, recursively.
        """
        if self.dense or work_items == 1:
            return array("q", [i * self.B // work_items for i in range(work_items + 1)])
        inside = self._lengths if end is None else np.clip(self._lengths - begin, 0, end - begin)
        tile = cost_model.COSTS.min_rows_per_tile
        length, before = [*inside.tolist(), 0], [0, *np.cumsum(inside).tolist()]

        def cost(low: int, high: int) -> int:
            first_tile = min(low + tile, high)
            return tile * length[low] + before[high] - before[first_tile] if low < high else 0

        def halve(low: int, high: int, work_items: int) -> list[int]:
            if work_items == 1:
                return [low]
            left = work_items // 2

            def uneven(middle: int) -> int:
                """The cost of an item on the right minus that of one on the left, scaled to an integer."""
                return left * cost(middle, high) - (work_items - left) * cost(low, middle)

            middle = bisect_right(range(low, high), 0, key=lambda m: -uneven(m)) + low
            if middle > low and uneven(middle - 1) < -uneven(middle):
                middle -= 1
            return [*halve(low, middle, left), *halve(middle, high, work_items - left)]

        return array("q", [*halve(0, self.B, work_items), self.B])

    def blocks(self, reverse: bool) -> list[int]:
        """The first step of each block of backpropagation in the order of work, and the number of steps.

        A block has at most BLOCK_ROWS lines, or one step. Blocks are counted from the end of the sequence, so that the
        last steps of a sequence have the blocks of the whole.
        """
        if self.dense:
            return [*range(0, self.T, min(self.T, block_steps(self.B)) or 1), self.T]
        first = self.step_offsets.tolist()  # ragged: T + 1 of them
        ends = first if reverse else [first[-1] - n for n in reversed(first)]
        starts = [0]
        while starts[-1] < self.T:
            starts.append(max(starts[-1] + 1, bisect_right(ends, ends[starts[-1]] + BLOCK_ROWS) - 1))
        return starts

    def largest_block(self, blocks: list[int], reverse: bool) -> int:
        """Lines of the largest of these `blocks`."""
        if self.dense:
            return blocks[1] * self.B if self.T else 0
        first, T = self.step_offsets, self.T
        bounds = [first[s if reverse else T - s] for s in blocks]
        return max((abs(b - a) for a, b in pairwise(bounds)), default=0)
