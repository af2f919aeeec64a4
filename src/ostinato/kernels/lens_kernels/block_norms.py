"""Norms and samples of the gradients of a backward pass, taken after each block of its steps, with one launch a block.

The gradients of a block are in the cache then, and need no memory beyond it.

Letters: S steps, R lines, N packed rows of the first step, M sampled lines, H units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...caching import bounded_cache
from ..codegen.arguments import Address, Addresses, BlockTemplate, Integer, Integers, WorkArgs
from ..codegen.ir_builder import Code, Int
from ..runtime.standalone_kernel import CombinedKernel, StandaloneKernel
from ..system import memory_pool
from .additive_path import PathArgs, path_kernel
from .outer_product_norms import KERNEL_BYTES, OuterNorms, OuterNormsArgs, OuterShape, Pattern, outer_kernel
from .row_norms import POOL_THRESHOLD, SumOfSquares, copy_line, units


class Path(NamedTuple):
    """The additive path of one state."""

    state: int
    """The number of the state."""
    carry: Tensor
    """[..., C], contiguous: what the state carries over at each step, in H of its columns."""
    column: int
    """The first of these."""
    now: Tensor
    """[N, H], contiguous, overwritten: the gradient along the path, from the steps after these."""
    known: int
    """Rows of `now` that hold a gradient."""


class Spread(NamedTuple):
    """Lines at equal distances."""

    lines: int
    """M."""
    first: int
    """The number of the first one."""
    stride: int
    """From one to the next."""


class BlockArgs(WorkArgs):
    """The argument block of the norms and samples of state gradients; keys are numbers of their matrices."""

    begin = Integer("The first of the steps of this launch, in the order of memory.")
    end = Integer("The step after the last one.")
    first = Address("int64 [S + 1]: the first line of each step.")
    lines = Integer("R.")
    target = Address("float64 [matrices, R], written: norms.")
    adjoint = Addresses("[R, width], from the first line of this launch on: gradients.")
    width = Integers("Columns.")
    sampled = Integer("M.")
    sampled_first = Integer("The first sampled line.")
    sampled_stride = Integer("From one sampled line to the next.")
    samples = Addresses("[M, width], written: copies of the sampled lines.")


def _emit(matrices: int, states: int) -> Any:
    def emit(code: Code, args: BlockArgs, item: Int) -> None:
        origin, end = args.first.load_i64(args.begin), args.first.load_i64(args.end)
        rows, squares = end - origin, SumOfSquares(code)
        low, high = item * rows // args.work_items, (item + 1) * rows // args.work_items
        first, stride = args.sampled_first, args.sampled_stride
        for k in range(matrices):
            width = args.width[k]
            (whole, n), (rest, mask, last) = units(code, width)
            with code.range(high, low) as r:
                line = args.adjoint[k].at(r * width)
                squares.begin()
                with code.range(whole, step=n) as u:
                    squares.add(line.at(u).load())
                with code.if_(rest > 0):
                    squares.add(line.at(last).load(mask))
                squares.root_into(args.target, args.lines * k + origin + r)
            if k < states:
                # The sampled lines from low to high: the first that is not before it, by a division rounded up.
                a, b = (((origin + r - first).max(0)).ceil_div(stride).min(args.sampled) for r in (low, high))
                with code.range(b, a) as m:
                    line = args.adjoint[k].at((first + m * stride - origin) * width)
                    copy_line(code, line, args.samples[k].at(m * width), width)

    return emit


@bounded_cache(8 << 20, size_of=lambda *_: 2 * KERNEL_BYTES)
def _kernel(sets: int, states: int, paths: int, pattern: Pattern, scalar: str) -> CombinedKernel:
    a, matrices = BlockArgs, range(sets * states)
    keyed = [f[k] for k in matrices for f in (a.adjoint, a.width)] + [a.samples[k] for k in range(states)]
    norms = StandaloneKernel("block norms", scalar, a, _emit(len(matrices), states), f"{sets} {states}", keyed)
    return CombinedKernel([norms, *[path_kernel(scalar)] * paths, outer_kernel(pattern, scalar)])


class _Plan(NamedTuple):
    """All that the passes of one size have in common."""

    kernel: CombinedKernel
    norms: BlockTemplate
    paths: list[BlockTemplate]
    ranges: list[tuple[int, int]]
    """(index of the first step, of the end) in the argument block of each part."""
    adjoints: list[tuple[int, int, int]]
    """(number of the part, index in its argument block, which gradient) of each address."""


@bounded_cache(4 << 20, size_of=lambda *_: 8 << 10)
def _plan(
    widths: tuple[int, ...], sets: int, carries: tuple[tuple[int, int], ...], lines: int, outer: OuterShape
) -> _Plan:
    """carries: (number of the state, numbers from one line of its carry to the next) of each path."""
    a, p, states, paths = BlockArgs, PathArgs, len(widths), []
    kernel = _kernel(sets, states, len(carries), outer.pattern, outer.scalar)
    block = kernel.parts[0].block(outer.threads)
    block[a.lines] = lines
    for k in range(sets * states):
        block[a.width[k]] = widths[k % states]
    sampled = a.sampled, a.sampled_first, a.sampled_stride
    norms = BlockTemplate(block, [a.first, a.target, *sampled, *(a.samples[k] for k in range(states))])
    ranges = [(block.layout[a.begin], block.layout[a.end])]
    adjoints = [(0, block.layout[a.adjoint[k]], k) for k in range(sets * states)]
    for number, (state, stride) in enumerate(carries, 1):
        block = kernel.parts[number].block(min(outer.threads, outer.most))
        block[p.runs], block[p.steps], block[p.width], block[p.stride] = outer.most, outer.steps, widths[state], stride
        block[p.dt] = 1 if outer.reverse else -1
        paths.append(BlockTemplate(block, [p.first, p.known, p.carry, p.now, p.target]))
        ranges.append((block.layout[p.begin], block.layout[p.end]))
        adjoints.append((number, block.layout[p.adjoint], (sets - 1) * states + state))
    layout = kernel.parts[-1].layout
    ranges.append((layout[OuterNormsArgs.begin], layout[OuterNormsArgs.end]))
    return _Plan(kernel, norms, paths, ranges, adjoints)


class BlockNorms:
    """Norms at every step of one or two sets of state gradients, and what else is taken of them."""

    def __init__(
        self, widths: Sequence[int], sets: int, spread: Spread, paths: Sequence[Path], outer: OuterNorms
    ) -> None:
        """No step is done yet.

        widths  units of each state
        sets    2 where a probe has gradients beside those of the loss, else 1
        spread  the lines whose gradients are sampled
        paths   along which gradients of the last set are followed
        outer   the norms of weight gradients, which are found with the others
        """
        first, dtype, shape = outer.first, outer.dtype, outer.shape
        carries = tuple([(path.state, path.carry.shape[-1]) for path in paths])
        self._plan = plan = _plan(tuple(widths), sets, carries, first[-1], shape)
        self.norms = torch.empty(sets * len(widths), first[-1], dtype=torch.float64, device="cpu")
        """float64 [sets · states, R]."""
        self.samples = [memory_pool.empty((spread.lines, w), dtype, POOL_THRESHOLD) for w in widths]
        """[M, H] of each state: gradients of the loss."""
        self.path_norms = torch.empty(len(paths), first[-1], dtype=torch.float64, device="cpu")
        """float64 [paths, R]."""
        last = shape.steps - 1 if shape.reverse else 0
        known, table = first[last + 1] - first[last], first.buffer_info()[0]
        self.paths = [path._replace(known=known) for path in paths]
        """As they are after all steps."""
        samples = [sample.data_ptr() for sample in self.samples]
        self._blocks = [plan.norms.filled([table, self.norms.data_ptr(), *spread, *samples])]
        target = self.path_norms.data_ptr()
        for template, path in zip(plan.paths, paths):
            addresses = path.carry.data_ptr() + path.column * dtype.itemsize, path.now.data_ptr()
            self._blocks.append(template.filled([table, path.known, *addresses, target]))
            target += 8 * first[-1]
        self._blocks.append(outer.block)
        self.outer_norms = outer.norms
        """float64 [groups, S]."""
        self._outer, self._block = outer, plan.kernel.block(self._blocks)
        self._read: Sequence[int] | None = None

    def run(self, begin: int, end: int, products: int, adjoints: Sequence[int]) -> None:
        """An `OnBlock`: takes all of the steps begin … end - 1."""
        if adjoints is not self._read:  # every block has the same memory
            self._outer.read(products)
            for part, index, k in self._plan.adjoints:
                self._blocks[part].entries[index] = adjoints[k]
            self._read = adjoints
        for block, (at_begin, at_end) in zip(self._blocks, self._plan.ranges):
            block.entries[at_begin], block.entries[at_end] = begin, end
        self._plan.kernel.run(self._block)
