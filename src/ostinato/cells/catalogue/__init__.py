"""The catalogue: cells by family. Adding a cell touches one place, the file of its family."""

from __future__ import annotations

from ..cell import Cell
from . import gru, light, lstm, modern, plain

FAMILIES = {"plain": plain, "lstm": lstm, "gru": gru, "light": light, "modern": modern}


def catalogue() -> dict[str, Cell]:
    """name -> cell, family by family."""
    return {c.name: c for family in FAMILIES.values() for c in vars(family).values() if isinstance(c, Cell)}
