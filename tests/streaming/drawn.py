"""Networks drawn at random from every kind of node."""

import random

import torch

from nodes import Builder
from ostinato.cells import catalogue

TOKENS = 11
WIDTHS = (1, 3, 16, 17, 33)


class Drawing(Builder):
    """Draws the nodes of one network."""

    def __init__(self, seed, dtype, tokens):
        self.draw = random.Random(seed)
        width = self.draw.choice(WIDTHS)
        super().__init__(dtype, 1 if tokens else width, TOKENS if tokens else None, seed)
        self.values = [self.embedding(width) if tokens else 0]

    def numbers(self, shape):
        return torch.randn(shape, dtype=self.dtype, generator=self.generator) / 2

    def often(self):
        return self.draw.random() < 0.7

    def place(self, name):
        """A place that no other node has."""
        return f"{name}{len(self.nodes)}"

    def grow(self):
        """Adds one node of a drawn kind, which reads a drawn one."""
        i = self.draw.choice(self.values)
        w = self.nodes[i].width
        made = getattr(self, self.draw.choice([name for name in dir(self) if name.startswith("make_")]))(i, w)
        self.values.append(made)

    def make_linear(self, i, w):
        return self.linear(i, self.draw.choice(WIDTHS), self.place("linear"), bias=self.often())

    def make_convolution(self, i, w):
        out, taps, dilation = self.draw.choice(WIDTHS), self.draw.choice((1, 2, 3)), self.draw.choice((1, 2))
        return self.convolution(i, out, taps, self.place("convolution"), dilation, bias=self.often())

    def make_norm(self, i, w):
        return self.norm(i, self.place("norm"), weight=self.often(), bias=self.often())

    def make_softmax(self, i, w):
        return self.softmax(i, log=self.draw.random() < 0.5)

    def make_concatenation(self, i, w):
        return self.concatenate(i, self.draw.choice(self.values), i)

    def make_columns(self, i, w):
        first = self.draw.randrange(w)
        return self.columns(i, first, self.draw.randint(1, w - first))

    def make_running(self, i, w):
        return self.running(i, self.draw.choice(("mean", "maximum")), self.place("running"))

    def make_choice(self, i, w):
        """where(x > 0.5, tanh(x) · 0.5, x)."""
        bound = self.number(0.5)
        small = self.pointwise("mul", self.pointwise("tanh", i), bound)
        return self.pointwise("where", self.pointwise("gt", i, bound), small, i)

    def make_scaled(self, i, w):
        scale, shift = (self.constant(w, self.place("constant")) for _ in range(2))
        return self.pointwise("fma", i, scale, shift)

    def make_recurrent(self, i, w):
        units, name = self.draw.choice((4, 16, 19)), self.draw.choice(("lstm", "gru", "elman"))
        initial = [self.often() or None for _ in catalogue()[name].states]
        return self.recurrent(name, i, units, self.place(name), initial)


def drawn_network(seed, dtype=torch.float32, tokens=False, nodes=8):
    drawing = Drawing(seed, dtype, tokens)
    for _ in range(drawing.draw.randint(3, nodes)):
        drawing.grow()
    return drawing.network(drawing.values[-1])


def drawn_input(network, steps, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if network.input.tokens is not None:
        return torch.randint(0, TOKENS, (steps, rows), generator=generator)
    return torch.randn(steps, rows, network.input.width, dtype=network.dtype, generator=generator)
