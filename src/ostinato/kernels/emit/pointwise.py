"""From the nodes of a graph to vector code: one row, one vector of units at a time.

What is fused into a multiply-add, and in which order a sum is added up, is decided from the graph alone, so that every
build of a cell, training or inference, whole vectors or a row's end, computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ...cells.operations import COMPARISONS, MEANS, OPERATIONS
from ...cells.operations.operation import numbers
from ...cells.value import Value
from ..codegen.ir_builder import Int, Ptr
from ..codegen.kernel_args import CALLER_LAYOUT_TENSORS, KernelArgs, StateTable
from ..planning.step_schedule import Location, StepSchedule, sum_terms

Emission = Generator[Value, Any, Any]
"""The emission of a node: yields the nodes whose values it reads, returns its own value."""


class RowIndex:
    """Which row is being computed: b in the batch, r among the packed rows, q in the chunk or block, i in the tile.

    line   its line in tensors that are laid out as x is
    drawn  (stream, b, u) -> where its random numbers lie
    """

    def __init__(
        self,
        b: Int,
        r: Int,
        q: Int,
        i: Int,
        line: Int,
        states: StateTable,
        random_address: Callable[[Location, Int, Int], Ptr],
    ):
        self.b, self.r, self.q, self.i, self.line = b, r, q, i, line
        self.states, self.random_address = states, random_address


class PointwiseEmitter:
    """Emits the values of one row from u on, `lanes` units; `mask` limits what is read and written at a row's end."""

    def __init__(
        self,
        step: StepSchedule,
        args: KernelArgs,
        row: RowIndex,
        u: Int,
        mask: Any,
        scratch: Callable[[Value], Ptr | None],
        pregemm_address: Callable[[Value, RowIndex, Int], Ptr],
        mean_address: Callable[[Value], Ptr],
    ):
        self.step, self.args, self.row, self.u, self.mask = step, args, row, u, mask
        self.scratch, self.pregemm_address, self.mean_address = scratch, pregemm_address, mean_address
        self.code = args.code
        self.lanes = self.code.lanes
        self.values: dict[int, Any] = {}

    # memory

    def address(self, s: Location) -> tuple[Ptr, bool]:
        """(where the stream lies for this row and unit, whether it is padded)."""
        args, row = self.args, self.row
        if s.kind in ("previous", "next"):
            buffer = row.states.previous(s.index) if s.kind == "previous" else row.states.next(s.index)
            return buffer.at(row.b * args.padded(s.width) + self.u), True
        if s.kind == "recorded":
            line = row.states.recorded_rows(s.name in CALLER_LAYOUT_TENSORS).load_i64(row.b)
            return row.states.recorded(s.index).at(line * args.size(s.width) + self.u), False
        if s.kind == "tensor":
            line = row.line if s.name in CALLER_LAYOUT_TENSORS else row.r
            return args.row[s.name].at(line * args.stride[s.name] + args.column(s.column) + self.u), False
        if s.kind == "workspace":
            return args.gate_gradients.at(row.q * args.stride["gate_gradients"] + args.column(s.column) + self.u), False
        if s.kind == "spill":
            return args.spill.at((row.b * self.step.spill_count + s.index) * args.padded_units + self.u), True
        assert s.kind == "param", s
        return args.vector[s.name].at(self.u), True

    def load(self, s: Location) -> Any:
        p, padded = self.address(s)
        v = p.load(None if padded else self.mask)
        if s.kind == "previous" and s.name:  # a carried gradient, and what the loss sends to this very step
            v = self.lanes.add(v, self.load(Location("tensor", s.name, width=s.width)))
        return v

    def _number(self, s: Location) -> Any:
        args = self.args
        if s.kind == "spill":  # as wide as a state; any unit's is the number
            line = (self.row.b * self.step.spill_count + s.index) * args.padded_units
            return self.lanes.splat(args.spill.at(line).load_scalar())
        return self.lanes.splat(
            args.row[s.name].at(self.row.r * args.stride[s.name] + args.column(s.column)).load_scalar()
        )

    def store(self, v: Any, s: Location) -> None:
        p, padded = self.address(s)
        p.store(v, None if padded else self.mask)

    # values

    def __call__(self, v: Value, stage_nodes: set[int]) -> Any:
        """The value of a node. `home`: the nodes that this pass computes itself.

        `_value` yields the nodes that it reads, in order, and is resumed with their values: a chain of operations may
        be longer than Python's stack.
        """
        under_way = [(v, self._value(v, stage_nodes))] if v.id not in self.values else []
        value = None
        while under_way:
            node, work = under_way[-1]
            try:
                read = work.send(value)
            except StopIteration as done:
                under_way.pop()
                value = self.values[node.id] = done.value
                continue
            value = self.values.get(read.id)
            if value is None:
                under_way.append((read, self._value(read, stage_nodes)))
        return self.values[v.id]

    def _value(self, v: Value, stage_nodes: set[int]) -> Emission:
        step, lanes = self.step, self.lanes
        if v.op == "const":
            return lanes.const(v.attr)
        stream = step.inputs.get(v.id)
        if stream is not None:
            if stream.kind == "random":
                return self.row.random_address(stream, self.row.b, self.u).load()
            if (
                stream.kind == "tensor" and step.widths[v.id] == "1"
            ):  # one number for all units, whichever units it stands among
                return self._number(stream)
            return self.pregemm_address(v, self.row, self.u).load() if stream.kind == "pregemm" else self.load(stream)
        if v.op in MEANS:
            if step.widths[v.args[0].id] != "1":
                return lanes.splat(self.mean_address(v).load_scalar())
            return (yield v.args[0]) if v.op == "mean" else lanes.const(v.attr**-0.5)
        if v.id not in stage_nodes and v.id in step.spilled_scalars:
            return self._number(step.locations[v.id])
        if (
            v.id not in stage_nodes
            and v.id not in step.rematerialized
            and step.widths[v.id] != "1"
            and v.op not in COMPARISONS
        ):
            return self.load(step.locations[v.id])
        if v.op in ("mm", "mmT"):
            p = self.scratch(v)
            assert p is not None, v
            return p.load()
        if v.op == "add":
            return (yield from self._sum(v, stage_nodes))
        if v.op == "sub":
            return (yield from self._difference(v, stage_nodes))
        inner = []
        for a in v.args:
            inner.append((yield a))
        return emit(self.lanes, v, inner)

    def _fusable(self, v: Value, stage_nodes: set[int]) -> bool:
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
