"""Vector code of pointwise nodes: one row, one vector of units at a time.

Contraction into fused multiply-adds and the order of every sum depend on the graph alone, so all builds of a cell
(training and inference, whole vectors and masked tails) compute the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from ...cells.operations import COMPARISONS, MEANS, OPERATIONS
from ...cells.operations.operation import numbers
from ...cells.value import Value
from ..codegen.ir_builder import Int, Ptr
from ..codegen.kernel_args import CALLER_LAYOUT_TENSORS, KernelArgs, StateTable
from ..codegen.math_functions import MathLanes
from ..planning.operands import Location
from ..planning.step_schedule import StepSchedule, sum_terms

Emission = Generator[Value, Any, Any]
"""The emission of a node: yields the nodes that it reads, receives their values, returns its own."""


class RowIndex:
    """The indices of the row that is computed.

    batch, packed, block, tile  its index in the batch, among packed lines, in the chunk or block of steps, in the tile
    x_line          its line in tensors with the layout of x
    random_address  (location, row of the batch, unit) -> address of its random numbers
    """

    def __init__(
        self,
        batch: Int,
        packed: Int,
        block: Int,
        tile: Int,
        x_line: Int,
        states: StateTable,
        random_address: Callable[[Location, Int, Int], Ptr],
    ):
        self.batch, self.packed, self.block, self.tile, self.x_line = batch, packed, block, tile, x_line
        self.states, self.random_address = states, random_address


class PointwiseMemory(Protocol):
    """Where the values of one row are, for one vector of units."""

    def load(self, s: Location) -> Any:
        """The vector at a location."""

    def store(self, v: Any, s: Location) -> None:
        """Stores a vector to a location."""

    def scalar(self, s: Location) -> Any:
        """A value of width 1, broadcast to all lanes."""

    def random(self, s: Location) -> Any:
        """The row's random numbers for this vector of units."""

    def pregemm(self, v: Value) -> Any:
        """A product with x that was computed ahead of the time loop."""

    def product(self, v: Value) -> Any:
        """A product that a tile of this step computed."""

    def mean(self, m: Value) -> Any:
        """A mean over the units of the row, broadcast to all lanes."""


class RowMemory:
    """`PointwiseMemory` of a cell's kernel; `mask` has the lanes that exist in a row's tail."""

    def __init__(
        self,
        step: StepSchedule,
        args: KernelArgs,
        row: RowIndex,
        u: Int,
        mask: Any,
        scratch: Callable[[Value], Ptr],
        pregemm_address: Callable[[Value, RowIndex, Int], Ptr],
        mean_address: Callable[[Value], Ptr],
    ):
        self.step, self.args, self.row, self.u, self.mask = step, args, row, u, mask
        self.scratch, self.pregemm_address, self.mean_address = scratch, pregemm_address, mean_address
        self.lanes = args.code.lanes

    def address(self, s: Location) -> tuple[Ptr, bool]:
        """(the address of a location for this row and vector of units, whether it is padded to whole vectors)."""
        args, row = self.args, self.row
        if s.kind in ("previous", "next"):
            buffer = row.states.previous(s.index) if s.kind == "previous" else row.states.next(s.index)
            return buffer.at(row.batch * args.padded(s.width) + self.u), True
        if s.kind == "recorded":
            line = row.states.recorded_rows(s.name in CALLER_LAYOUT_TENSORS).load_i64(row.batch)
            return row.states.recorded(s.index).at(line * args.size(s.width) + self.u), False
        if s.kind == "tensor":
            line = row.x_line if s.name in CALLER_LAYOUT_TENSORS else row.packed
            return args.row[s.name].at(line * args.stride[s.name] + args.column(s.column) + self.u), False
        if s.kind == "workspace":
            return args.gate_gradients.at(
                row.block * args.stride["gate_gradients"] + args.column(s.column) + self.u
            ), False
        if s.kind == "spill":
            return args.spill.at((row.batch * self.step.spill_count + s.index) * args.padded_units + self.u), True
        assert s.kind == "param", s
        return args.vector[s.name].at(self.u), True

    def load(self, s: Location) -> Any:
        p, padded = self.address(s)
        v = p.load(None if padded else self.mask)
        if s.kind == "previous" and s.name:  # a carried gradient, and the upstream gradient of this step
            v = self.lanes.add(v, self.load(Location("tensor", s.name, width=s.width)))
        return v

    def scalar(self, s: Location) -> Any:
        """A value of width 1, broadcast to all lanes."""
        args = self.args
        if s.kind == "spill":  # stored for every unit: the first one is read
            line = (self.row.batch * self.step.spill_count + s.index) * args.padded_units
            return self.lanes.splat(args.spill.at(line).load_scalar())
        return self.lanes.splat(
            args.row[s.name].at(self.row.packed * args.stride[s.name] + args.column(s.column)).load_scalar()
        )

    def store(self, v: Any, s: Location) -> None:
        p, padded = self.address(s)
        p.store(v, None if padded else self.mask)

    def random(self, s: Location) -> Any:
        return self.row.random_address(s, self.row.batch, self.u).load()

    def pregemm(self, v: Value) -> Any:
        return self.pregemm_address(v, self.row, self.u).load()

    def product(self, v: Value) -> Any:
        return self.scratch(v).load()

    def mean(self, m: Value) -> Any:
        return self.lanes.splat(self.mean_address(m).load_scalar())


