"""What the page shows of generated items: samples beside true items, by condition, and how many samples are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...lens.render.html.markup import Html, table, tag
from .examples import shortened

MOST_CHARACTERS = 200
"""Of an item in the table; what is cut is marked with an ellipsis."""


@dataclass(frozen=True)
class Samples:
    """Items that the network wrote, beside test rows of the same condition."""

    rows: Sequence[tuple[str, Sequence[str], Sequence[str]]]
    """(condition, true items, written items)"""
    drawn: int
    """Items of all that were written, with the conditions of training rows by their frequency."""
    memorised: int
    """Those of them that are items of the training rows."""


def items_section(samples: Samples | None) -> list[Html]:
    """A sentence about all samples, and the table."""
    if samples is None or not samples.drawn:
        return []
    share = 100 * (1 - samples.memorised / samples.drawn)
    sentence = f"Of {samples.drawn} items that the network wrote, {share:.0f} % are not among the training rows."
    rows = [
        (condition, " · ".join(_short(item) for item in true), " · ".join(_short(item) for item in written))
        for condition, true, written in samples.rows
    ]
    return [
        tag("p", sentence),
        table("Written items beside test rows", ("given", "test rows", "written"), rows, named=3),
    ]


def _short(item: str) -> str:
    return shortened(item, MOST_CHARACTERS)
