"""Selects the routine of a tile: from a panel packed ahead, a panel packed for one use, or unpacked weights."""

from __future__ import annotations

from collections.abc import Sequence

from ...cells import Cell
from ..codegen.ir_builder import Bool, Int, Ptr
from ..codegen.kernel_args import KernelArgs
from ..planning.operands import Operand, Product
from .gemm import GemmFunctions, Matrix


class GemmDispatch:
    """Emits tiles of products into one function of a kernel."""

    def __init__(self, args: KernelArgs, gemm: GemmFunctions, cell: Cell):
        self.code, self.args, self.gemm, self.cell = args.code, args, gemm, cell

    def packed_panel(self, number: int, q: Product, block: Int, unit_slice: Int, hoisted: bool = False) -> Ptr:
        """The panel of a block of units.

        A call of few steps hardly reuses a panel, and one of a single chunk uses that of a hoisted product once. Then
        it is packed here, into memory of the thread that stays in its cache, instead of being written for all blocks
        and read by other threads.
        """
        args, gemm = self.args, self.gemm
        panel_size = total_depth(args, q) * (q.columns * gemm.lanes)
        panels, per_use = args.panel[number], args.pack_per_use > (0 if hoisted else 1)
        if not q.transposed:
            return panels.at(block * panel_size)
        panel = panels.at(per_use.select(unit_slice, block) * panel_size)
        with self.code.if_(per_use):
            self.pack_panel(q, block, panel)
        return panel

    def pack_panel(self, q: Product, block: Int, panel: Ptr) -> None:
        """Packs a block of units of a weight [units, K] for each output, contiguous for each k, padded with zeros."""
        code, args, gemm, cell = self.code, self.args, self.gemm, self.cell
        padded, width, k = q.span * gemm.lanes, args.size(q.width), args.size(q.operands[0].depth)
        first = block * padded
        here = (width - first).min(padded)
        for g, (letter, name) in enumerate(q.operands[0].weights):
            m = args.weight[letter].at((width * cell.place[letter, name] + first) * k)
            code.call(gemm.pack_transposed(), m, k, k, here, panel.at(g * padded), q.columns * gemm.lanes, padded)

    def gemm_tile(self, q: Product, block: Int, height: Int, operand: Matrix, panel: Ptr, start: Ptr, to: Ptr) -> None:
        """A tile of several outputs of one operand, from the packed panel or, in short calls, from unpacked weights."""
        code, args, gemm, cell = self.code, self.args, self.gemm, self.cell
        (a, line), columns = operand, q.columns * gemm.lanes
        n, k, width = gemm.lanes, args.size(q.operands[0].depth), args.size(q.width)
        with code.if_else(args.unpacked_weights > 0) as (direct, packed):
            with direct:
                vectors = []
                for g, (letter, name) in enumerate(q.operands[0].weights):
                    for v in range(q.span):
                        unit = (block * q.span + v) * n
                        rows = args.weight[letter].at((width * cell.place[letter, name] + unit) * k)
                        place = (g * q.span + v) * n
                        vectors.append((rows, (width - unit).max(0), start.at(place), to.at(place)))
                with code.range(height // 4) as i:
                    for m, reach, first, c in vectors:
                        there = c.at(i * (4 * columns))
                        code.call(gemm.gemv_unpacked(4), a.at(line * 4 * i), line, m, k, reach, first, there, columns)
                done = height // 4 * 4
                with code.if_(height - done >= 2):
                    for m, reach, first, c in vectors:
                        there = c.at(done * columns)
                        code.call(gemm.gemv_unpacked(2), a.at(line * done), line, m, k, reach, first, there, columns)
                with code.if_((height % 2).equals(1)):
                    row, shift = a.at(line * (height - 1)), (height - 1) * columns
                    rest = [(m, reach, first, c.at(shift)) for m, reach, first, c in vectors]
                    for pair in zip(rest[::2], rest[1::2]):
                        code.call(gemm.gemv_unpacked_x2(), row, k, *pair[0], *pair[1])
                    for m, reach, first, c in rest[len(rest) // 2 * 2 :]:
                        code.call(gemm.gemv_unpacked(1), row, line, m, k, reach, first, c, columns)
            with packed:
                code.call(gemm.tile(q.columns), height, a, line, panel, columns, k, start, 0, to, columns)

    def gemm_tile_sum(
        self, q: Product, block: Int, height: Int, operands: Sequence[Matrix], panel: Ptr, start: Ptr, to: Ptr
    ) -> None:
        """A tile of one output that is a sum over operands, from the packed panel or, in short calls, from the rows of
        the weights, of which a whole block of columns is contiguous. The order of the sum is the same.
        """
        code, args, gemm, cell = self.code, self.args, self.gemm, self.cell
        columns = q.columns * gemm.lanes
        width, first = args.size(q.width), block * columns
        tile = gemm.tile(q.columns)
        whole = (args.unpacked_weights > 0) & (first + columns <= width)
        with code.if_else(whole) as (direct, packed):
            with direct:
                begin, stride = start, 0
                for operand, (a, line) in zip(q.operands, operands):
                    k = args.size(operand.depth)
                    for i, (letter, name) in enumerate(operand.weights):
                        rows = args.weight[letter].at(k * width * cell.place[letter, name] + first)
                        code.call(tile, height, a.at(k * i), line, rows, width, k, begin, stride, to, columns)
                        begin, stride = to, columns
            with packed:
                begin, stride = start, 0
                for operand, (a, line) in zip(q.operands, operands):
                    k = operand_depth(args, q, operand)
                    code.call(tile, height, a, line, panel, columns, k, begin, stride, to, columns)
                    panel, begin, stride = panel.at(k * columns), to, columns


def packed_ahead(args: KernelArgs, hoisted: bool) -> Bool:
    """Whether this call packs the panels of a product ahead of their use."""
    return (args.pack_per_use >= 0) & (args.pack_per_use <= (0 if hoisted else 1))


def operand_depth(args: KernelArgs, q: Product, operand: Operand) -> Int:
    """K of one operand."""
    return args.size(operand.depth) * (1 if q.transposed else len(operand.weights))


def total_depth(args: KernelArgs, q: Product) -> Int:
    """K of all operands together."""
    total = args.code.int_const(0)
    for operand in q.operands:
        total = total + operand_depth(args, q, operand)
    return total
