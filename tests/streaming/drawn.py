"""Networks drawn at random from every kind of node."""

import random

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

TOKENS = 11
WIDTHS = (1, 3, 16, 17, 33)


class Drawing:
    """Draws the nodes of one network."""

    def __init__(self, seed, dtype, tokens):
        self.draw, self.dtype = random.Random(seed), dtype
        self.generator = torch.Generator().manual_seed(seed)
        self.count, self.nodes = 0, []
        width = self.draw.choice(WIDTHS)
        if tokens:
            self.add(Input, width=1, tokens=TOKENS)
            self.values = [self.add(Embedding, 0, width=width, table=self.parameter(TOKENS, width))]
        else:
            self.values = [self.add(Input, width=width)]

    def add(self, node, /, *inputs, **fields):
        self.nodes.append(node(place=f"{node.__name__}{len(self.nodes)}", inputs=inputs, **fields))
        return len(self.nodes) - 1

    def parameter(self, *shape):
        self.count += 1
        value = torch.randn(*shape, dtype=self.dtype, generator=self.generator) / 2
        return Parameter(f"p{self.count}", shape, lambda: value)

    def maybe(self, *shape):
        return self.parameter(*shape) if self.draw.random() < 0.7 else None

    def grow(self):
        """Adds one node of a drawn kind, which reads a drawn one."""
        i = self.draw.choice(self.values)
        w = self.nodes[i].width
        made = getattr(self, self.draw.choice([name for name in dir(self) if name.startswith("make_")]))(i, w)
        self.values.append(made)

    def make_linear(self, i, w):
        out = self.draw.choice(WIDTHS)
        return self.add(Linear, i, width=out, weight=self.parameter(out, w), bias=self.maybe(out))

    def make_convolution(self, i, w):
        out, taps, dilation = self.draw.choice(WIDTHS), self.draw.choice((1, 2, 3)), self.draw.choice((1, 2))
        weight = self.parameter(out, w, taps)
        return self.add(Convolution, i, width=out, weight=weight, bias=self.maybe(out), dilation=dilation)

    def make_norm(self, i, w):
        return self.add(LayerNorm, i, width=w, eps=1e-5, weight=self.maybe(w), bias=self.maybe(w))

    def make_softmax(self, i, w):
        return self.add(Softmax, i, width=w, log=self.draw.random() < 0.5)

    def make_concatenation(self, i, w):
        j = self.draw.choice(self.values)
        return self.add(Concatenate, i, j, i, width=2 * w + self.nodes[j].width)

    def make_columns(self, i, w):
        first = self.draw.randrange(w)
        return self.add(Columns, i, width=self.draw.randint(1, w - first), first=first)

    def make_running(self, i, w):
        return self.add(Running, i, width=w, kind=self.draw.choice(("mean", "maximum")))

    def make_choice(self, i, w):
        """where(x > 0.5, tanh(x) · 0.5, x)."""
        bound = self.add(Number, value=0.5)
        small = self.add(Pointwise, self.add(Pointwise, i, width=w, operation="tanh"), bound, width=w, operation="mul")
        over = self.add(Pointwise, i, bound, width=w, operation="gt")
        return self.add(Pointwise, over, small, i, width=w, operation="where")

    def make_scaled(self, i, w):
        scale, shift = (self.add(Constant, width=w, parameter=self.parameter(w)) for _ in range(2))
        return self.add(Pointwise, i, scale, shift, width=w, operation="fma")

    def make_recurrent(self, i, w):
        units, cell = self.draw.choice((4, 16, 19)), catalogue()[self.draw.choice(("lstm", "gru", "elman"))]
        weights = tuple(self.parameter(*shape) for shape in cell.parameters(w, units).values())
        initial = tuple(self.maybe(units) for _ in cell.states)
        return self.add(Recurrent, i, width=units, cell=cell, sizes=(w, units, units), weights=weights, initial=initial)


def drawn_network(seed, dtype=torch.float32, tokens=False, nodes=8):
    drawing = Drawing(seed, dtype, tokens)
    for _ in range(drawing.draw.randint(3, nodes)):
        drawing.grow()
    return Network(tuple(drawing.nodes), drawing.values[-1], dtype)


def drawn_input(network, steps, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if network.input.tokens is not None:
        return torch.randint(0, TOKENS, (steps, rows), generator=generator)
    return torch.randn(steps, rows, network.input.width, dtype=network.dtype, generator=generator)
