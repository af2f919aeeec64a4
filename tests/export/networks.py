"""Networks written node by node, one for each kind of node, and one whole."""

import torch

from ostinato.cells import catalogue
from ostinato.network import (
    Columns,
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    Input,
    LayerNorm,
    Linear,
    Network,
    Number,
    Parameter,
    Pointwise,
    Recurrent,
    Running,
    Softmax,
)


class Builder:
    """Collects nodes; each call returns the index of the node that it adds."""

    def __init__(self, dtype, width, tokens=None):
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(3)
        self.nodes = [Input(place="x", width=width, tokens=tokens)]

    def parameter(self, name, value):
        """A tensor as a parameter; of a shape, random numbers."""
        if isinstance(value, tuple):
            value = torch.rand(value, generator=self.generator, dtype=torch.float64) - 0.4
        value = value.to(self.dtype).contiguous()
        return Parameter(name, tuple(value.shape), lambda: value)

    def add(self, node, *inputs, **fields):
        self.nodes.append(node(inputs=inputs, **fields))
        return len(self.nodes) - 1

    def linear(self, source, width, place, bias=True):
        weight = self.parameter(f"{place}.weight", (width, self.nodes[source].width))
        bias = self.parameter(f"{place}.bias", (width,)) if bias else None
        return self.add(Linear, source, place=place, width=width, weight=weight, bias=bias)

    def recurrent(self, name, source, hidden, place, initial=None, projected=None):
        cell = catalogue()[name]
        sizes = (self.nodes[source].width, hidden, projected or hidden)
        shapes = cell.parameters(*sizes).items()
        weights = tuple(self.parameter(f"{place}.{k}", tuple(shape)) for k, shape in shapes)
        initial = initial or (None,) * len(cell.states)
        width = cell.width(cell.output_width, *sizes)
        fields = {"cell": cell, "sizes": sizes, "weights": weights, "initial": initial}
        return self.add(Recurrent, source, place=place, width=width, **fields)

    def convolution(self, source, width, taps, place, dilation=1, bias=True):
        weight = self.parameter(f"{place}.weight", (width, self.nodes[source].width, taps))
        bias = self.parameter(f"{place}.bias", (width,)) if bias else None
        fields = {"weight": weight, "bias": bias, "dilation": dilation}
        return self.add(Convolution, source, place=place, width=width, **fields)

    def pointwise(self, operation, *inputs, settings=()):
        width = max(self.nodes[i].width for i in inputs)
        return self.add(Pointwise, *inputs, place=operation, width=width, operation=operation, settings=settings)

    def constant(self, width, place):
        return self.add(Constant, place=place, width=width, parameter=self.parameter(place, (width,)))

    def number(self, value):
        return self.add(Number, place=str(value), value=value, width=1)

    def concatenate(self, *inputs):
        width = sum(self.nodes[i].width for i in inputs)
        return self.add(Concatenate, *inputs, place="concatenate", width=width)

    def columns(self, source, first, width):
        return self.add(Columns, source, place="columns", width=width, first=first)

    def network(self):
        return Network(tuple(self.nodes), len(self.nodes) - 1, self.dtype)


def _norm(b, weight, bias):
    fields = {"weight": b.parameter("n.weight", (4,)) if weight else None}
    fields["bias"] = b.parameter("n.bias", (4,)) if bias else None
    return b.add(LayerNorm, 0, place="n", width=4, eps=1e-5, **fields)


def _pointwise(b):
    """One by one: signs, bounds, choices, a number and a constant beside values of every step."""
    two, bias = b.number(2.0), b.constant(4, "bias")
    above = b.pointwise("gt", 0, two)
    chosen = b.pointwise("where", above, bias, b.pointwise("mul", 0, two))
    bounded = b.pointwise("clamp", 0, settings=(-0.5, 0.7))
    found = [b.pointwise(name, 0) for name in ("tanh", "sigmoid", "relu", "softplus", "exp", "neg")]
    found += [b.pointwise("leaky_relu", 0, settings=(0.2,)), b.pointwise("fma", 0, bias, two)]
    found += [b.pointwise(name, 0, bias) for name in ("add", "sub", "div", "minimum", "maximum")]
    found += [b.pointwise(name, b.pointwise("exp", 0)) for name in ("log", "sqrt")]
    return b.concatenate(chosen, bounded, *found)


def _constants(b):
    """Values that no step changes, as inputs of every kind of node that reads another one."""
    bias = b.constant(4, "bias")
    found = [
        b.linear(bias, 3, "head"),
        b.recurrent("gru", bias, 3, "gru.0"),
        b.convolution(bias, 3, 2, "conv"),
        b.add(Running, bias, place="pool", width=4, kind="mean"),
        b.add(Softmax, bias, place="softmax", width=4),
        b.add(LayerNorm, bias, place="norm", width=4, eps=1e-5),
        b.columns(bias, 1, 2),
        b.pointwise("mul", bias, b.number(3.0)),
        b.number(0.5),
    ]
    return b.concatenate(0, *found)


def _several(b):
    first = b.convolution(0, 3, 3, "conv", dilation=2)
    return b.concatenate(first, b.convolution(first, 2, 2, "other", bias=False), 0)


def _whole(b):
    """Convolution, norm, two recurrent layers, a skip connection, a mean over time, a head and a softmax."""
    y = b.pointwise("relu", b.convolution(0, 5, 3, "conv"))
    y = b.add(LayerNorm, y, place="norm", width=5, eps=1e-5)
    first = b.recurrent("gru_reset_before", y, 5, "rnn.0")
    second = b.recurrent("mgu", b.pointwise("add", first, y), 4, "rnn.1")
    mean = b.add(Running, second, place="pool", width=4, kind="mean")
    head = b.linear(b.concatenate(second, mean), 6, "head")
    return b.add(Softmax, b.columns(head, 1, 5), place="softmax", width=5, log=True)


def _embedded(b):
    table = b.parameter("embedding.weight", (7, 4))
    return b.linear(b.add(Embedding, 0, place="embedding", width=4, table=table), 3, "head", bias=False)


NETWORKS = {
    "lstm": lambda b: b.recurrent("lstm", 0, 5, "rnn.0"),
    "scan": lambda b: b.recurrent("janet", 0, 5, "rnn.0"),
    "projected": lambda b: b.recurrent("lstm_projected", 0, 5, "rnn.0", projected=3),
    "embedding": _embedded,
    "linear": lambda b: b.linear(0, 3, "head"),
    "convolution": lambda b: b.convolution(0, 3, 3, "conv"),
    "convolutions": _several,
    "norm": lambda b: _norm(b, True, True),
    "norm without bias": lambda b: _norm(b, True, False),
    "norm without weight": lambda b: _norm(b, False, False),
    "pointwise": _pointwise,
    "constants": _constants,
    "softmax": lambda b: b.add(Softmax, 0, place="softmax", width=4),
    "log_softmax": lambda b: b.add(Softmax, 0, place="softmax", width=4, log=True),
    "columns": lambda b: b.concatenate(b.columns(0, 2, 2), b.columns(0, 0, 1)),
    "mean": lambda b: b.add(Running, 0, place="pool", width=4, kind="mean"),
    "maximum": lambda b: b.add(Running, 0, place="pool", width=4, kind="maximum"),
    "whole": _whole,
}
"""Name → what adds the nodes to a builder whose x has 4 numbers, or is one of 7 tokens."""


def network_of(kind, dtype):
    b = Builder(dtype, 1, tokens=7) if kind == "embedding" else Builder(dtype, 4)
    NETWORKS[kind](b)
    return b.network()
