"""The step function: one step of a cell for a range of rows, stage by stage: means, products, pointwise work.

Threads divide a step in one of two ways. Each has rows of its own, without barriers; or all have the same rows and each
a slice of the units, with a barrier between stages, because a product reads values that all of them wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from llvmlite import ir

from ...cells import Cell
from ...cells.value import Value
from ..codegen.arguments import Layout
from ..codegen.ir_builder import I64, PTR, Int, Ptr
from ..codegen.kernel_args import KernelArgs, StateTable
from ..planning.operands import FusedLoop, Location, Product, storage_width
from ..planning.step_schedule import StepSchedule
from . import philox
from .averages import emit_means, reciprocal_root
from .barrier import ThreadTeam
from .gemm import GemmFunctions, Matrix
from .gemm_dispatch import GemmDispatch
from .pointwise import PointwiseEmitter, RowIndex, RowMemory


class StepFunction:
    """Emits `step(arguments, state table, b, rows, r, q, unit slice, unit slices, t)`.

    It computes rows b, b + 1, … of the batch, which are lines r, … of packed tensors and q, … of the chunk or block,
    for one slice of the units; t is the number of the step in the call.
    """

    def __init__(
        self,
        step: StepSchedule,
        layout: Layout,
        gemm: GemmFunctions,
        states: int,
        product_index: dict[int, int],
        team: ThreadTeam,
        cell: Cell,
        probes: bool,
    ):
        """probes: whether the rows of a probe may go through the same step, which then share packed panels."""
        self.step, self.layout, self.gemm, self.states, self.product_index = step, layout, gemm, states, product_index
        self.team, self.cell, self.probes = team, cell, probes
        self.lanes = gemm.lanes
        self.gates = {v.id: (p, g) for p in step.hoisted for g, v in enumerate(p.outputs)}
        order = [m for stage in sorted(step.means) for m in step.means[stage]]
        self.counter_blocks = {block: k for k, block in enumerate(philox.counter_blocks(step))}
        self.mean_index = {m.id: k for k, m in enumerate(order)}

    def emit(self) -> ir.Function:
        self.code = code = self.gemm.define("step", [PTR, PTR, I64, I64, I64, I64, I64, I64, I64])
        base, table, self.b, self.rows, self.r, self.q, self.unit_slice, self.num_unit_slices, self.t = code.arguments
        self.args = KernelArgs(self.layout, code, base)
        self.state_table = StateTable(code, table, self.states)
        self.tiles = GemmDispatch(self.args, self.gemm, self.cell)
        self.line = self.args.line(self.t)
        begun = False
        for stage in range(self.step.last_stage + 1):
            passes = self.step.loops_of_stage.get(stage, [])
            has_work = stage in self.step.means or bool(passes)
            if begun and has_work:
                self.team.barrier(code, self.args, self.unit_slice, self.num_unit_slices)
            begun |= has_work
            if stage in self.step.means:
                means = self.step.means[stage]
                self._each_row_set(lambda means=means: self._means(means))  # type: ignore[misc]
            for p in passes:
                self._loop(p)
        return code.close()

    def _row(self, i: Int) -> RowIndex:
        # For packed rows no address depends on a load: such a dependence would cost a quarter of a backward step.
        strided = self.args.row_stride > 0
        b = strided.select(self.b + i, 0)
        there = self.line + self.args.row_base.load_i64(b)
        line = strided.select(there, self.r + i)
        return RowIndex(self.b + i, self.r + i, self.q + i, i, line, self.state_table, self._random_address)

    def _random_address(self, s: Location, b: Int, u: Int) -> Ptr:
        return philox.number_address(self.args, self.counter_blocks, s, self._counter_lane, b, u)

    @cached_property
    def _counter_lane(self) -> Int:
        _ = self.args.random_state  # loaded in the entry block before it is used there
        with self.code.builder.goto_entry_block():
            return philox.counter_lane(self.args, self.t)

    def _each_row_set(self, emit: Callable[[], None]) -> None:
        """Emits work for the rows of the step, and for those of a probe, which has its own arguments and states."""
        emit()
        if self.probes:
            args, table = self.args, self.state_table
            with self.code.if_(args.with_probe > 0):
                self.args, self.state_table = KernelArgs(self.layout, self.code, args.probe), table.following()
                emit()
            self.args, self.state_table = args, table

    def _loop(self, p: FusedLoop) -> None:
        """A fused loop: over rows where it has no products, else over blocks of units, each with its packed panels."""
        code, width, n = self.code, self.args.size(p.width), self.lanes
        stage_nodes = self.step.stage_nodes.get(p.stage, set())
        if not p.products:
            low, high = slice_of(width.ceil_div(n), self.unit_slice, self.num_unit_slices)

            def rows() -> None:
                with code.range(self.rows) as i:
                    row = self._row(i)
                    with code.range(high, low) as vector:
                        self._vector_of_units(p, stage_nodes, row, vector * n, width, {})

            self._each_row_set(rows)
            return
        scratch = {id(q): code.alloca_vec(self.gemm.tile_rows(q.columns) * q.columns * n) for q in p.products}
        most = max(p.products, key=lambda q: q.columns).columns
        low, high = slice_of(width.ceil_div(p.span * n), self.unit_slice, self.num_unit_slices)
        with code.range(high, low) as block:
            panels = {
                id(q): self.tiles.packed_panel(self.product_index[id(q)], q, block, self.unit_slice) for q in p.products
            }
            self._each_row_set(lambda: self._row_tiles(p, stage_nodes, width, block, most, scratch, panels))

    def _row_tiles(
        self,
        p: FusedLoop,
        stage_nodes: set[int],
        width: Int,
        block: Int,
        most: int,
        scratch: dict[int, Ptr],
        panels: dict[int, Ptr],
    ) -> None:
        """A block of units of a loop, for all rows: tiles of the products, then their pointwise epilogue."""
        code, n = self.code, self.lanes
        with self.gemm.row_tiles(code, self.rows, most) as (first, height):
            for q in p.products:
                self._product_tile(q, block, first, height, scratch[id(q)], panels[id(q)])
            with code.range(height) as j:
                for v in range(p.span):
                    addresses = {
                        value.id: scratch[id(q)].at(j * (q.columns * n) + (g * q.span + v) * n)
                        for q in p.products
                        for g, value in enumerate(q.outputs)
                    }
                    row, u = self._row(first + j), (block * p.span + v) * n
                    if v == 0:
                        self._vector_of_units(p, stage_nodes, row, u, width, addresses)
                    else:
                        with code.if_(u < width):
                            self._vector_of_units(p, stage_nodes, row, u, width, addresses)

    def _vector_of_units(
        self, p: FusedLoop, stage_nodes: set[int], row: RowIndex, u: Int, width: Int, addresses: dict[int, Ptr]
    ) -> None:
        with self.code.if_else(u + self.lanes <= width) as (whole, tail):
            with whole:
                self._emit_stores(p, stage_nodes, row, u, None, addresses)
            with tail:
                self._emit_stores(p, stage_nodes, row, u, self.code.lanes.tail_mask((width - u).value), addresses)

    def _emit_stores(
        self, p: FusedLoop, stage_nodes: set[int], row: RowIndex, u: Int, mask: Any, addresses: dict[int, Ptr]
    ) -> None:
        self._emitter(row, u, mask, addresses).emit_stores(p.stores, stage_nodes)

    def _emitter(self, row: RowIndex, u: Int, mask: Any, addresses: dict[int, Ptr]) -> PointwiseEmitter:
        memory = RowMemory(
            self.step,
            self.args,
            row,
            u,
            mask,
            lambda v: addresses[v.id],
            self._pregemm_address,
            lambda m: self._mean_address(m, row),
        )
        return PointwiseEmitter(self.step, self.code.lanes, memory)

    def _pregemm_address(self, v: Value, row: RowIndex, u: Int) -> Ptr:
        p, g = self.gates[v.id]
        args, n = self.args, self.lanes
        vector = u // n
        block = (vector // p.span) * args.chunk_rows + row.block
        return args.pregemm[self.product_index[id(p)]].at(block * (p.columns * n) + (vector % p.span + g * p.span) * n)

    def _mean_address(self, m: Value, row: RowIndex) -> Ptr:
        return self.args.means.at(row.batch * self.step.mean_count + self.mean_index[m.id])

    def _means(self, means: Sequence[Value]) -> None:
        """Means over the units of every row, in one fixed order: by lanes, then over the lanes.

        A standard deviation is a second loop over the units, after the mean.
        """
        code, lanes = self.code, self.code.lanes
        sources = list(dict.fromkeys(m.args[0] for m in means))
        with code.range(self.rows) as i:
            row = self._row(i)
            found = dict(zip((v.id for v in sources), self._average(row, sources, lambda v, value: value)))
            deviations = [m for m in means if m.op == "rstd"]
            centres = {m.args[0].id: lanes.splat(found[m.args[0].id]) for m in deviations}

            def square(v: Value, value: Any) -> Any:
                centred = lanes.sub(value, centres[v.id])
                return lanes.mul(centred, centred)

            squares = self._average(row, [m.args[0] for m in deviations], square)
            scales = dict(zip((m.id for m in deviations), squares))
            for m in means:
                value = reciprocal_root(lanes, scales[m.id], m.attr) if m.op == "rstd" else found[m.args[0].id]
                self._mean_address(m, row).store_scalar(value)
                if m.id in self.step.scalars:
                    kept = self.step.scalars[m.id]
                    line = row.packed * self.args.stride[kept.name]
                    self.args.row[kept.name].at(line + self.args.column(kept.column)).store_scalar(value)

    def _average(self, row: RowIndex, sources: Sequence[Value], of: Callable[[Value, Any], Any]) -> list[Any]:
        """The mean over the units of `of` each source, as scalars."""
        averages: dict[int, Any] = {}
        for size in ("H", "P"):
            here = {v.id: v for v in sources if storage_width(self.step.widths[v.id]) == size}
            if not here:
                continue

            def values(u: Int, mask: Any, here: dict[int, Value] = here) -> list[Any]:
                body = self._emitter(row, u, mask, {})
                return [of(v, body(v, set())) for v in here.values()]

            averages.update(zip(here, emit_means(self.code, self.args.size(size), values, len(here))))
        return [averages[v.id] for v in sources]

    # Products.

    def _product_tile(self, q: Product, block: Int, first: Int, height: Int, scratch: Ptr, panel: Ptr) -> None:
        start = self.args.bias[self.product_index[id(q)]].at(block * (q.columns * self.lanes))
        operands = [self._operand(operand.location, first) for operand in q.operands]
        if q.transposed:
            self.tiles.gemm_tile(q, block, height, operands[0], panel, start, scratch)
        else:
            self.tiles.gemm_tile_sum(q, block, height, operands, panel, start, scratch)

    def _operand(self, s: Location, first: Int) -> Matrix:
        args = self.args
        if s.kind in ("previous", "next"):
            line = args.padded(s.width)
            buffer = self.state_table.previous(s.index) if s.kind == "previous" else self.state_table.next(s.index)
            return Matrix(buffer.at((self.b + first) * line), line)
        if s.kind == "workspace":
            line = args.stride["gate_gradients"]
            return Matrix(args.gate_gradients.at((self.q + first) * line + args.column(s.column)), line)
        assert s.kind == "spill", s
        line = args.padded_units * self.step.spill_count
        return Matrix(args.spill.at((self.b + first) * line + args.padded_units * s.index), line)


def slice_of(blocks: Int, index: Int, count: Int) -> tuple[Int, Int]:
    """(first, end) of slice number `index` of `count` contiguous slices of `blocks` blocks."""
    return blocks * index // count, blocks * (index + 1) // count
