"""Items as the network reads and writes them: the units of each text between two marks, and what a model says of them.

Letters: N items, T steps of an item: its units and the mark that ends it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..intervals import Tally, Value, by_unit, ratio
from .metrics import metric_named
from .units import TextUnits

LONGEST = 1000
"""Units of an item that are read; a longer one is cut, and has no mark at its end. It is counted and said."""


def framed(text: str, units: TextUnits) -> np.ndarray:
    """int32 [T + 1] of a text: the mark, which is entry V, its units, and the mark again unless the text is cut."""
    mark = np.array([len(units)], np.int32)
    entries = units.encode(text)
    return np.concatenate([mark, entries[:LONGEST], mark if len(entries) <= LONGEST else mark[:0]])


def tally_of_items(
    rows: Sequence[np.ndarray], nats: Sequence[np.ndarray], units: TextUnits, groups: Sequence[str]
) -> Tally:
    """nats_per_character, or of another unit, and bits_per_character of N framed items, resampled by group.

    nats  N arrays [T] of the steps of each item
    The first is the mean over units and ends of items. bits_per_character are all bits over the characters of the
    texts, to which the end of an item counts as one, as a line break does in a file of lines.
    """
    columns = np.zeros((len(rows), 3))
    for place, (row, found) in enumerate(zip(rows, nats, strict=True)):
        text = units.decode(entry for entry in row[1:] if entry < len(units))
        columns[place] = (float(np.sum(found)), len(row) - 1, len(text) + int(row[-1] == len(units)))
    character = ratio(0, 2)
    values: dict[str, tuple[Value, bool]] = {
        metric_named("nats", units.noun): (ratio(0, 1), False),
        "bits_per_character": (lambda s: character(s) / math.log(2), False),
    }
    return Tally(by_unit(columns, groups), values)
