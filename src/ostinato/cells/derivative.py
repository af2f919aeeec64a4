"""Backpropagation through one step of a cell, derived from one table: an operation, its adjoint.

The rules are written in the notation itself, so the derivative is a graph like any other and goes the same way to the
kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import where

from .notation import Trace
from .value import COMPARISONS, Value, mean

# operation -> (y = op(a, b, ...), d = dL/dy, a, b, ...) -> dL/da, dL/db, ...; None where nothing flows.
# Where an operation has a corner the choice is torch's: relu'(0) = 0, clamp' = 1 on its bounds, a tie of maximum halves.
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
    "softplus": lambda y, d, a: (d * torch.sigmoid(a),),
    "exp": lambda y, d, a: (d * y,),
    "log": lambda y, d, a: (d / a,),
    "sqrt": lambda y, d, a: (d / (y + y),),
    "minimum": lambda y, d, a, b: (where(a < b, d, where(b < a, 0.0, d * 0.5)), where(b < a, d, where(a < b, 0.0, d * 0.5))),
    "maximum": lambda y, d, a, b: (where(a > b, d, where(b > a, 0.0, d * 0.5)), where(b > a, d, where(a > b, 0.0, d * 0.5))),
    "clamp": lambda y, d, a: (where(a >= y.attr[0], where(a <= y.attr[1], d, 0.0), 0.0),),
    "where": lambda y, d, c, a, b: (None, where(c, d, 0.0), where(c, 0.0, d)),
    "mean": lambda y, d, a: (mean(d),),
}


@dataclass(frozen=True)
class Derivative:
    """One step of backpropagation, appended to the graph of the forward step.

    seeds      the gradients that arrive: of the output (attr "output") and of each new state (attr its name)
    states     the gradient of each old state
    products   (letter, name) -> (gradient of the product W.i @ x, its operand): the weight's gradient is their outer product
    vectors    (letter, name) -> the gradient of a per-unit vector, before the sum over rows
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
    for v, s in zip(t.new, seed_states):
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
            for a, da in zip(v.args, ADJOINT[v.op](v, d, *v.args)):
                send(a, da)
    zero = graph.const(0.0)
    return Derivative(seed_output, seed_states, tuple(gradient.get(o.id, zero) for o in t.old), products, vectors)
