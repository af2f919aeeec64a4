"""Lines of numbers: cells in the order of the training's columns, or in that of a first line with their names.

Letters: C columns.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence

import numpy as np

from ....errors import InputError, phrase
from ...data.columns import MISSING, NUMBER
from ...data.findings import many
from ...data.refusals import listed, shown
from ...tasks.texts.prompts import refuse_half_characters
from .records import Line

SEPARATORS = "\t;,"
"""Between cells, the first of these that a line has; white space where it has none."""

REMEDY = "Write them with commas between; NA stands for a missing number."


class CellLines:
    """Reads lines of cells.

    names   of the C columns, in their order; empty where the training had no names
    count   C
    remedy  of a line that has another number of cells
    """

    def __init__(self, names: Sequence[str], count: int, remedy: str = REMEDY) -> None:
        self.names, self.count, self.remedy = list(names), count, remedy
        self.places: list[int] | None = None
        """Where the columns are among the cells of a line, after a line with their names."""
        self.width = count

    def is_heading(self, line: Line) -> bool:
        """Whether a line has the names of all columns; lines after it have its order."""
        cells = [] if line.text.lstrip().startswith(("[", "{")) else _divided(line)
        if not self.names or not set(self.names) <= set(cells):
            return False
        self.places, self.width = [cells.index(name) for name in self.names], len(cells)
        return True

    def cells(self, line: Line) -> list[str]:
        """[C] cells of a line: between commas, semicolons, tabs or spaces; of a JSON list or object.

        Raises InputError for another number of cells.
        """
        text = line.text.strip()
        if text.startswith(("[", "{")):
            return self._of_json(text, line)
        found = _divided(line)
        if len(found) != self.width:
            raise self._refused(line, many(len(found), "cell"))
        return found if self.places is None else [found[place] for place in self.places]

    def numbers(self, line: Line) -> np.ndarray:
        """float64 [1, C] of a line, NaN where one is missing. Raises InputError as `cells` and `number_of` do."""
        return np.array([[number_of(cell, line) for cell in self.cells(line)]], np.float64)

    def _of_json(self, text: str, line: Line) -> list[str]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            raise self._refused(line, shown(text)) from None
        if isinstance(found, dict):
            lacking = [name for name in self.names if name not in found]
            if lacking or not self.names:
                raise self._refused(line, f"an object without {listed(lacking) or 'known names'}")
            found = [found[name] for name in self.names]
        if not isinstance(found, list) or len(found) != self.count:
            raise self._refused(line, shown(text))
        for value in found:
            if isinstance(value, str):  # an escape such as \ud800 is half a character
                refuse_half_characters(value, "a cell", line.where)
        return ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in found]

    def _refused(self, line: Line, received: str) -> InputError:
        names = f": {listed(self.names)}" if self.names else ""
        expected = many(self.width, "cell") + names if self.places is None else f"{self.width} cells, as the first has"
        return InputError(phrase(line.where, "a line", expected, received, self.remedy))


def number_of(cell: str, line: Line) -> float:
    """The number of a cell, NaN where it is missing or too large, as in tables.

    Raises InputError for what is no number.
    """
    cell = cell.strip()
    if cell.lower() in MISSING:
        return math.nan
    if not re.match(NUMBER, cell):
        raise InputError(phrase(line.where, "a cell", "a number", shown(cell), "NA stands for a missing number."))
    value = float(cell)
    return value if math.isfinite(value) else math.nan


def _divided(line: Line) -> list[str]:
    """The cells of a line; those that hold a separator are in quotation marks."""
    text = line.text.strip()
    separator = next((s for s in SEPARATORS if s in text), None)
    if separator is None:
        return text.split()
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=separator))]
    except csv.Error as error:
        raise InputError(phrase(line.where, "a line", "cells as CSV has them", f"others ({error})")) from None
