"""The gradient along the additive path: its norm at every step, from the last step of each row to the first.

Letters: R lines, H columns, T steps, N packed rows.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

import torch
from torch import Tensor

from ..codegen.arguments import Address, Integer, WorkArgs
from ..codegen.ir_builder import Code, Int
from ..runtime.standalone_kernel import SCALARS, StandaloneKernel
from .row_norms import SumOfSquares, units, work_item_count


def _emit(code: Code, args: PathArgs, item: Int) -> None:
    """A range of packed rows, from the last step in the order of work to the first."""
    squares = SumOfSquares(code)
    width, first = args.width, args.first
    (whole, n), (rest, mask, last) = units(code, width)
    low, high = item * args.runs // args.work_items, (item + 1) * args.runs // args.work_items

    def count(t: Int) -> Int:
        return first.load_i64(t + 1) - first.load_i64(t)

    forwards = args.dt > 0
    origin = first.load_i64(args.begin)
    with code.range(args.end - args.begin) as s:
        t = forwards.select(args.begin + s, args.end - 1 - s)
        line = first.load_i64(t)
        some = forwards.select(t, args.steps - 1 - t) > 0
        before = some.select(args.dt, 0)
        known = some.select(count(t - before), args.known)
        with code.range(count(t).min(high), low) as r:
            now = args.now.at(r * width)
            arriving = (r < known).select_pointer(now, args.adjoint.at((line - origin + r) * width))
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


class PathArgs(WorkArgs):
    """The argument block of the kernel that follows the additive path."""

    runs = Integer("Packed rows of the first step.")
    steps = Integer("T.")
    width = Integer("H.")
    stride = Integer("Numbers from one line of `carry` to the next.")
    first = Address("int64 [T + 1]: the first line of each step.")
    begin = Integer("The first of the steps of this launch, in the order of memory.")
    end = Integer("The step after the last one.")
    dt = Integer("1 or -1: from a step to the next in the order of this work.")
    known = Integer(
        "Rows of `now` that hold a value from later steps before the first step of all in the order of work."
    )
    adjoint = Address("[R, H], from the first line of this launch on: state gradients.")
    carry = Address("[R, stride]: what a state carries over at each step.")
    now = Address("[runs, H], overwritten: the gradient along the additive path.")
    target = Address("float64 [R], written: norms.")


@lru_cache(maxsize=8)
def path_kernel(scalar: str) -> StandaloneKernel:
    return StandaloneKernel("path", scalar, PathArgs, _emit)


def additive_path_norms(
    adjoint: Tensor, carry: Tensor, first: array, reverse: bool, now: Tensor, known: int
) -> tuple[Tensor, int]:
    """Norms at every step of the gradient along the additive path: the adjoint at the last step of a row, times the
    carry of every step on the way back.

    adjoint  [R, H], contiguous: read at the last step of each row
    carry    [R, H], contiguous along H
    first    int64, the first line of each of T steps, and R; rows are packed, the longest first
    reverse  whether the last step in the order of work is the first one
    now      [N, H], contiguous: for the first `known` rows the gradient from the steps after these; overwritten
    Returns (float64 [R], the number of rows of `now` that hold a gradient for the steps before these).
    """
    norms = torch.empty(adjoint.shape[0], dtype=torch.float64, device="cpu")
    T = len(first) - 1
    runs = first[1] - first[0]
    kernel, p = path_kernel(SCALARS[adjoint.dtype]), PathArgs
    block = kernel.block(work_item_count(runs, adjoint.numel()))
    block[p.runs], block[p.steps], block[p.width], block[p.stride] = runs, T, adjoint.shape[1], carry.stride(0)
    block[p.begin], block[p.end] = 0, T
    block[p.first], block[p.dt], block[p.known] = first.buffer_info()[0], 1 if reverse else -1, known
    block[p.adjoint], block[p.carry], block[p.now] = adjoint.data_ptr(), carry.data_ptr(), now.data_ptr()
    block[p.target] = norms.data_ptr()
    kernel.run(block)
    end = T - 1 if reverse else 0
    return norms, first[end + 1] - first[end]
