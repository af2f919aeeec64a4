"""One step of a cell for a run of rows, as a function of the module: means, products, pointwise work, stage by stage.

Threads share a step in one of two ways. Each has rows of its own and never waits; or all have the same rows and each a
share of the units, and they meet between stages, because a product reads what all of them wrote.
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
from ..planning.step_schedule import FusedLoop, Location, Product, StepSchedule, storage_width
from . import philox
from .barrier import ThreadTeam
from .gemm import Products, Rows
from .gemm_dispatch import Tiles
from .pointwise import Body, Row


class Stepper:
    """Emits `step(frame, carried, b, rows, r, q, share, shares, t)`.

    It runs rows b, b+1, … of the batch, which are lines r, … of packed tensors and q, … of the block, for one share of
    the units; t is the number of the step in the call.
    """

    def __init__(
        self,
        step: StepSchedule,
        layout: Layout,
        products: Products,
        states: int,
        numbers: dict[int, int],
        team: ThreadTeam,
        cell: Cell,
    ):
        self.step, self.layout, self.products, self.states, self.numbers = step, layout, products, states, numbers
        self.team, self.cell = team, cell
        self.lanes = products.lanes
        self.gates = {v.id: (p, g) for p in step.hoisted for g, v in enumerate(p.outputs)}
        order = [m for stage in sorted(step.means) for m in step.means[stage]]
        self.blocks = {block: k for k, block in enumerate(philox.blocks(step))}
        self.mean_index = {m.id: k for k, m in enumerate(order)}

    def emit(self) -> ir.Function:
        self.code = code = self.products.code("step", [PTR, PTR, I64, I64, I64, I64, I64, I64, I64])
        base, table, self.b, self.rows, self.r, self.q, self.share, self.shares, self.t = code.arguments
        self.args = KernelArgs(self.layout, code, base)
        self.state_table = StateTable(code, table, self.states)
        self.tiles = Tiles(self.args, self.products, self.cell)
        self.line = self.args.line(self.t)
        begun = False
        for stage in range(self.step.last_stage + 1):
            passes = self.step.loops_of_stage.get(stage, [])
            works = stage in self.step.means or bool(passes)
            if begun and works:
                self.team.barrier(code, self.args, self.shares)
            begun |= works
            if stage in self.step.means:
                self._means(self.step.means[stage])
            for p in passes:
                self._pass(p)
        return code.close()

    def _row(self, i: Int) -> Row:
        # Where rows are packed, an address that waited for a load would cost a quarter of a backward step.
        strided = self.args.row_stride > 0
        b = strided.select(self.b + i, 0)
        there = self.line + self.args.row_base.integer(b)
        line = strided.select(there, self.r + i)
        return Row(self.b + i, self.r + i, self.q + i, i, line, self.state_table, self._drawn)

    def _drawn(self, s: Location, b: Int, u: Int) -> Ptr:
        return philox.place(self.args, self.blocks, s, self._word, b, u)

    @cached_property
    def _word(self) -> Int:
        _ = self.args.random_state  # loaded in the entry block before it is read there
        with self.code.builder.goto_entry_block():
            return philox.word_of(self.args, self.t)

    def _pass(self, p: FusedLoop) -> None:
        code, width, n = self.code, self.args.size(p.width), self.lanes
        home = self.step.stage_nodes.get(p.stage, set())
        if not p.products:
            low, high = share_of(width.ceil_div(n), self.share, self.shares)
            with code.range(self.rows) as i:
                row = self._row(i)
                with code.range(high, low) as vector:
                    self._row_end(p, home, row, vector * n, width, {})
            return
        scratch = {id(q): code.stack(self.products.rows(q.columns) * q.columns * n) for q in p.products}
        most = max(p.products, key=lambda q: q.columns).columns
        low, high = share_of(width.ceil_div(p.span * n), self.share, self.shares)
        with code.range(high, low) as block:
            panels = {id(q): self.tiles.panel(self.numbers[id(q)], q, block, self.share) for q in p.products}
            self._tiles(p, home, width, block, most, scratch, panels)

    def _tiles(
        self,
        p: FusedLoop,
        home: set[int],
        width: Int,
        block: Int,
        most: int,
        scratch: dict[int, Ptr],
        panels: dict[int, Ptr],
    ) -> None:
        """A block of units of a pass, for all rows: its products, and what is computed from them."""
        code, n = self.code, self.lanes
        with self.products.each_tile(code, self.rows, most) as (first, height):
            for q in p.products:
                self._tile(q, block, first, height, scratch[id(q)], panels[id(q)])
            with code.range(height) as j:
                for v in range(p.span):
                    places = {
                        value.id: scratch[id(q)].at(j * (q.columns * n) + (g * q.span + v) * n)
                        for q in p.products
                        for g, value in enumerate(q.outputs)
                    }
                    row, u = self._row(first + j), (block * p.span + v) * n
                    if v == 0:
                        self._row_end(p, home, row, u, width, places)
                    else:
                        with code.if_(u < width):
                            self._row_end(p, home, row, u, width, places)

    def _row_end(self, p: FusedLoop, home: set[int], row: Row, u: Int, width: Int, places: dict[int, Ptr]) -> None:
        with self.code.if_else(u + self.lanes <= width) as (whole, tail):
            with whole:
                self._body(p, home, row, u, None, places)
            with tail:
                self._body(p, home, row, u, self.code.lanes.tail_mask((width - u).value), places)

    def _body(self, p: FusedLoop, home: set[int], row: Row, u: Int, mask: Any, places: dict[int, Ptr]) -> None:
        body = self._make_body(row, u, mask, places)
        values = [(body(v, home), s) for v, s in p.stores]  # everything is read before anything is overwritten
        for value, s in values:
            body.store(value, s)

    def _make_body(self, row: Row, u: Int, mask: Any, places: dict[int, Ptr]) -> Body:
        return Body(
            self.step,
            self.args,
            row,
            u,
            mask,
            lambda v: places.get(v.id),
            self._gate,
            lambda m: self._mean_place(m, row),
        )

    def _gate(self, v: Value, row: Row, u: Int) -> Ptr:
        p, g = self.gates[v.id]
        args, n = self.args, self.lanes
        vector = u // n
        block = (vector // p.span) * args.chunk_rows + row.q
        return args.pregemm[self.numbers[id(p)]].at(block * (p.columns * n) + (vector % p.span + g * p.span) * n)

    def _mean_place(self, m: Value, row: Row) -> Ptr:
        return self.args.means.at(row.b * self.step.mean_count + self.mean_index[m.id])

    def _means(self, means: Sequence[Value]) -> None:
        """What is taken over the units of every row: lane by lane, then over the lanes, always in one order.

        A deviation goes over the units a second time, when the mean is known.
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
                value = self._deviation(scales[m.id], m.attr) if m.op == "rstd" else found[m.args[0].id]
                self._mean_place(m, row).set_scalar(value)
                if m.id in self.step.scalars:
                    kept = self.step.scalars[m.id]
                    line = row.r * self.args.stride[kept.name]
                    self.args.row[kept.name].at(line + self.args.column(kept.column)).set_scalar(value)

    def _deviation(self, square: Any, eps: float) -> Any:
        lanes = self.code.lanes
        root = lanes.sqrt(lanes.add(lanes.splat(square), lanes.const(eps)))
        return self.code.builder.extract_element(lanes.div(lanes.const(1.0), root), ir.Constant(ir.IntType(32), 0))

    def _average(self, row: Row, sources: Sequence[Value], of: Callable[[Value, Any], Any]) -> list[Any]:
        """The mean over the units of `of` each source, a number each."""
        code, lanes, n = self.code, self.code.lanes, self.lanes
        results: dict[int, Any] = {}
        for size in ("H", "P"):
            here = {v.id: v for v in sources if storage_width(self.step.widths[v.id]) == size}
            if not here:
                continue
            width = self.args.size(size)
            totals = {k: code.stack(n) for k in here}
            for total in totals.values():
                total.set_vector(lanes.zero)
            with code.range(width, step=n) as u, code.if_else(u + n <= width) as (whole, tail):
                for branch, mask in ((whole, None), (tail, "tail")):
                    with branch:
                        mask = lanes.tail_mask((width - u).value) if mask else None
                        body = self._make_body(row, u, mask, {})
                        for k, v in here.items():
                            value = of(v, body(v, set()))
                            if mask is not None:
                                value = lanes.select(mask, value, lanes.zero)
                            totals[k].set_vector(lanes.add(totals[k].vector(), value))
            count = code.builder.sitofp(width.value, lanes.F)
            results.update({k: code.builder.fdiv(lanes.sum(t.vector()), count) for k, t in totals.items()})
        return [results[v.id] for v in sources]

    # products

    def _tile(self, q: Product, block: Int, first: Int, height: Int, scratch: Ptr, panel: Ptr) -> None:
        start = self.args.bias[self.numbers[id(q)]].at(block * (q.columns * self.lanes))
        operands = [self._operand(part.location, first) for part in q.operands]
        if q.transposed:
            self.tiles.multiply(q, block, height, operands[0], panel, start, scratch)
        else:
            self.tiles.accumulate(q, block, height, operands, panel, start, scratch)

    def _operand(self, s: Location, first: Int) -> Rows:
        args = self.args
        if s.kind in ("previous", "next"):
            line = args.padded(s.width)
            buffer = self.state_table.previous(s.index) if s.kind == "previous" else self.state_table.next(s.index)
            return Rows(buffer.at((self.b + first) * line), line)
        if s.kind == "workspace":
            line = args.stride["gate_gradients"]
            return Rows(args.gate_gradients.at((self.q + first) * line + args.column(s.column)), line)
        assert s.kind == "spill", s
        line = args.padded_units * self.step.spill_count
        return Rows(args.spill.at((self.b + first) * line + args.padded_units * s.index), line)


def share_of(blocks: Int, share: Int, shares: Int) -> tuple[Int, Int]:
    """One share of a run of blocks, contiguous."""
    return blocks * share // shares, blocks * (share + 1) // shares
