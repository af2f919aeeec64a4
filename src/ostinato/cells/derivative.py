"""Backpropagation through one step of a cell, derived from one table: an operation, its adjoint.

The rules are written in the notation itself, so the derivative is a graph like any other and goes the same way to the
kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import where

from .notation import Trace
from .value import COMPARISONS, Value, mean

# operation -> (y = op(a, b, ...), d = dL/dy, a, b, ...) -> dL/da, dL/db, ...; None where nothing flows.
# At a corner the choice is torch's: relu'(0) = 0, clamp' = 1 on its bounds, a tie of maximum goes half to each side,
# softplus(a) is a itself beyond 20.
ADJOINT: dict[str, Callable[..., tuple]] = {
    "add": lambda y, d, a, b: (d, d),
    "sub": lambda y, d, a, b: (d, -d),
    "mul": lambda y, d, a, b: (d * b, d * a),
    "div": lambda y, d, a, b: (d / b, -(d * y / b)),
    "neg": lambda y, d, a: (-d,),
    "sigmoid": lambda y, d, a: (d * (y * (1 - y)),),
    "tanh": lambda y, d, a: (d * (1 - y * y),),
    "relu": lambda y, d, a: (where(y <= 0, 0.0, d),),
    "leaky_relu": lambda y, d, a: (where(a > 0, d, d * y.attr),),
    "softplus": lambda y, d, a: (where(a > 20.0, d, d * torch.sigmoid(a)),),
    "exp": lambda y, d, a: (d * y,),
    "log": lambda y, d, a: (d / a,),
    "sqrt": lambda y, d, a: (d / (y + y),),
    "minimum": lambda y, d, a, b: (
        where(a < b, d, where(b < a, 0.0, d * 0.5)),
        where(b < a, d, where(a < b, 0.0, d * 0.5)),
    ),
    "maximum": lambda y, d, a, b: (
        where(a > b, d, where(b > a, 0.0, d * 0.5)),
        where(b > a, d, where(a > b, 0.0, d * 0.5)),
    ),
    "clamp": lambda y, d, a: (_between(d, a, *y.attr),),
    "where": lambda y, d, c, a, b: (None, where(c, d, 0.0), where(c, 0.0, d)),
    "mean": lambda y, d, a: (mean(d),),
}


def _between(d: Value, a: Value, low: float, high: float) -> Value:
    """d where low <= a <= high, else 0; a bound that is infinite asks nothing."""
    if high < math.inf:
        d = where(a <= high, d, 0.0)  # type: ignore[call-overload]
    return where(a >= low, d, 0.0) if low > -math.inf else d  # type: ignore[call-overload]


@dataclass(frozen=True)
class Derivative:
    """One step of backpropagation, appended to the graph of the forward step.

    seed_output  the gradient of the output that arrives, a node "seed" with attr "output"
    seed_states  the gradient of each new state that arrives, nodes "seed" with the state's name
    states       the gradient of each old state
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


def differentiate(t: Trace) -> Derivative:
    """Reverse mode over the live nodes of a trace; new nodes join its graph."""
    graph = t.graph
    seed_output = graph.make("seed", attr="output")
    seed_states = tuple(graph.make("seed", attr=s) for s in t.states)
    gradient: dict[int, Value] = {}
    products: dict[tuple[str, str], tuple[Value, Value]] = {}
    vectors: dict[tuple[str, str], Value] = {}

    def send(v: Value, d: Value | None) -> None:
        if d is not None:
            gradient[v.id] = gradient[v.id] + d if v.id in gradient else d

    live = [v for v in graph.nodes if v.id in t.widths]
    send(t.output, seed_output)
    for v, s in zip(t.new, seed_states, strict=True):
        send(v, s)
    for v in reversed(live):
        d = gradient.get(v.id)
        if d is None or v.op in ("x", "state", "const") or v.op in COMPARISONS:
            continue
        if v.op == "mm":
            products[v.attr] = (d, v.args[0])
            if v.attr[0] != "W":
                send(v.args[0], graph.make("mmT", d, attr=v.attr))
        elif v.op == "vec":
            vectors[v.attr] = d
        else:
            for a, da in zip(v.args, ADJOINT[v.op](v, d, *v.args), strict=True):
                send(a, da)
    zero = graph.const(0.0)
    return Derivative(seed_output, seed_states, tuple(gradient.get(o.id, zero) for o in t.old), products, vectors)
