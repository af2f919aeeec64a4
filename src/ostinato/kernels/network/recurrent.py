"""A recurrent layer inside of a network's kernel: the schedule of its cell, with the bits of the layer's own kernel."""

from __future__ import annotations

from typing import Any

from ...cells.value import Value
from ...network import Recurrent
from ..codegen.ir_builder import Int, Ptr
from ..emit.averages import emit_means, reciprocal_root
from ..emit.pointwise import PointwiseEmitter
from ..planning.operands import FusedLoop, Location, Product, storage_width
from .frame import Frame, Span, copy_lines, emit_product, for_blocks
from .layout import Blocks


class RecurrentEmitter:
    """Emits all steps of one `Recurrent` node: the products with x of all lines, then step after step."""

    def __init__(self, frame: Frame, k: int, node: Recurrent):
        self.frame, self.node, self.code = frame, node, frame.code
        self.own = frame.layout.recurrent[k]
        self.x, self.output = frame.value(node.inputs[0]), frame.value(k)
        self.names = [field.name for field in frame.layout.network.states_of(k)]
        size = dict(zip("CHP", node.sizes))
        self.size = size
        self.state_widths = [size[w] for w in node.cell.state_widths]
        order = [m for stage in sorted(self.own.step.means) for m in self.own.step.means[stage]]
        self.mean_index = {m.id: i for i, m in enumerate(order)}
        self.hoisted = {v.id: (q, g) for q in self.own.step.hoisted for g, v in enumerate(q.outputs)}

    def emit(self) -> None:
        frame, own = self.frame, self.own
        for q in own.step.hoisted:
            panel = own.panels[id(q)]
            emit_product(frame, panel, self.x, frame.lines, frame.work(own.gates[id(q)], panel.columns))
        with frame.each_step(self.node.reverse) as line:
            self.line = line
            for stage in range(own.step.last_stage + 1):
                for_means = own.step.means.get(stage, [])
                if for_means:
                    self._means(for_means)
                for p in own.step.loops_of_stage.get(stage, []):
                    self._loop(p)
            for number, column in own.following.items():
                width = self.state_widths[number]
                following = frame.work(column, width).from_line(line)
                copy_lines(frame, frame.rows, following, frame.state(self.names[number], width))

    def _loop(self, p: FusedLoop) -> None:
        """Products of a block of units for a tile of rows, then the pointwise epilogue of its vectors."""
        code, frame, own = self.code, self.frame, self.own
        blocks = own.blocks[p.width]
        nodes = own.step.stage_nodes.get(p.stage, set())
        if not p.products:
            for_blocks(code, blocks, lambda first, span: self._rows(p, nodes, first, span, {}))
            return
        most = max(len(q.bias_init) for q in p.products) * blocks.span
        n = frame.layout.lanes
        scratch = {
            id(q): code.alloca_vec(frame.gemm.tile_rows(most) * len(q.bias_init) * blocks.span * n) for q in p.products
        }

        def block(first: Int, span: int) -> None:
            with frame.gemm.row_tiles(code, frame.rows, most) as (row, height):
                for q in p.products:
                    self._tile(q, blocks, (first, span), (row, height), scratch[id(q)])
                with code.range(height) as j:
                    for v in range(span):
                        products = {
                            value.id: scratch[id(q)].at(j * (len(q.bias_init) * span * n) + (g * span + v) * n)
                            for q in p.products
                            for g, value in enumerate(q.outputs)
                        }
                        self._vector(p, nodes, row + j, (first, span, v), products)

        for_blocks(code, blocks, block)

    def _rows(self, p: FusedLoop, nodes: set[int], first: Int, span: int, products: dict[int, Ptr]) -> None:
        with self.code.range(self.frame.rows) as row:
            for v in range(span):
                self._vector(p, nodes, row, (first, span, v), products)

    def _tile(self, q: Product, b: Blocks, block: tuple[Int, int], rows: tuple[Int, Int], scratch: Ptr) -> None:
        frame, (first, span), (row, height) = self.frame, block, rows
        panel, n = self.own.panels[id(q)], frame.layout.lanes
        columns = panel.gates * span
        operand = self._operand(q.operands[0].location)
        frame.gemm.call_tile(
            frame.code,
            columns,
            height,
            operand.line(row),
            operand.stride,
            frame.vector(panel.weights).at(first * (panel.gates * n * panel.depth)),
            columns * n,
            panel.depth,
            frame.vector(panel.start).at(first * (panel.gates * n)),
            0,
            scratch,
            columns * n,
        )

    def _operand(self, s: Location) -> Span:
        """The lines, one for each row, that a product of this step reads."""
        if s.kind == "previous":
            return self.state(s.index)
        if s.kind == "next":
            return self.following(s.index)
        assert s.kind == "spill", s
        return self.frame.work(self.own.spill + s.index * self.own.units, self.own.units).from_line(self.line)

    def state(self, number: int) -> Span:
        """A state before the step, one line for each row."""
        return self.frame.state(self.names[number], self.state_widths[number])

    def following(self, number: int) -> Span:
        """The same after the step."""
        column = self.own.following.get(number)
        if column is None:
            return self.state(number)
        return self.frame.work(column, self.state_widths[number]).from_line(self.line)

    def _vector(
        self, p: FusedLoop, nodes: set[int], row: Int, place: tuple[Int, int, int], products: dict[int, Ptr]
    ) -> None:
        memory = StepMemory(self, row, place, products)
        # The gates come last, so that the code before them is the same with and without them.
        stores = [*p.stores, *self.own.probes.get((p.stage, p.width), [])]
        PointwiseEmitter(self.own.step, self.code.lanes, memory).emit_stores(stores, nodes)

    def _means(self, means: list[Value]) -> None:
        """Means over the units of every row; a standard deviation is a second sum, after the mean."""
        code, lanes = self.code, self.code.lanes
        sources = list(dict.fromkeys(m.args[0] for m in means))
        with code.range(self.frame.rows) as row:
            found = self._averages(row, sources, {})
            deviations = [m for m in means if m.op == "rstd"]
            centres = {m.args[0].id: lanes.splat(found[m.args[0].id]) for m in deviations}
            squares = self._averages(row, [m.args[0] for m in deviations], centres)
            for m in means:
                value = found[m.args[0].id]
                if m.op == "rstd":
                    value = reciprocal_root(lanes, squares[m.args[0].id], m.attr)
                self.mean_address(m, row).store_scalar(value)

    def mean_address(self, m: Value, row: Int) -> Ptr:
        return self.frame.work(self.own.means + self.mean_index[m.id], 1).line(self.line + row)

    def _averages(self, row: Int, sources: list[Value], centres: dict[int, Any]) -> dict[int, Any]:
        """node id → the mean over the units of a node, or of its squared difference from its centre."""
        code, lanes = self.code, self.code.lanes
        averages: dict[int, Any] = {}
        for letter in ("H", "P"):
            here = {v.id: v for v in sources if storage_width(self.own.step.widths[v.id]) == letter}
            if not here:
                continue

            def values(u: Int, mask: Any, here: dict[int, Value] = here) -> list[Any]:
                body = PointwiseEmitter(self.own.step, lanes, StepMemory(self, row, (u // lanes.lanes, 0, 0), {}))
                found = []
                for v in here.values():
                    value = body(v, set())
                    if v.id in centres:
                        value = lanes.sub(value, centres[v.id])
                        value = lanes.mul(value, value)
                    found.append(value)
                return found

            averages.update(zip(here, emit_means(code, code.int_const(self.size[letter]), values, len(here))))
        return averages


class StepMemory:
    """`PointwiseMemory` of one row and one vector of units.

    place  (first vector of the block, vectors of the block, vector in the block); (vector, 0, 0) where the block is not
           known at compile time
    """

    def __init__(self, emitter: RecurrentEmitter, row: Int, place: tuple[Int, int, int], products: dict[int, Ptr]):
        self.emitter, self.row, self.place, self.products = emitter, row, place, products
        self.frame, self.own, self.lanes = emitter.frame, emitter.own, emitter.code.lanes
        self.vector = place[0] + place[2]
        self.u = self.vector * self.lanes.lanes

    def address(self, s: Location) -> Ptr:
        frame, row, own = self.frame, self.row, self.own
        line = self.emitter.line + row
        if s.kind == "previous":
            return self.emitter.state(s.index).line(row).at(self.u)
        if s.kind == "next":
            return self.emitter.following(s.index).line(row).at(self.u)
        if s.kind == "tensor":
            assert s.name == "output", s
            return self.emitter.output.line(line).at(self.u)
        if s.kind == "spill":
            return frame.work(own.spill + s.index * own.units, own.units).line(line).at(self.u)
        if s.kind == "probe":
            return frame.work(s.index, self.emitter.size[s.width]).line(line).at(self.u)
        assert s.kind == "param", s
        return frame.vector(own.vectors[s.name]).at(self.u)

    def load(self, s: Location) -> Any:
        return self.address(s).load()

    def store(self, v: Any, s: Location) -> None:
        self.address(s).store(v)

    def scalar(self, s: Location) -> Any:
        assert s.kind == "spill", s
        column = self.own.spill + s.index * self.own.units
        return self.lanes.splat(self.frame.work(column, 1).line(self.emitter.line + self.row).load_scalar())

    def random(self, s: Location) -> Any:
        raise AssertionError("a cell that draws is refused before")

    def pregemm(self, v: Value) -> Any:
        q, g = self.emitter.hoisted[v.id]
        panel, n = self.own.panels[id(q)], self.lanes.lanes
        first, span, v_ = self.place
        b = panel.blocks
        if span == 0:  # any vector of the line: its block, and its place in it
            whole = first < b.full * b.span
            start = whole.select(first // b.span * b.span, b.full * b.span)
            here = whole.select(b.span, b.rest)
            column = start * (panel.gates * n) + (here * g + first - start) * n
        else:
            column = first * (panel.gates * n) + (g * span + v_) * n
        line = self.frame.work(self.own.gates[id(q)], panel.columns).line(self.emitter.line + self.row)
        return line.at(column).load()

    def product(self, v: Value) -> Any:
        return self.products[v.id].load()

    def mean(self, m: Value) -> Any:
        return self.lanes.splat(self.emitter.mean_address(m, self.row).load_scalar())
