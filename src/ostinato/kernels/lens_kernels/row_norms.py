"""Norms of the rows of matrices, for gradients at every step, in one pass over memory.

Squares are accumulated in float64, so that the norm of a float32 gradient of 1e-25 is not 0.

Letters: R lines, H columns, T steps, N packed rows.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from torch import Tensor

from ..codegen.arguments import Address, Integer, WorkArgs
from ..codegen.ir_builder import Code, Int, Ptr
from ..codegen.vector_ops import Lanes
from ..runtime.standalone_kernel import SCALARS, StandaloneKernel, root_of
from ..system.openmp import thread_count

_MIN_NUMBERS_PER_THREAD = 30_000
"""Minimum numbers per thread: it reads them in about ten microseconds."""


class _SumOfSquares:
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


def _units(code: Code, width: Int) -> Any:
    """((end of the whole vectors, their step), (columns of the tail, its mask, its first column))."""
    n = code.lanes.lanes
    whole = width // n * n
    return (whole, n), (width - whole, code.lanes.tail_mask((width - whole).value), whole)


_ENTRY = 6
"""Integers of a matrix in the table: address, rows, columns, row stride, address to subtract or 0, first result."""


def _emit_row_norms(code: Code, args: NormsArgs, item: Int) -> None:
    """The rows of one work item, of every matrix in the table."""
    squares, table = _SumOfSquares(code), args.table
    with code.range(args.count) as e:
        source, rows, width, stride, less, place = (table.load_i64(e * _ENTRY + k) for k in range(_ENTRY))
        (whole, n), (rest, mask, last) = _units(code, width)
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


def _emit_additive_path(code: Code, args: PathArgs, item: Int) -> None:
    """A range of packed rows, from the last step in the order of work to the first."""
    squares = _SumOfSquares(code)
    width, first = args.width, args.first
    (whole, n), (rest, mask, last) = _units(code, width)
    low, high = item * args.runs // args.work_items, (item + 1) * args.runs // args.work_items

    def count(t: Int) -> Int:
        return first.load_i64(t + 1) - first.load_i64(t)

    with code.range(args.steps) as s:
        t = args.t0 + args.dt * s
        line = first.load_i64(t)
        some = s > 0
        before = some.select(args.dt, 0)
        known = some.select(count(t - before), args.known)
        with code.range(count(t).min(high), low) as r:
            now = args.now.at(r * width)
            arriving = (r < known).select_pointer(now, args.adjoint.at((line + r) * width))
            carry = args.carry.at((line + r) * args.stride)
            squares.begin()
            with code.range(whole, step=n) as u:
                v = arriving.at(u).load()
                squares.add(v)
                now.at(u).store(code.lanes.mul(v, carry.at(u).load()))
            with code.if_(rest > 0):
                v = arriving.at(last).load(mask)
                squares.add(v)
                now.at(last).store(code.lanes.mul(v, carry.at(last).load(mask)), mask)
            squares.root_into(args.target, line + r)


class NormsArgs(WorkArgs):
    """The argument block of the kernel of row norms."""

    count = Integer("Matrices.")
    table = Address("int64 [count, 6]: address, rows, columns, row stride, address to subtract or 0, first result.")
    target = Address("float64, written: the norms, one after the other.")


class PathArgs(WorkArgs):
    """The argument block of the kernel that follows the additive path."""

    runs = Integer("Packed rows of the first step.")
    steps = Integer("T.")
    width = Integer("H.")
    stride = Integer("Numbers from one line of `carry` to the next.")
    first = Address("int64 [T + 1]: the first line of each step.")
    t0 = Integer("The first step in the order of this work.")
    dt = Integer("1 or -1: from a step to the next in the order of this work.")
    known = Integer("Rows of `now` that hold a value from later steps.")
    adjoint = Address("[R, H]: state gradients.")
    carry = Address("[R, stride]: what a state carries over at each step.")
    now = Address("[runs, H], overwritten: the gradient along the additive path.")
    target = Address("float64 [R], written: norms.")


@lru_cache(maxsize=8)
def _kernel(name: str, scalar: str) -> StandaloneKernel:
    if name == "norms":
        return StandaloneKernel("norms", scalar, NormsArgs, _emit_row_norms)
    return StandaloneKernel("path", scalar, PathArgs, _emit_additive_path)


def _work_items(lines: int, numbers: int) -> int:
    return max(1, min(thread_count(), lines, numbers // _MIN_NUMBERS_PER_THREAD))


def row_norms(matrices: Sequence[Tensor], subtract: Sequence[Tensor] = ()) -> Tensor:
    """‖v‖ of each row of each v, or ‖v - w‖: float64 [ΣR], concatenated, in one launch.

    matrices  v, [R, H] each, of one number type, contiguous along H
    subtract  w for each v, of its shape and strides; or nothing
    """
    table, place, numbers, longest = array("q"), 0, 0, 1
    for k, v in enumerate(matrices):
        R, H = v.shape
        table.extend((v.data_ptr(), R, H, v.stride(0), subtract[k].data_ptr() if subtract else 0, place))
        place, numbers, longest = place + R, numbers + R * H, max(longest, R)
    norms = torch.empty(place, dtype=torch.float64, device="cpu")
    kernel = _kernel("norms", SCALARS[matrices[0].dtype])
    block = kernel.block(_work_items(longest, numbers))
    block[NormsArgs.count], block[NormsArgs.table] = len(matrices), table.buffer_info()[0]
    block[NormsArgs.target] = norms.data_ptr()
    kernel.run(block)
    return norms


def additive_path_norms(
    adjoint: Tensor, carry: Tensor, first: Sequence[int], reverse: bool, now: Tensor, known: int
) -> tuple[Tensor, int]:
    """Norms at every step of the gradient along the additive path: the adjoint at the last step of a row, times the
    carry of every step on the way back.

    adjoint  [R, H], contiguous: read at the last step of each row
    carry    [R, H], contiguous along H
    first    the first line of each of T steps, and R; rows are packed, the longest first
    reverse  whether the last step in the order of work is the first one
    now      [N, H], contiguous: for the first `known` rows the gradient from the steps after these; overwritten
    Returns (float64 [R], the number of rows of `now` that hold a gradient for the steps before these).
    """
    norms = torch.empty(adjoint.shape[0], dtype=torch.float64, device="cpu")
    lines, T = np.array(first, np.int64), len(first) - 1
    runs = max(map(operator.sub, first[1:], first))
    t0, dt = (0, 1) if reverse else (T - 1, -1)
    kernel, p = _kernel("path", SCALARS[adjoint.dtype]), PathArgs
    block = kernel.block(_work_items(runs, adjoint.numel()))
    block[p.runs], block[p.steps], block[p.width], block[p.stride] = runs, T, adjoint.shape[1], carry.stride(0)
    block[p.first], block[p.t0], block[p.dt], block[p.known] = lines.ctypes.data, t0, dt, known
    block[p.adjoint], block[p.carry], block[p.now] = adjoint.data_ptr(), carry.data_ptr(), now.data_ptr()
    block[p.target] = norms.data_ptr()
    kernel.run(block)
    end = T - 1 if reverse else 0
    return norms, first[end + 1] - first[end]
