"""From the nodes of a graph to vector code: one row, one vector of units at a time.

What is fused into a multiply-add, and in which order a sum is added up, is decided from the graph alone, so that every
build of a cell, training or inference, whole vectors or a row's end, computes the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from llvmlite import ir

from ..cells.operations import MEANS
from ..cells.value import COMPARISONS, Value
from . import functions
from .code import I64, Code, Int, Ptr
from .plan import Step, Stream, terms

ROOMS = ("panel_", "bias_", "gates_", "vector_", "even_", "odd_", "cross", "means", "slots", "drawn", "x_lines")
Emission = Generator[Value, Any, Any]
"""The emission of a node: yields the nodes whose values it reads, returns its own value."""
AS_X = ("x", "dx", "output", "d_output")
"""Tensors that are laid out as x is, packed or as the caller has them; all others with lines are packed."""


def in_workspace(name: str) -> bool:
    """Whether an address of the frame counts from the start of the workspace."""
    return name.startswith(ROOMS)


class Frame:
    """The numbers and addresses of one call, by name: an array of 64-bit integers that the kernel reads.

    Tensors are given by their address, what lies in the workspace by its distance from the workspace's start, so that a
    frame is the same in every call of the same sizes but for a few entries.
    """

    def __init__(self, names: tuple[str, ...], code: Code, base: Ptr):
        self.places = {n: k for k, n in enumerate(names)}
        self.code, self.base = code, base
        self._loaded: dict[str, Int] = {}
        self._pointers: dict[str, Ptr] = {}

    def __getitem__(self, name: str) -> Int:
        if name not in self._loaded:
            with self.code.builder.goto_entry_block():
                self._loaded[name] = self.base.integer(self.places[name])
        return self._loaded[name]

    def pointer(self, name: str) -> Ptr:
        if name not in self._pointers:
            i, space = self[name], self["workspace"] if in_workspace(name) else None
            with self.code.builder.goto_entry_block():
                self._pointers[name] = self.code.as_pointer(i if space is None else i + space)
        return self._pointers[name]

    def line(self, t: Int) -> Int:
        """The line from which `starts` counts at step t, in tensors that are laid out as x is."""
        apart, packed = self["line_step"] * t, self.pointer("first").integer(t)
        return Int(self.code, self.code.builder.select(self["line_step"] > 0, apart.value, packed.value))

    @property
    def counter(self) -> Ptr:
        """The parts taken so far, counted in the frame itself."""
        return Ptr(
            self.code,
            self.code.builder.gep(self.base.value, [ir.Constant(I64, self.places["counter"])], source_etype=I64),
        )

    def size(self, width: str) -> Int:
        """How many numbers a value of this width has: C, H or P."""
        return self[width]

    def pad(self, width: str) -> Int:
        """The same, rounded up to whole pairs of vectors."""
        return self["pad" + width]

    def place(self, offset: tuple[int, ...]) -> Int:
        h, p, *ones = offset
        total = self.code.integer(sum(ones))
        if h:
            total = self["H"] * h + total
        return total + self["P"] * p if p else total


class Row:
    """Which row is being computed: b in the batch, r among the packed rows, q in the chunk or block, i in the tile.

    line   its line in tensors that are laid out as x is
    drawn  (stream, b, u) -> where its random numbers lie
    """

    def __init__(
        self, b: Int, r: Int, q: Int, i: Int, line: Int, carried: Ptr, drawn: Callable[[Stream, Int, Int], Ptr]
    ):
        self.b, self.r, self.q, self.i, self.line = b, r, q, i, line
        self.carried, self.drawn = carried, drawn


class Body:
    """Emits the values of one row from u on, `lanes` units; `mask` limits what is read and written at a row's end."""

    def __init__(
        self,
        step: Step,
        frame: Frame,
        row: Row,
        u: Int,
        mask: Any,
        scratch: Callable[[Value], Ptr | None],
        gate: Callable[[Value, Row, Int], Ptr],
        mean: Callable[[Value], Ptr],
        states: int,
    ):
        self.step, self.frame, self.row, self.u, self.mask = step, frame, row, u, mask
        self.scratch, self.gate, self.mean, self.states = scratch, gate, mean, states
        self.code = frame.code
        self.lanes = self.code.lanes
        self.values: dict[int, Any] = {}

    # memory

    def address(self, s: Stream) -> tuple[Ptr, bool]:
        """(where the stream lies for this row and unit, whether it is padded)."""
        f, row = self.frame, self.row
        if s.kind in ("old", "new"):
            k = s.index + (self.states if s.kind == "new" else 0)
            return row.carried.pointer(k).at(row.b * f.pad(s.width) + self.u), True
        if s.kind == "past":
            k = 2 * self.states + s.index
            line = row.carried.pointer(3 * self.states + (s.name not in AS_X)).integer(row.b)
            return row.carried.pointer(k).at(line * f.size(s.width) + self.u), False
        if s.kind == "rows":
            line = row.line if s.name in AS_X else row.r
            return f.pointer(s.name).at(line * f["stride_" + s.name] + f.place(s.offset) + self.u), False
        if s.kind == "slot":
            return f.pointer("slots").at(row.q * f["stride_slots"] + f.place(s.offset) + self.u), False
        if s.kind == "cross":
            return f.pointer("cross").at((row.b * self.step.crossing + s.index) * f["pad"] + self.u), True
        assert s.kind == "vector", s
        return f.pointer("vector_" + s.name).at(self.u), True

    def load(self, s: Stream) -> Any:
        p, padded = self.address(s)
        v = p.vector(None if padded else self.mask)
        if s.kind == "old" and s.name:  # a carried gradient, and what the loss sends to this very step
            v = self.lanes.add(v, self.load(Stream("rows", s.name, width=s.width)))
        return v

    def _number(self, s: Stream) -> Any:
        f = self.frame
        if s.kind == "cross":  # as wide as a state; any unit's is the number
            line = (self.row.b * self.step.crossing + s.index) * f["pad"]
            return self.lanes.splat(f.pointer("cross").at(line).scalar())
        return self.lanes.splat(f.pointer(s.name).at(self.row.r * f["stride_" + s.name] + f.place(s.offset)).scalar())

    def store(self, v: Any, s: Stream) -> None:
        p, padded = self.address(s)
        p.set_vector(v, None if padded else self.mask)

    # values

    def __call__(self, v: Value, home: set[int]) -> Any:
        """The value of a node. `home`: the nodes that this pass computes itself.

        `_value` yields the nodes that it reads, in order, and is resumed with their values: a chain of operations may
        be longer than Python's stack.
        """
        under_way = [(v, self._value(v, home))] if v.id not in self.values else []
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
                under_way.append((read, self._value(read, home)))
        return self.values[v.id]

    def _value(self, v: Value, home: set[int]) -> Emission:
        step, lanes = self.step, self.lanes
        if v.op == "const":
            return lanes.const(v.attr)
        stream = step.leaves.get(v.id)
        if stream is not None:
            if stream.kind == "random":
                return self.row.drawn(stream, self.row.b, self.u).vector()
            if (
                stream.kind == "rows" and step.widths[v.id] == "1"
            ):  # one number for all units, whichever units it stands among
                return self._number(stream)
            return self.gate(v, self.row, self.u).vector() if stream.kind == "gate" else self.load(stream)
        if v.op in MEANS:
            if step.widths[v.args[0].id] != "1":
                return lanes.splat(self.mean(v).scalar())
            return (yield v.args[0]) if v.op == "mean" else lanes.const(v.attr**-0.5)
        if v.id not in home and v.id in step.numbers:
            return self._number(step.places[v.id])
        if v.id not in home and v.id not in step.again and step.widths[v.id] != "1" and v.op not in COMPARISONS:
            return self.load(step.places[v.id])
        if v.op in ("mm", "mmT"):
            p = self.scratch(v)
            assert p is not None, v
            return p.vector()
        if v.op == "add":
            return (yield from self._sum(v, home))
        if v.op == "sub":
            return (yield from self._difference(v, home))
        inner = []
        for a in v.args:
            inner.append((yield a))
        return emit(self.lanes, v, inner)

    def _single(self, v: Value, home: set[int]) -> bool:
        return v.op == "mul" and self.step.uses.get(v.id) == 1 and v.id not in self.step.leaves and v.id in home

    def _sum(self, root: Value, home: set[int]) -> Emission:
        lanes, dropped, total = self.lanes, self.step.dropped.get(root.id, set()), None
        for v in terms(root, self.step.uses, self.step.leaves):
            if v.id in dropped:
                continue
            if total is not None and self._single(v, home):
                total = lanes.fma((yield v.args[0]), (yield v.args[1]), total)
            else:
                value = yield v
                total = value if total is None else lanes.add(total, value)
        return total

    def _difference(self, v: Value, home: set[int]) -> Emission:
        lanes, (a, b) = self.lanes, v.args
        if self._single(b, home):
            return lanes.fma(lanes.neg((yield b.args[0])), (yield b.args[1]), (yield a))
        if self._single(a, home):
            return lanes.fma((yield a.args[0]), (yield a.args[1]), lanes.neg((yield b)))
        return lanes.sub((yield a), (yield b))


