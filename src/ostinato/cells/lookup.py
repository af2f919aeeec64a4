"""`as_cell`: a cell from whatever names one: a cell, a name of the catalogue, a function that @cell would take."""

from __future__ import annotations

from torch import nn

from ..errors import InputError, did_you_mean, phrase
from .catalogue import catalogue
from .cell import Cell


def as_cell(c: object, where: str) -> Cell:
    """A `Cell`, from a cell, a catalogue name or a function that @cell would take."""
    if isinstance(c, Cell):
        return c
    if isinstance(c, str):
        known = catalogue()
        if c in known:
            return known[c]
        remedy = did_you_mean(c, known).strip()
        raise InputError(phrase(where, "cell", f"a cell or one of {', '.join(known)}", repr(c), remedy))
    if isinstance(c, nn.Module):
        remedy = "Give the cell of a layer of this package as layer.cell; ostinato.convert replaces layers of torch.nn."
        raise InputError(phrase(where, "cell", "a cell", f"the module {type(c).__name__}", remedy))
    if callable(c):
        return Cell(c)
    raise InputError(phrase(where, "cell", "a cell", type(c).__name__, "Write @ostinato.cell above the equations."))
