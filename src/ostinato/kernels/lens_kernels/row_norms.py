"""Norms of lines: what the lens asks of gradients at every step, without another pass over memory than one.

Sums of squares are added up in float64, so that a float32 gradient of 1e-25 has a size.

Letters: R lines, H numbers in a line, T steps, N runs.
"""

from __future__ import annotations

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

_WORTH_A_THREAD = 30_000
"""Numbers that one thread reads in about ten microseconds."""


class _SumOfSquares:
    """Σ v² of a line in float64, as vectors that are added up at its end."""

    def __init__(self, code: Code):
        self.code, n = code, code.lanes.lanes
        self.wide = Lanes(code.module, code.builder, "float64", n)
        self.room = code.alloca_i64(n)

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
        return self.code.builder.load(self.room.value, typ=self.wide.V, align=64)

    def _store(self, v: Any) -> None:
        self.code.builder.store(v, self.room.value, align=64)


def _units(code: Code, width: Int) -> Any:
    """((end of the whole vectors, their step), (units of the rest, its mask, its first unit))."""
    n = code.lanes.lanes
    whole = width // n * n
    return (whole, n), (width - whole, code.lanes.tail_mask((width - whole).value), whole)


_ENTRY = 6  # address, rows, numbers in a row, distance of rows, what is taken off, place of the first result


def _emit_row_norms(code: Code, args: NormsArgs, item: Int) -> None:
    """This part's share of the rows of every matrix in the table."""
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
    """One range of runs: from the last step in the order of work to the first."""
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
    return max(1, min(thread_count(), lines, numbers // _WORTH_A_THREAD))


def row_norms(several: Sequence[Tensor], less: Sequence[Tensor] = ()) -> Tensor:
    """‖v‖ of each line of each v, or ‖v - w‖: float64 [ΣR], one after the other. One job for all.

    several  [R, H] each, of one number type, neighbours in memory along H
    less     what is taken off of each, of its shape and as it lies in memory; or nothing
    """
    table, place, numbers, longest = array("q"), 0, 0, 1
    for k, v in enumerate(several):
        R, H = v.shape
        table.extend((v.data_ptr(), R, H, v.stride(0), less[k].data_ptr() if less else 0, place))
        place, numbers, longest = place + R, numbers + R * H, max(longest, R)
    found = torch.empty(place, dtype=torch.float64, device="cpu")
    kernel = _kernel("norms", SCALARS[several[0].dtype])
    block = kernel.block(_work_items(longest, numbers))
    block[NormsArgs.count], block[NormsArgs.table] = len(several), table.buffer_info()[0]
    block[NormsArgs.target] = found.data_ptr()
    kernel.run(block)
    return found


def additive_path_norms(
    adjoint: Tensor, carry: Tensor, first: Sequence[int], reverse: bool, now: Tensor, known: int
) -> tuple[Tensor, int]:
    """What arrives at the last step of each run, times the carry of every step on the way back: its norms.

    adjoint  [R, H], contiguous: read at the last step of each run
    carry    [R, H], neighbours in memory along H
    first    the first line of each of T steps, and R; runs are packed, the longest first
    reverse  whether the last step in the order of work is the first one
    now      [N, H], contiguous: of the first `known` runs what comes from the steps after these; overwritten
    Returns (float64 [R], how many runs of `now` hold what goes to the steps before these).
    """
    found = torch.empty(adjoint.shape[0], dtype=torch.float64, device="cpu")
    lines, T = np.array(first, np.int64), len(first) - 1
    runs = max(b - a for a, b in zip(first, first[1:]))
    t0, dt = (0, 1) if reverse else (T - 1, -1)
    kernel, p = _kernel("path", SCALARS[adjoint.dtype]), PathArgs
    block = kernel.block(_work_items(runs, adjoint.numel()))
    block[p.runs], block[p.steps], block[p.width], block[p.stride] = runs, T, adjoint.shape[1], carry.stride(0)
    block[p.first], block[p.t0], block[p.dt], block[p.known] = lines.ctypes.data, t0, dt, known
    block[p.adjoint], block[p.carry], block[p.now] = adjoint.data_ptr(), carry.data_ptr(), now.data_ptr()
    block[p.target] = found.data_ptr()
    kernel.run(block)
    end = T - 1 if reverse else 0
    return found, first[end + 1] - first[end]
