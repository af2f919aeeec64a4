"""Backpropagation through one step of a cell, derived from the adjoints in the table of operations.

The rules are written in the notation itself, so the derivative is a graph like any other and goes the same way to the
kernels.
"""

from __future__ import annotations

from dataclasses import dataclass

from .operations import COMPARISONS, MEANS, OPERATIONS
from .tracing import Trace
from .value import Value


@dataclass(frozen=True)
class Derivative:
    """One step of backpropagation, appended to the graph of the forward step.

    seed_output  the gradient of the output that arrives, a node "seed" with attr "output"
    seed_states  the gradient of each new state that arrives, nodes "seed" with the state's name
    states       the gradient of each old state
    news         the whole gradient of each new state: what arrives for it, and what comes through the output and the
                 other new states of the same step
    products     (letter, name) -> (gradient of the product W.i @ x, its operand): the weight's gradient is their outer
                 product, summed over rows and steps
    vectors      (letter, name) -> the gradient of a per-unit vector, before the sum over rows and steps

    The gradient of a value of width 1 is held as one share for each unit; the shares' sum is the derivative. A gradient
    that is itself of width 1 stands for the same share in every unit.
    """

    seed_output: Value
    seed_states: tuple[Value, ...]
    states: tuple[Value, ...]
    products: dict[tuple[str, str], tuple[Value, Value]]
    vectors: dict[tuple[str, str], Value]
    news: tuple[Value, ...]


def differentiate(t: Trace) -> Derivative:
    """Reverse mode over the live nodes of a trace; new nodes join its graph."""
    graph = t.graph
    seed_output = graph.make("seed", attr="output")
    seed_states = tuple(graph.make("seed", attr=s) for s in t.states)
    live = [v for v in graph.nodes if v.id in t.widths]
    gradient = _backward(live, [(t.output, seed_output), *zip(t.new, seed_states, strict=True)])
    reached = [v for v in reversed(live) if v.id in gradient]
    products = {v.attr: (gradient[v.id], v.args[0]) for v in reached if v.op == "mm"}
    vectors = {v.attr: gradient[v.id] for v in reached if v.op == "vec"}
    zero = graph.const(0.0)
    states, news = tuple(gradient.get(o.id, zero) for o in t.old), tuple(gradient[v.id] for v in t.new)
    return Derivative(seed_output, seed_states, states, products, vectors, news)


def carries(t: Trace) -> tuple[Value, ...]:
    """For each state, what a unit of it keeps of its own old value in one step: ∂new/∂old with products cut.

    Neither products with a weight nor means over the units are crossed, so that every operation on the way is one
    unit's own, and the derivative is a number for each unit: f for the state c of an LSTM, 0 for h of an Elman cell.
    New nodes join the graph of `t`; a trace that kernels read must be left alone.
    """
    graph = t.graph
    live = [v for v in graph.nodes if v.id in t.widths]
    one, zero = graph.const(1.0), graph.const(0.0)
    return tuple(
        _backward(live, [(new, one)], within_units=True).get(old.id, zero)
        for old, new in zip(t.old, t.new, strict=True)
    )


def _backward(live: list[Value], seeds: list[tuple[Value, Value]], within_units: bool = False) -> dict[int, Value]:
    """node.id -> its gradient, for every node that the gradients of `seeds` reach.

    within_units  stop at what mixes units: products and means
    """
    gradient: dict[int, Value] = {}

    def send(v: Value, d: Value | None) -> None:
        if d is not None:
            gradient[v.id] = gradient[v.id] + d if v.id in gradient else d

    for seeded, seed in seeds:
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