class PointwiseEmitter:
    """Emits the values of one row for one vector of units."""

    def __init__(self, step: StepSchedule, lanes: MathLanes, memory: PointwiseMemory):
        self.step, self.lanes, self.memory = step, lanes, memory
        self.values: dict[int, Any] = {}

    def emit_stores(self, stores: Sequence[tuple[Value, Location]], stage_nodes: set[int]) -> None:
        """Computes values and stores them: all loads come before all stores."""
        values = [(self(v, stage_nodes), s) for v, s in stores]
        for value, s in values:
            self.memory.store(value, s)

    def __call__(self, v: Value, stage_nodes: set[int]) -> Any:
        """The value of a node. stage_nodes: the nodes that this stage computes.

        `_value` yields the nodes that it reads, in order, and is resumed with their values, because a chain of
        operations may be deeper than Python's recursion limit.
        """
        pending = [(v, self._value(v, stage_nodes))] if v.id not in self.values else []
        value = None
        while pending:
            node, work = pending[-1]
            try:
                read = work.send(value)
            except StopIteration as done:
                pending.pop()
                value = self.values[node.id] = done.value
                continue
            value = self.values.get(read.id)
            if value is None:
                pending.append((read, self._value(read, stage_nodes)))
        return self.values[v.id]

    def _value(self, v: Value, stage_nodes: set[int]) -> Emission:
        step, lanes = self.step, self.lanes
        if v.op == "const":
            return lanes.const(v.attr)
        location = step.inputs.get(v.id)
        if location is not None:
            if location.kind == "random":
                return self.memory.random(location)
            if location.kind == "tensor" and step.widths[v.id] == "1":  # one number for all units of a row
                return self.memory.scalar(location)
            return self.memory.pregemm(v) if location.kind == "pregemm" else self.memory.load(location)
        if v.op in MEANS:
            if step.widths[v.args[0].id] != "1":
                return self.memory.mean(v)
            return (yield v.args[0]) if v.op == "mean" else lanes.const(v.attr**-0.5)
        if v.id not in stage_nodes and v.id in step.spilled_scalars:
            return self.memory.scalar(step.locations[v.id])
        if (
            v.id not in stage_nodes
            and v.id not in step.rematerialized
            and step.widths[v.id] != "1"
            and v.op not in COMPARISONS
        ):
            return self.memory.load(step.locations[v.id])
        if v.op in ("mm", "mmT"):
            return self.memory.product(v)
        if v.op == "add":
            return (yield from self._sum(v, stage_nodes))
        if v.op == "sub":
            return (yield from self._difference(v, stage_nodes))
        inner = []
        for a in v.args:
            inner.append((yield a))
        return emit(self.lanes, v, inner)

    def _fusable(self, v: Value, stage_nodes: set[int]) -> bool:
        """Whether v is a multiplication that its only reader contracts into a fused multiply-add."""
        return v.op == "mul" and self.step.uses.get(v.id) == 1 and v.id not in self.step.inputs and v.id in stage_nodes

    def _sum(self, root: Value, stage_nodes: set[int]) -> Emission:
        lanes, dropped, total = self.lanes, self.step.folded_terms.get(root.id, set()), None
        for v in sum_terms(root, self.step.uses, self.step.inputs):
            if v.id in dropped:
                continue
            if total is not None and self._fusable(v, stage_nodes):
                total = lanes.fma((yield v.args[0]), (yield v.args[1]), total)
            else:
                value = yield v
                total = value if total is None else lanes.add(total, value)
        return total

    def _difference(self, v: Value, stage_nodes: set[int]) -> Emission:
        lanes, (a, b) = self.lanes, v.args
        if self._fusable(b, stage_nodes):
            return lanes.fma(lanes.neg((yield b.args[0])), (yield b.args[1]), (yield a))
        if self._fusable(a, stage_nodes):
            return lanes.fma((yield a.args[0]), (yield a.args[1]), lanes.neg((yield b)))
        return lanes.sub((yield a), (yield b))


def emit(l: Any, v: Value, a: list[Any]) -> Any:  # noqa: E741
    """One pointwise operation."""
    vector = OPERATIONS[v.op].vector
    assert vector is not None, v
    return vector(l, *a, *numbers(v.attr))
