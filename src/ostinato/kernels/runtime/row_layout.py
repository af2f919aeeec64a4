"""Packed rows that stay in the caller's x: what kernels read of a `RaggedLayout`, and the kernel that makes one.

Letters: T steps, B rows of the caller's x.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from math import prod

import numpy as np
import torch
from torch import Tensor

from ...errors import ShapeError, phrase
from ...ragged_layout import RaggedLayout
from ..codegen.arguments import Address, BlockTemplate, Integer, WorkArgs
from ..codegen.ir_builder import Code, Int
from .compiled_kernel import CompiledKernel
from .standalone_kernel import StandaloneKernel
from .tensor_checks import in_memory, readable_tensor


def set_rows(rows: RaggedLayout, entries: array, compiled: CompiledKernel) -> None:
    """Writes the fields of a kernel's argument block; the addresses are valid while `rows` lives."""
    first = rows.address
    lengths, row_base, state_row, stride, steps, count = compiled.caller_row_fields
    entries[lengths], entries[row_base] = first, first + 8 * rows.rows
    if rows.by_rows:
        entries[state_row] = first + 8 * (rows.rows + rows.count)
    entries[stride], entries[steps], entries[count] = rows.stride, rows.steps, rows.rows


def check_rows(rows: RaggedLayout, x: Tensor, states: Sequence[Tensor], count: int) -> None:
    """Refuses an x with other lines, and other numbers of rows, which kernels do not check."""
    same = True
    if rows.by_rows:
        for s in states:
            same = same and s.shape[-2] == rows.rows
    if prod(x.shape[:-1]) != rows.steps * rows.rows or rows.count != count or not same:
        expected = f"x of {rows.steps * rows.rows} lines and {rows.rows} rows, {rows.count} of which are packed"
        received = f"{list(x.shape)}, states {[list(s.shape) for s in states]} and {count}"
        raise ShapeError(phrase("kernels", "rows", expected, received, "Give those of this very x."))


def copy_empty_rows(rows: RaggedLayout, starts: Sequence[Tensor], ends: Sequence[Tensor]) -> None:
    """Copies the initial states of rows without steps into the final states."""
    if rows.by_rows and rows.count < rows.rows:
        empty_rows = torch.from_numpy(np.flatnonzero(rows.lengths == 0))
        for a, b in zip(starts, ends):
            b.view(-1, b.shape[-1])[empty_rows] = a.view(-1, a.shape[-1])[empty_rows]


def sort_by_length(lengths: Tensor, steps: int, batch_first: bool) -> tuple[Tensor, RaggedLayout | None] | None:
    """(batch sizes [S], layout) of rows sorted by length, longest first, stable; S is the longest length.

    lengths: int64 [B], on the CPU. None if one of them is not between 0 and `steps`, or none is above 0. The layout
    is None if all of them are `steps`: such a batch is dense.
    """
    rows = lengths.shape[0]
    if lengths.dim() != 1 or not in_memory(lengths, torch.int64) or not lengths.is_contiguous():
        remedy = "Give one integer for each row."
        lengths = readable_tensor("kernels", "lengths", lengths, (rows,), torch.int64, remedy)
    numbers = torch.empty(3 * rows + 2 * steps + 5, dtype=torch.int64, device="cpu")
    first = numbers.data_ptr()
    sizes = first + 8 * 3 * rows
    values = (lengths.data_ptr(), first, rows, steps, steps if batch_first else 1)
    sort_kernel().run(_sort_block().filled((*values, sizes, sizes + 8 * steps, sizes + 8 * (2 * steps + 1))), 1)
    array, stride = numbers.numpy(), 1 if batch_first else rows
    count, longest, whole, wrong = array[-4:].tolist()
    if wrong or not count:
        return None
    if whole == rows:
        return numbers[3 * rows : 3 * rows + steps], None
    layout = RaggedLayout(array, array[3 * rows : 3 * rows + longest], count, rows, steps, stride)
    layout.address = first
    return numbers[3 * rows : 3 * rows + longest], layout


@lru_cache(maxsize=1)
def sort_kernel() -> StandaloneKernel:
    """The kernel that sorts rows, shared by all layers."""
    return StandaloneKernel("by length", "float32", SortArgs, _emit_sort)


@lru_cache(maxsize=1)
def _sort_block() -> BlockTemplate:
    """Its argument block."""
    a = SortArgs
    fields = (a.given, a.numbers, a.rows, a.steps, a.row_stride, a.sizes, a.counts, a.found)
    return BlockTemplate(sort_kernel().block(1), fields)


class SortArgs(WorkArgs):
    """The argument block of the kernel that sorts rows by length."""

    given = Address("int64 [B]: the lengths.")
    rows = Integer("B.")
    steps = Integer("T, the largest length that is allowed.")
    row_stride = Integer("Lines of x from one row's first step to the next row's.")
    numbers = Address("int64 [3 B], written: the content of `RaggedLayout.numbers`.")
    sizes = Address("int64 [T], written: rows of each step.")
    counts = Address("int64 [T + 1]: rows of each length, then the next position of a row of this length.")
    found = Address("int64 [4], written: rows with a step, the longest length, rows of length T, 1 for a wrong length.")


def _emit_sort(code: Code, args: SortArgs, item: Int) -> None:
    """Counting sort: the number of rows of each length, then the position of each row.

    A few microseconds, where a dozen calls of numpy cost ten each in a process whose caches a kernel has emptied.
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
