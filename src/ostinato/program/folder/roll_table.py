"""predictions.csv of pieces of music: what each of them costs in nats.

Letters: N pieces, T frames of a piece.
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
from .nats_table import ROUND


def rolls_csv(truth: Examples, predictions: Predictions, name_of: Callable[[int], str]) -> str:
    """id, frames, and nats and nats_per_frame of the frames after the first, N rows.

    name_of: row → its id.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "frames", "nats", "nats_per_frame"])
    for row, nats in enumerate(predictions.values):
        judged, total = len(nats) - 1, float(np.sum(nats[1:]))
        figures: list[Any] = [round(total, ROUND), round(total / judged, ROUND)] if judged > 0 else [0.0, ""]
        writer.writerow([table_cell(cell) for cell in (name_of(row), len(nats), *figures)])
    return file.getvalue()
