"""Translations as a table: each row's source, its translation by the user where there is one, and the network's."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from ..data.examples import Examples
from ..tasks.task import Predictions
from .escape import table_cell


def pairs_csv(truth: Examples, predictions: Predictions, name_of: Callable[[int], str]) -> str:
    """CSV of id, source, truth and prediction of N rows; truth is empty where it is not known.

    name_of  row → its id
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "source", "truth", "prediction"])
    for row, value in enumerate(predictions.values):
        known = "" if truth.targets is None else str(truth.targets[row])
        cells = [name_of(row), str(truth.inputs[row]), known, str(value)]
        writer.writerow([table_cell(cell) for cell in cells])
    return file.getvalue()
