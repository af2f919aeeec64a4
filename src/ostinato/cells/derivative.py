"""Backpropagation through one step of a cell, derived from the adjoints in the table of operations.

The rules are written in the notation, so the derivative is a graph like any other, and kernels are made from it in the
same way.
"""

from __future__ import annotations

from dataclasses import dataclass

from .operations import COMPARISONS, MEANS, OPERATIONS
from .tracing import Trace
from .value import Value


@dataclass(frozen=True)
class Derivative:
    """One step of backpropagation, appended to the graph of the forward step.

    seed_output     the upstream gradient of the output, a node "seed" with attr "output"
    seed_states     the upstream gradient of each next state, nodes "seed" with the state's name
    states          the gradient of each previous state
    products        (letter, name) -> (gradient of the product W.i @ x, its operand): the weight's gradient is their
                    outer product, summed over rows and steps
    vectors         (letter, name) -> the gradient of a per-unit vector, before the sum over rows and steps
    state_adjoints  the adjoint of each next state: its upstream gradient, plus the gradients through the output and the
                    other next states of the same step

    The gradient of a value of width 1 is kept as one share for each unit; the derivative is the sum of the shares. A
    gradient that itself has width 1 is the same share in every unit.
    """

    seed_output: Value
    seed_states: tuple[Value, ...]
    states: tuple[Value, ...]
    products: dict[tuple[str, str], tuple[Value, Value]]
    vectors: dict[tuple[str, str], Value]
    state_adjoints: tuple[Value, ...]


def differentiate(t: Trace) -> Derivative:
    """Reverse-mode differentiation over the live nodes of a trace. It adds nodes to the trace's graph."""
    graph = t.graph
    seed_output = graph.make("seed", attr="output")
    seed_states = tuple(graph.make("seed", attr=s) for s in t.states)
    live = [v for v in graph.nodes if v.id in t.widths]
    gradient = _backward(live, [(t.output, seed_output), *zip(t.next_states, seed_states, strict=True)])
    reached = [v for v in reversed(live) if v.id in gradient]
    products = {v.attr: (gradient[v.id], v.args[0]) for v in reached if v.op == "mm"}
    vectors = {v.attr: gradient[v.id] for v in reached if v.op == "vec"}
    zero = graph.const(0.0)
    states = tuple(gradient.get(o.id, zero) for o in t.previous_states)
    state_adjoints = tuple(gradient[v.id] for v in t.next_states)
    return Derivative(seed_output, seed_states, states, products, vectors, state_adjoints)


def carries(t: Trace) -> tuple[Value, ...]:
    """The carry of each state: ∂new/∂old of a unit in one step, with products cut.

    The derivative is not taken through products with a weight or means over the units, so all operations are
    elementwise, and it is one number for each unit: f for the state c of an LSTM, 0 for h of an Elman cell. It adds
    nodes to the graph of `t`, which must not be a trace that kernels are made from.
    """
    graph = t.graph
    live = [v for v in graph.nodes if v.id in t.widths]
    one, zero = graph.const(1.0), graph.const(0.0)
    return tuple(
        _backward(live, [(new, one)], within_units=True).get(old.id, zero)
        for old, new in zip(t.previous_states, t.next_states, strict=True)
    )


def _backward(
    live: list[Value], output_gradients: list[tuple[Value, Value]], within_units: bool = False
) -> dict[int, Value]:
    """node.id -> its gradient, for every node that the gradients of `output_gradients` reach.

    within_units  do not propagate through products and means, which mix units
    """
    gradient: dict[int, Value] = {}

    def send(v: Value, d: Value | None) -> None:
        if d is not None:
            gradient[v.id] = gradient[v.id] + d if v.id in gradient else d

    for seeded, seed in output_gradients:
        send(seeded, seed)
    for v in reversed(live):
        d = gradient.get(v.id)
        if d is None or v.op in ("x", "state", "const", "vec", "random") or v.op in COMPARISONS:
            continue
        if within_units and (v.op == "mm" or v.op in MEANS):
            continue
        if v.op == "mm":
            if v.attr[0] != "W":
                send(v.args[0], v.graph.make("mmT", d, attr=v.attr))
            continue
        row = OPERATIONS[v.op]
        adjoint = (within_units and row.adjoint_within_unit) or row.adjoint
        assert adjoint is not None, v
        for a, da in zip(v.args, adjoint(v, d, *v.args), strict=True):
            send(a, da)
    return gradient
