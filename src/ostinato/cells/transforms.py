"""Options for any cell, as a transformation of its equations: a new graph with the same weights.

The new cell is a cell like any other: its text, derivative, reference and kernels follow from its equations.
`ostinato.layers.Options` documents the purpose and the source of each option.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import clamp, where

from ..caching import bounded_cache, graph_bytes
from ..errors import CellError, phrase
from .cell import Cell
from .gates import named_gates
from .noise import BITS
from .text import body
from .tracing import Trace
from .value import Graph, Value, clip_gradient, norm

ByName = tuple[tuple[str, float], ...]
"""(name, number) of states or gates, sorted by name."""


@dataclass(frozen=True, kw_only=True)
class CellTransform:
    """The options that are added to the equations of a cell; the defaults add none.

    layer_norm       each product with W or U becomes p.norm_W_NAME * norm(W.NAME @ x), its gain p starting from 1
    recurrent_dropout  probability that a unit of the operand of U is 0, drawn once for a sequence
    gate_dropout     gate -> probability that a unit of its value is 0, drawn in every step
    zoneout          state -> probability that a unit keeps its old value, drawn in every step
    expected_zoneout the same probabilities; each unit takes the expected value, and nothing is drawn
    clip_gradient    largest size of the gradient of a gate's pre-activation
    clip_state       state -> the largest size of its new value, also for other values of the step that read it
    """

    layer_norm: bool = False
    recurrent_dropout: float = 0.0
    gate_dropout: ByName = ()
    zoneout: ByName = ()
    expected_zoneout: ByName = ()
    clip_gradient: float | None = None
    clip_state: ByName = ()

    @property
    def name(self) -> str:
        """The suffix of the cell's name."""
        return "".join(f"_{k}" for k, default in _DEFAULTS.items() if getattr(self, k) != default)


_DEFAULTS = {k: f.default for k, f in CellTransform.__dataclass_fields__.items()}


@bounded_cache(16 << 20, size_of=lambda transformed, cell, options: graph_bytes(transformed, cell))
def transformed_cell(cell: Cell, options: CellTransform) -> Cell:
    """The cell with the options in its equations; `cell` itself where there are none."""
    return _GraphRewriter(cell, options).cell() if options != CellTransform() else cell


def gate_values(cell: Cell) -> tuple[str, ...]:
    """The gates of a cell whose value is one node, which gate_dropout can drop."""
    return tuple(named_gates(cell.trace)[1])


class _GraphRewriter:
    """Copies the graph of a cell node by node, and adds the options."""

    def __init__(self, cell: Cell, options: CellTransform):
        self.old, self.options, self.source = cell.trace, options, cell
        self.graph = Graph()
        self.made: dict[int, Value] = {}
        self.gains: dict[str, None] = {}
        self.vectors = frozenset(cell.gates.get("p", ()))
        sums, gates = named_gates(cell.trace)
        dropped = dict(options.gate_dropout)
        self.dropped = {v.id: (f"gate_{gate}", dropped[gate]) for gate, v in gates.items() if gate in dropped}
        ungated = [v for v in cell.trace.graph.nodes if v.op == "mm" and v.attr[0] != "V" and v.attr[1] not in sums]
        self.clipped = {v.id for v in (*sums.values(), *ungated)}
        bounds = dict(options.clip_state)
        self.bounded = {
            v.id: bounds[s] for s, v in zip(cell.states, cell.trace.next_states, strict=True) if s in bounds
        }

    def cell(self) -> Cell:
        old, source = self.old, self.source
        for v in old.graph.nodes:  # in the order of the graph, which fixes the order of gates
            if v.id in old.widths and v.op != "x":
                self._new(v)
        states = tuple(self._new(v) for v in old.previous_states)
        new = [self._new(v) for v in old.next_states]
        output = self._new(old.output)
        for k, name in enumerate(old.states):
            new[k] = self._zoned(name, states[k], new[k])
        if source.output_state is not None:
            output = new[source.output_state]
        t = Trace(self.graph, output, old.states, states, tuple(new), {}, {}, (), ())
        used = {v.attr[0] for v in self.graph.nodes if v.op in ("mm", "vec", "random")}
        letters = [k for k in "WUVbdpRS" if k in used]
        name = source.name + self.options.name
        init = {**source.init, **dict.fromkeys(self.gains, 1.0)}
        settings: dict[str, Any] = {"gates": " ".join(old.order), "init": init, **source.roles}
        written = f"@cell({', '.join(f'{k}={v!r}' for k, v in sorted(settings.items()))})\n"
        equations = Cell.from_text(f"{written}def {name}({', '.join((*letters, 'x', *old.states))}):\n{body(t)}\n")
        transformed = Cell(equations.fn, name=name, source=source.source, differs=source.differs, **settings)
        transformed.__doc__ = source.__doc__
        return transformed

    def _new(self, v: Value) -> Value:
        if v.id not in self.made:
            self.made[v.id] = self._made(v)
        return self.made[v.id]

    def _made(self, v: Value) -> Value:
        options = self.options
        if v.op == "mm":
            a = self._product(v)
        elif v.op == "norm":
            a = norm(self._new(v.args[0]), v.attr)
        else:
            a = self.graph.make(v.op, *[self._new(a) for a in v.args], attr=v.attr)
        if options.clip_gradient is not None and v.id in self.clipped:
            a = clip_gradient(a, options.clip_gradient)
        if v.id in self.dropped:
            name, p = self.dropped[v.id]
            a = self._dropped("R", name, p, a)
        if v.id in self.bounded and a.op != "const":
            a = clamp(a, -self.bounded[v.id], self.bounded[v.id])  # type: ignore[call-overload]
        return a

    def _product(self, v: Value) -> Value:
        letter, name = v.attr
        operand = self._new(v.args[0])
        if letter == "U" and self.options.recurrent_dropout:
            operand = self._dropped("S", "into_U", self.options.recurrent_dropout, operand)
        product = self.graph.make("mm", operand, attr=v.attr)
        if letter == "V" or not self.options.layer_norm:
            return product
        gain = f"norm_{letter}_{name}"
        if gain in self.vectors:
            where_, remedy = f"layer_norm of the cell {self.source.name}", "Give the vector another name."
            raise CellError(phrase(where_, "its vectors", f"free of the name {gain}", f"p.{gain}", remedy))
        self.gains.setdefault(f"p.{gain}")
        return self.graph.make("vec", attr=("p", gain)) * norm(product)

    def _dropped(self, letter: str, name: str, p: float, a: Value) -> Value:
        """0 with probability p, else a divided by 1 - p."""
        threshold = _multiple(p)
        drawn = self.graph.make("random", attr=(letter, name))
        return where(drawn < threshold, 0.0, a * (1 / (1 - threshold)))  # type: ignore[call-overload]

    def _zoned(self, state: str, old: Value, new: Value) -> Value:
        drawn, expected = dict(self.options.zoneout), dict(self.options.expected_zoneout)
        if state in drawn:
            random = self.graph.make("random", attr=("R", f"zone_{state}"))
            return where(random < _multiple(drawn[state]), old, new)  # type: ignore[call-overload]
        if state in expected:
            share = _multiple(expected[state])
            return share * old + (1 - share) * new
        return new


def _multiple(p: float) -> float:
    """The nearest probability that random numbers can have exactly, so that every number type draws the same."""
    return round(p * 2**BITS) / 2**BITS
