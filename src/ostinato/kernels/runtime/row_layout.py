"""The layout of packed rows in the caller's x: the first line of each row, and the lines that no row has.

Letters: T steps, B rows of the caller's x, N packed rows, R lines of all packed rows together.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ShapeError, phrase
from ..codegen.arguments import Address, Integer, Layout, WorkArgs
from ..codegen.ir_builder import Code, Int
from ..codegen.kernel_args import KernelArgs
from .standalone_kernel import StandaloneKernel
from .tensor_checks import readable_tensor

Integers = NDArray[np.int64]


class RowLayout:
    """Packed rows in the caller's x [T, B, C], or [B, T, C] with batch_first, or [T, C]. Kernels do not check it.

    numbers  int64, concatenated: [B] the steps of each row of x, past which tensors with the layout of x are zero; [N]
             the line of x, one of its T·B, at which each packed row begins; [N] the row of x of each packed row
    count    N
    rows     B
    steps    T
    row_stride  lines from one step of a row to its next
    by_rows  whether there is one state for each row of x, B of them, and not for each packed row
    """

    def __init__(self, numbers: Tensor, count: int, rows: int, steps: int, row_stride: int, by_rows: bool):
        self.numbers, self.count, self.rows, self.steps, self.row_stride = numbers, count, rows, steps, row_stride
        self.by_rows = by_rows

    @classmethod
    def of(
        cls, lengths: Integers, starts: Integers, source_row: Integers, steps: int, row_stride: int, by_rows: bool
    ) -> RowLayout:
        """From arrays [B], [N] and [N]."""
        numbers = torch.from_numpy(np.concatenate([lengths, starts, source_row]))
        return cls(numbers, len(starts), len(lengths), steps, row_stride, by_rows)

    def fill(self, entries: array, layout: Layout) -> None:
        """Writes the fields of a kernel's argument block; the addresses are valid while this object lives."""
        first = self.numbers.data_ptr()
        entries[layout[KernelArgs.caller_lengths]] = first
        entries[layout[KernelArgs.row_base]] = first + 8 * self.rows
        if self.by_rows:
            entries[layout[KernelArgs.state_row]] = first + 8 * (self.rows + self.count)
        entries[layout[KernelArgs.row_stride]] = self.row_stride
        entries[layout[KernelArgs.caller_steps]], entries[layout[KernelArgs.caller_rows]] = self.steps, self.rows

    def check(self, x: Tensor, states: Sequence[Tensor], rows: int) -> None:
        """Refuses an x with other lines, and other numbers of rows, which kernels do not check."""
        same = not self.by_rows or all(s.shape[-2] == self.rows for s in states)
        if prod(x.shape[:-1]) != self.steps * self.rows or self.count != rows or not same:
            expected = f"x of {self.steps * self.rows} lines and {self.rows} rows, {self.count} of which are packed"
            received = f"{list(x.shape)}, states {[list(s.shape) for s in states]} and {rows}"
            raise ShapeError(phrase("kernels", "rows", expected, received, "Give those of this very x."))

    @property
    def source_row(self) -> Tensor:
        """int64 [N], the row of x of each packed row."""
        return self.numbers[self.rows + self.count : self.rows + 2 * self.count]

    @property
    def empty_rows(self) -> Tensor:
        """bool [B], the rows of x without steps."""
        return self.numbers[: self.rows] == 0

    def copy_empty_rows(self, starts: Sequence[Tensor], ends: Sequence[Tensor]) -> None:
        """Copies the initial states of rows without steps into the final states."""
        if self.by_rows and self.count < self.rows:
            empty_rows = self.empty_rows.nonzero().view(-1)
            for a, b in zip(starts, ends):
                b.view(-1, b.shape[-1])[empty_rows] = a.view(-1, a.shape[-1])[empty_rows]

    def index(self, sizes: Sequence[int]) -> Tensor:
        """[R], the line of x of each packed row, where step t has sizes[t] of them."""
        starts = self.numbers[self.rows : self.rows + self.count]
        return torch.cat([starts[:n] + t * self.row_stride for t, n in enumerate(sizes)])


