"""predictions.csv of texts that were scored unit by unit: what each row costs in nats.

Letters: N rows, T units of a text, its end included.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.examples import Examples
from ..tasks.task import Predictions
from .escape import table_cell

ROUND = 6
"""Digits after the point."""


def nats_csv(truth: Examples, predictions: Predictions, name_of: Callable[[int], str]) -> str:
    """id, the values that each of N texts was given, the text, its units, their nats, and nats per unit.

    name_of: row → its id.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    given = list(truth.channels) if truth.kind in ("given", "features") else []
    writer.writerow([table_cell(cell) for cell in ("id", *given, truth.target_name, "units", "nats", "nats_per_unit")])
    for row, nats in enumerate(predictions.values):
        cells: list[Any] = [name_of(row), *(_plain(v) for v in truth.inputs[row] if given)]
        text = "" if truth.targets is None else str(truth.targets[row])
        units, total = len(nats), float(np.sum(nats))
        figures = [units, round(total, ROUND), round(total / units, ROUND)] if units else [0, "", ""]
        writer.writerow([table_cell(cell) for cell in (*cells, text, *figures)])
    return file.getvalue()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value))