def emit(l: Any, v: Value, a: list[Any]) -> Any:  # noqa: E741
    """One pointwise operation."""
    if v.op == "leaky_relu":
        return l.select(l.gt(a[0], l.zero), a[0], l.mul(a[0], l.const(v.attr)))
    if v.op == "clamp":
        low, high = l.const(v.attr[0]), l.const(v.attr[1])
        raised = l.select(l.lt(a[0], low), low, a[0])
        return l.select(l.gt(raised, high), high, raised)  # the upper bound last: it holds where bounds are crossed
    return EMIT[v.op](l, *a)


EMIT: dict[str, Callable[..., Any]] = {
    "mul": lambda l, a, b: l.mul(a, b),
    "div": lambda l, a, b: l.div(a, b),
    "neg": lambda l, a: l.neg(a),
    "lt": lambda l, a, b: l.lt(a, b),
    "le": lambda l, a, b: l.le(a, b),
    "gt": lambda l, a, b: l.gt(a, b),
    "ge": lambda l, a, b: l.ge(a, b),
    "where": lambda l, c, a, b: l.select(c, a, b),
    "norm": lambda l, a, mean, rstd: l.mul(l.sub(a, mean), rstd),
    "clip_gradient": lambda l, a: a,
    "minimum": lambda l, a, b: l.minimum(a, b),
    "maximum": lambda l, a, b: l.maximum(a, b),
    "relu": lambda l, a: l.relu(a),
    "sqrt": lambda l, a: l.sqrt(a),
    "sigmoid": functions.sigmoid,
    "tanh": functions.tanh,
    "softplus": functions.softplus,
    "exp": functions.exp,
    "log": functions.log,
}
