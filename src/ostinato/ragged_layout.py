"""`RaggedLayout`: where the steps of a ragged batch lie, in the caller's x and as packed rows.

A row is cut at its resets. Its segments are then rows of their own, packed with the longest first, so the packed rows
of a step are the first ones of the step before. Layers, kernels and the lens read this one record; it is index
arithmetic on arrays, and what is derived from it is computed on first use.

Letters: T steps, B rows of the caller's x, N segments, R steps of all segments together, S steps of the longest one.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


class RaggedLayout:
    """The segments of a ragged batch in the order of packed rows.

    numbers     int64, concatenated: [B] the steps of each row of x; [N] the index of each segment's first step among
                the T·B steps of x; [N] the row of x that each segment was cut from; more may follow
    sizes       int64 [S], the packed rows of each step: N first, never growing
    count       N
    rows        B
    steps       T
    stride      the distance from the index of a step to that of the next step of its row
    starts_new  bool [N], whether the segment starts from the layer's initial state, not from the row's; None where no
                segment does
    ends        bool [N], whether it is the last segment of its row; None where every row is one segment
    """

    def __init__(
        self,
        numbers: Integers,
        sizes: Integers,
        count: int,
        rows: int,
        steps: int,
        stride: int,
        starts_new: Bools | None = None,
        ends: Bools | None = None,
    ):
        self.numbers, self.sizes, self.count, self.rows, self.steps = numbers, sizes, count, rows, steps
        self.stride, self.starts_new, self.ends = stride, starts_new, ends

    @cached_property
    def address(self) -> int:
        """Of `numbers`, valid while this object lives."""
        return self.numbers.ctypes.data

    @cached_property
    def batch_sizes(self) -> Tensor:
        """`sizes` as a tensor on the CPU, as a PackedSequence has them."""
        return torch.from_numpy(self.sizes)

    @property
    def by_rows(self) -> bool:
        """Whether every row is one segment: kernels then take one state for each row of x, and not for each segment."""
        return self.ends is None

    @property
    def dense(self) -> bool:
        """Whether all rows have T steps in one segment. Without a step there is nothing dense."""
        whole = self.ends is None and self.steps > 0
        return whole and (not self.rows or len(self.sizes) == self.steps and self.sizes[-1] == self.rows)

    @property
    def lengths(self) -> Integers:
        """[B], the steps of each row of x."""
        return self.numbers[: self.rows]

    @property
    def starts(self) -> Integers:
        """[N], the index of each segment's first step among the T·B steps of x."""
        return self.numbers[self.rows : self.rows + self.count]

    @property
    def source_row(self) -> Integers:
        """[N], the row of x of each segment."""
        return self.numbers[self.rows + self.count : self.rows + 2 * self.count]

    @cached_property
    def last(self) -> Integers:
        """[B], the last segment of each row, N + b for a row b without a step."""
        last = np.arange(self.rows) + self.count
        number = np.arange(self.count) if self.ends is None else np.nonzero(self.ends)[0]
        last[self.source_row[number]] = number
        return last

    @cached_property
    def segment(self) -> Integers:
        """[R], which segment each packed row is a step of."""
        before = np.cumsum(self.sizes) - self.sizes
        return np.arange(int(self.sizes.sum())) - np.repeat(before, self.sizes)

    @cached_property
    def index(self) -> Integers:
        """[R], the index of each packed row among the T·B steps of the caller's x."""
        return self.starts[self.segment] + self.stride * np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def inverse(self) -> Integers:
        """[T·B], the packed row of each step of the caller's x, R where no segment has that step."""
        inverse = np.full(self.steps * self.rows, len(self.index))
        inverse[self.index] = np.arange(len(self.index))
        return inverse

    def packed_row(self, batch_first: bool) -> Integers:
        """[T, B], `inverse` by step and row; batch_first: x has its steps row by row."""
        steps, rows = self.steps, self.rows
        return self.inverse.reshape(rows, steps).T if batch_first else self.inverse.reshape(steps, rows)
