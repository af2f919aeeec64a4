"""From a module of torch to a network."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ..errors import InputError, phrase
from ..layers.base import Layer
from ..network import Input, Network, Node
from .layers import WHERE, Place, recurrent_nodes
from .reading.interpret import Layout, Reader
from .reading.sizes import ROWS, TIME, UNKNOWN, FoundWidthError, NeedsWidthError
from .reading.trace import Traced, check_hooks, checked_dtype, trace
from .reading.values import RefusedError

_LAYOUTS = (
    Layout((TIME, ROWS, UNKNOWN)),
    Layout((ROWS, TIME, UNKNOWN)),
    Layout((ROWS, UNKNOWN, TIME)),
    Layout((TIME, ROWS), tokens=True),
    Layout((ROWS, TIME), tokens=True),
    Layout((ROWS, UNKNOWN)),
    Layout((ROWS,), tokens=True),
)
"""What x may be. The first that the whole model agrees with is taken; each operation says which it agrees with."""

_WIDEST = 256
"""Widths of x below it are tried where no layer says it, and sums and multiples of the sizes of parameters."""


def read(model: nn.Module, whole: bool = False) -> Network:
    """The network of a model, as it is in evaluation, whatever its present mode, which stays.

    whole  also a model with layers of two directions, whose network runs on whole sequences alone

    Raises InputError, with the place in the model, for what cannot run step by step.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            phrase(WHERE, "model", "a torch.nn.Module", type(model).__name__, "Give the model, or one of its layers.")
        )
    dtype = checked_dtype(model)
    check_hooks(model)
    if isinstance(model, Layer):
        nodes: list[Node] = [Input(place="x", width=model.input_size)]
        nodes += recurrent_nodes(model, Place("", 0, 1, whole), dtype)
        return Network(tuple(nodes), len(nodes) - 1, dtype)
    traced = trace(model)
    refusals = []
    for layout in _LAYOUTS:
        try:
            return _of_layout(model, traced, dtype, replace(layout, whole=whole))
        except _UnreadableError as unreadable:
            refusals.append(unreadable)
    worst = max(refusals, key=_UnreadableError.weight)
    why = worst.refused
    raise InputError(phrase(WHERE, worst.name, why.expected, why.received, why.remedy)) from why


class _UnreadableError(Exception):
    """A refusal with the line where it was and its name."""

    def __init__(self, refused: RefusedError, reader: Reader):
        super().__init__(refused)
        self.refused, self.position, self.name = refused, reader.position, reader.name
        self.timed = reader.b.timed or reader.b.stepped

    def weight(self) -> tuple[bool, bool, int]:
        """How much it says: that of an operation more than one of an order of axes, a later one more than an early."""
        return self.timed, not self.refused.layout, self.position


def _of_layout(model: nn.Module, traced: Traced, dtype: torch.dtype, layout: Layout) -> Network:
    """The network under one assumption about x. The width of x is that of the first layer that reads it."""
    if UNKNOWN not in layout.axes:
        return _of_width(model, traced, dtype, layout, None)
    try:
        return _of_width(model, traced, dtype, layout, None)
    except FoundWidthError as found:
        return _of_width(model, traced, dtype, layout, found.width)
    except NeedsWidthError:
        return _only_width(model, traced, dtype, layout)


def _of_width(model: nn.Module, traced: Traced, dtype: torch.dtype, layout: Layout, width: int | None) -> Network:
    reader = Reader(model, traced, dtype, layout, width)
    try:
        return reader.read()
    except RefusedError as refused:
        raise _UnreadableError(refused, reader) from refused


def _only_width(model: nn.Module, traced: Traced, dtype: torch.dtype, layout: Layout) -> Network:
    """The network for the one width of x with which the layers agree, where features are divided before the first."""
    sizes = {size for p in model.parameters() for size in p.shape}
    widths = {*range(1, _WIDEST), *(k * size for size in sizes for k in range(1, 5))}
    widths |= {a + b for a in sizes for b in sizes} if len(sizes) < 40 else set()
    found, refusals = [], []
    for width in sorted(widths):
        try:
            found.append(_of_width(model, traced, dtype, layout, width))
        except _UnreadableError as unreadable:
            refusals.append(unreadable)
        if len(found) > 1:
            remedy = "Begin with a layer that reads all features, such as nn.Linear."
            received = f"one that takes {found[0].input.width} and {found[1].input.width}"
            raise InputError(phrase(WHERE, "the model", "one for a single number of features", received, remedy))
    if found:
        return found[0]
    raise max(refusals, key=_UnreadableError.weight)
