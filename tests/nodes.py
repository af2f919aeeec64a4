"""`Builder`: a network written node by node."""

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

    def __init__(self, dtype, width, tokens=None, seed=3):
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(seed)
        self.nodes = [Input(place="x", width=width, tokens=tokens)]

    def parameter(self, name, value):
        """A tensor as a parameter; of a shape, random numbers."""
        if isinstance(value, tuple):
            value = self.numbers(value)
        value = value.to(self.dtype).contiguous()
        return Parameter(name, tuple(value.shape), lambda: value)

    def numbers(self, shape):
        return torch.rand(shape, generator=self.generator, dtype=torch.float64) - 0.4

    def optional(self, name, count, given):
        """A parameter [count], or None."""
        return self.parameter(name, (count,)) if given else None

    def add(self, node, *inputs, **fields):
        self.nodes.append(node(inputs=inputs, **fields))
        return len(self.nodes) - 1

    def linear(self, source, width, place, bias=True):
        weight = self.parameter(f"{place}.weight", (width, self.nodes[source].width))
        bias = self.optional(f"{place}.bias", width, bias)
        return self.add(Linear, source, place=place, width=width, weight=weight, bias=bias)

    def recurrent(self, name, source, hidden, place, initial=None, projected=None):
        """initial: for each state a parameter, None for zeros, or True for random numbers."""
        cell = catalogue()[name]
        sizes = (self.nodes[source].width, hidden, projected or hidden)
        shapes = cell.parameters(*sizes).items()
        weights = tuple(self.parameter(f"{place}.{k}", tuple(shape)) for k, shape in shapes)
        initial = [
            self.parameter(f"{place}.initial_{state}", (cell.width(letter, *sizes),)) if first is True else first
            for state, letter, first in zip(cell.states, cell.state_widths, initial or [None] * len(cell.states))
        ]
        width = cell.width(cell.output_width, *sizes)
        fields = {"cell": cell, "sizes": sizes, "weights": weights, "initial": tuple(initial)}
        return self.add(Recurrent, source, place=place, width=width, **fields)

    def convolution(self, source, width, taps, place, dilation=1, bias=True):
        weight = self.parameter(f"{place}.weight", (width, self.nodes[source].width, taps))
        bias = self.optional(f"{place}.bias", width, bias)
        fields = {"weight": weight, "bias": bias, "dilation": dilation}
        return self.add(Convolution, source, place=place, width=width, **fields)

    def norm(self, source, place, weight=True, bias=True):
        width = self.nodes[source].width
        fields = {"weight": self.optional(f"{place}.weight", width, weight)}
        fields["bias"] = self.optional(f"{place}.bias", width, bias)
        return self.add(LayerNorm, source, place=place, width=width, eps=1e-5, **fields)

    def softmax(self, source, place="softmax", log=False):
        return self.add(Softmax, source, place=place, width=self.nodes[source].width, log=log)

    def running(self, source, kind, place):
        return self.add(Running, source, place=place, width=self.nodes[source].width, kind=kind)

    def embedding(self, width, place="embedding"):
        """A table of the network's input."""
        table = self.parameter(f"{place}.weight", (self.nodes[0].tokens, width))
        return self.add(Embedding, 0, place=place, width=width, table=table)

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

    def network(self, output=None):
        """The network; its output is the last node by default."""
        return Network(tuple(self.nodes), len(self.nodes) - 1 if output is None else output, self.dtype)
