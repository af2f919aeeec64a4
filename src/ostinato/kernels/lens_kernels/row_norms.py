"""Norms of the rows of matrices, and copies of some of their rows, in one launch: what is observed at every step.

Squares are accumulated in float64, so that the norm of a float32 gradient of 1e-25 is not 0.

Letters: R lines, H columns, M lines of a sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from llvmlite import ir
from torch import Tensor

from ...caching import bounded_cache
from ..codegen.arguments import Address, BlockTemplate, Integer, WorkArgs
from ..codegen.ir_builder import Code, Int, Ptr
from ..codegen.vector_ops import Lanes
from ..runtime.standalone_kernel import SCALARS, StandaloneKernel, root_of
from ..system import memory_pool
from ..system.openmp import thread_count

_MIN_NUMBERS_PER_THREAD = 30_000
"""Minimum numbers per thread: it reads them in about ten microseconds."""
POOL_THRESHOLD = 1 << 17
"""Minimum size in bytes for which copies come from the pool, as fresh memory costs a page fault per page."""


class Lines(NamedTuple):
    """Some columns of some lines of a tensor, which are copied."""

    source: Tensor
    """[..., C], contiguous: lines of C columns."""
    numbers: Tensor
    """int64 [M] on the CPU, contiguous: the numbers of the lines."""
    first: int
    """The first of the columns that are copied."""
    width: int
    """How many are."""


class SumOfSquares:
    """Σ v² of a line in float64: a vector of partial sums, reduced at the end of the line."""

    def __init__(self, code: Code):
        self.code, n = code, code.lanes.lanes
        self.wide = Lanes(code.module, code.builder, "float64", n)
        self.partial = code.alloca_i64(n)

    def begin(self) -> None:
        self._store(self.wide.zero)

    def add(self, v: Any) -> None:
        wide = v if self.code.lanes.scalar == "float64" else self.code.builder.fpext(v, self.wide.V)
        self._store(self.wide.fma(wide, wide, self._load()))

    def root_into(self, p: Ptr, index: Int) -> None:
        """√Σ as the index-th float64 from p."""
        b, kind = self.code.builder, ir.DoubleType()
        root = root_of(self.code, self.wide.sum(self._load()))
        b.store(root, b.gep(p.value, [index.value], source_etype=kind), align=8)

    def _load(self) -> Any:
        return self.code.builder.load(self.partial.value, typ=self.wide.V, align=64)

    def _store(self, v: Any) -> None:
        self.code.builder.store(v, self.partial.value, align=64)


def units(code: Code, width: Int) -> Any:
    """((end of the whole vectors, their step), (columns of the tail, its mask, its first column))."""
    n = code.lanes.lanes
    whole = width // n * n
    return (whole, n), (width - whole, code.lanes.tail_mask((width - whole).value), whole)


def copy_line(code: Code, line: Ptr, to: Ptr, width: Int) -> None:
    """Emits a copy of one line."""
    (whole, n), (rest, mask, last) = units(code, width)
    with code.range(whole, step=n) as u:
        to.at(u).store(line.at(u).load())
    with code.if_(rest > 0):
        to.at(last).store(line.at(last).load(mask), mask)


_NORMS = 6
"""Integers of a matrix in the table: address, rows, columns, row stride, address to subtract or 0, first result."""
_LINES = 6
"""Integers of a sample in its table: address, row stride, columns, address of the index, lines, address of copies."""


def _emit(code: Code, args: NormsArgs, item: Int) -> None:
    _emit_norms(code, args, item)
    _emit_lines(code, args, item)


def _emit_norms(code: Code, args: NormsArgs, item: Int) -> None:
    """The rows of one work item, of every matrix in the table."""
    squares, table = SumOfSquares(code), args.table
    with code.range(args.count) as e:
        source, rows, width, stride, less, place = (table.load_i64(e * _NORMS + k) for k in range(_NORMS))
        (whole, n), (rest, mask, last) = units(code, width)
        with code.range((item + 1) * rows // args.work_items, item * rows // args.work_items) as r:
            line, other = (code.as_pointer(p).at(r * stride) for p in (source, less))
            squares.begin()
            with code.if_else(less.equals(0)) as (alone, difference):
                with alone:
                    with code.range(whole, step=n) as u:
                        squares.add(line.at(u).load())
                    with code.if_(rest > 0):
                        squares.add(line.at(last).load(mask))
                with difference:
                    with code.range(whole, step=n) as u:
                        squares.add(code.lanes.sub(line.at(u).load(), other.at(u).load()))
                    with code.if_(rest > 0):
                        squares.add(code.lanes.sub(line.at(last).load(mask), other.at(last).load(mask)))
            squares.root_into(args.target, place + r)


def _emit_lines(code: Code, args: NormsArgs, item: Int) -> None:
    """The copies of one work item, of every sample in the table."""
    table = args.samples
    with code.range(args.sample_count) as e:
        source, stride, width, index, count, target = (table.load_i64(e * _LINES + k) for k in range(_LINES))
        with code.range((item + 1) * count // args.work_items, item * count // args.work_items) as r:
            line = code.as_pointer(source).at(code.as_pointer(index).load_i64(r) * stride)
            copy_line(code, line, code.as_pointer(target).at(r * width), width)


class NormsArgs(WorkArgs):
    """The argument block of the kernel of row norms."""

    count = Integer("Matrices.")
    table = Address("int64 [count, 6]: address, rows, columns, row stride, address to subtract or 0, first result.")
    target = Address("float64, written: the norms, one after the other.")
    sample_count = Integer("Samples.")
    samples = Address(
        "int64 [sample_count, 6]: address, row stride, columns, address of the index, lines, address of the copies."
    )


@lru_cache(maxsize=8)
def norms_kernel(scalar: str) -> StandaloneKernel:
    return StandaloneKernel("norms", scalar, NormsArgs, _emit)


def work_item_count(lines: int, numbers: int) -> int:
    """Work items for so many lines, which are not divided, of so many numbers in all."""
    return max(1, min(thread_count(), lines, numbers // _MIN_NUMBERS_PER_THREAD))


class _Plan(NamedTuple):
    """What calls of tensors of some sizes have in common."""

    kernel: StandaloneKernel
    block: BlockTemplate
    matrices: array
    """The table of matrices, without addresses."""
    samples: array
    """The table of samples, without addresses."""
    norms: int
    """How many there are in all."""


@bounded_cache(2 << 20, size_of=lambda plan, *_: 16 * (len(plan.matrices) + len(plan.samples)) + (2 << 10))
def _plan(
    sizes: tuple[int, ...],
    counts: tuple[int, ...],
    samples: tuple[tuple[int, int, int], ...],
    threads: int,
    scalar: str,
) -> _Plan:
    """samples: (numbers from line to line, columns, lines) of each."""
    matrices, copies, place = array("q"), array("q"), 0
    for size, rows in zip(sizes, counts):
        width = size // rows
        matrices.extend((0, rows, width, width, 0, place))
        place += rows
    for stride, width, lines in samples:
        copies.extend((0, stride, width, 0, lines, 0))
    numbers = sum(sizes) + sum(width * lines for _, width, lines in samples)
    longest = max((*counts, *(lines for *_, lines in samples)))
    kernel, a = norms_kernel(scalar), NormsArgs
    block = kernel.block(max(1, min(threads, longest, numbers // _MIN_NUMBERS_PER_THREAD)))
    block[a.count], block[a.sample_count] = len(counts), len(samples)
    return _Plan(kernel, BlockTemplate(block, (a.table, a.samples, a.target)), matrices, copies, place)


def row_norms(
    tensors: Sequence[Tensor],
    counts: Sequence[int],
    subtract: Sequence[Tensor] = (),
    samples: Sequence[Lines] = (),
) -> tuple[Tensor, list[Tensor]]:
    """(‖v‖ of each of the equal parts of each v, or ‖v - w‖: float64, concatenated; the lines [M, H] of each sample).

    tensors   v, contiguous, of one number type
    counts    the number of parts of each: of rows, where it is a matrix
    subtract  w for each v, of its shape and contiguous; or nothing
    samples   lines to copy, of the same number type
    """
    dtype = tensors[0].dtype
    sampled = tuple([(source.shape[-1], width, numbers.shape[0]) for source, numbers, _, width in samples])
    sizes = tuple([v.numel() for v in tensors])
    plan = _plan(sizes, tuple(counts), sampled, thread_count(), SCALARS[dtype])
    matrices, copies, itemsize = plan.matrices[:], plan.samples[:], dtype.itemsize
    for k, v in enumerate(tensors):
        matrices[_NORMS * k] = v.data_ptr()
    for k, w in enumerate(subtract):
        matrices[_NORMS * k + 4] = w.data_ptr()
    lines = []
    for k, (source, numbers, first, width) in enumerate(samples):
        copy = memory_pool.empty((numbers.shape[0], width), dtype, POOL_THRESHOLD)
        copies[_LINES * k] = source.data_ptr() + first * itemsize
        copies[_LINES * k + 3], copies[_LINES * k + 5] = numbers.data_ptr(), copy.data_ptr()
        lines.append(copy)
    norms = torch.empty(plan.norms, dtype=torch.float64, device="cpu")
    plan.kernel.run(plan.block.filled((matrices.buffer_info()[0], copies.buffer_info()[0], norms.data_ptr())))
    return norms, lines