def sort_by_length(lengths: Tensor, steps: int, batch_first: bool) -> tuple[Tensor, RowLayout | None] | None:
    """(batch sizes [S], row layout) of rows sorted by length, longest first, stable; S is the longest length.

    lengths: int64 [B], on the CPU. None if one of them is not between 0 and `steps`, or none is above 0. The row layout
    is None if all of them are `steps`: such a batch is dense.
    """
    rows = len(lengths)
    lengths = readable_tensor("kernels", "lengths", lengths, (rows,), torch.int64, "Give one integer for each row.")
    numbers = torch.empty(3 * rows + 2 * steps + 5, dtype=torch.int64, device="cpu")
    first = numbers.data_ptr()
    sizes, counts, found = (first + 8 * (3 * rows + n) for n in (0, steps, 2 * steps + 1))
    kernel = sort_kernel()
    block = kernel.block(1)
    block[SortArgs.given], block[SortArgs.numbers] = lengths.data_ptr(), first
    block[SortArgs.rows], block[SortArgs.steps] = rows, steps
    block[SortArgs.row_stride] = steps if batch_first else 1
    block[SortArgs.sizes], block[SortArgs.counts], block[SortArgs.found] = sizes, counts, found
    kernel.run(block, 1)
    count, longest, whole, wrong = numbers[-4:].tolist()
    if wrong or not count:
        return None
    if whole == rows:
        return numbers[3 * rows : 3 * rows + steps], None
    return numbers[3 * rows : 3 * rows + longest], RowLayout(
        numbers, count, rows, steps, 1 if batch_first else rows, by_rows=True
    )


@lru_cache(maxsize=1)
def sort_kernel() -> StandaloneKernel:
    """The kernel that sorts rows, shared by all layers."""
    return StandaloneKernel("by length", "float32", SortArgs, _emit_sort)


class SortArgs(WorkArgs):
    """The argument block of the kernel that sorts rows by length."""

    given = Address("int64 [B]: the lengths.")
    rows = Integer("B.")
    steps = Integer("T, the largest length that is allowed.")
    row_stride = Integer("Lines of x from one row's first step to the next row's.")
    numbers = Address("int64 [3 B], written: the content of `RowLayout.numbers`.")
    sizes = Address("int64 [T], written: rows of each step.")
    counts = Address("int64 [T + 1]: rows of each length, then the next position of a row of this length.")
    found = Address("int64 [4], written: rows with a step, the longest length, rows of length T, 1 for a wrong length.")


def _emit_sort(code: Code, args: SortArgs, item: Int) -> None:
    """Counting sort: the number of rows of each length, then the position of each row.

    A few microseconds, where a dozen calls of numpy cost ten each in a process source_row caches a kernel has emptied.
    """
    given, numbers, sizes, counts, found = args.given, args.numbers, args.sizes, args.counts, args.found
    rows, steps = args.rows, args.steps
    for k in range(4):
        found.store_i64(k, 0)
    with code.range(steps + 1) as n:
        counts.store_i64(n, 0)
    with code.range(rows) as b:
        n = given.load_i64(b)
        numbers.store_i64(b, n)
        with code.if_else((n >= 0) & (n <= steps)) as (right, wrong):
            with right:
                counts.store_i64(n, counts.load_i64(n) + 1)
            with wrong:
                found.store_i64(3, 1)
    found.store_i64(0, rows)
    with code.range(steps) as t:
        longer = found.load_i64(0) - counts.load_i64(t)
        for table, place in ((found, code.int_const(0)), (sizes, t), (counts, t)):
            table.store_i64(place, longer)
        with code.if_(longer > 0):
            found.store_i64(1, t + 1)
    found.store_i64(2, counts.load_i64(steps))
    counts.store_i64(steps, 0)
    with code.if_(steps > 0):
        found.store_i64(0, sizes.load_i64(0))
    starts = numbers.i64_ptr(rows)
    source_row = starts.i64_ptr(found.load_i64(0))
    with code.range(rows) as b:
        n = given.load_i64(b)
        with code.if_((n > 0) & (n <= steps)):
            place = counts.load_i64(n)
            counts.store_i64(n, place + 1)
            starts.store_i64(place, b * args.row_stride)
            source_row.store_i64(place, b)
