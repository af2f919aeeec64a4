"""The table of a language model's passages: where each is, how long it is, and how surprising.

Letters: N passages, T units of one.
"""

from __future__ import annotations

import csv
import io
import math

import numpy as np

from ..data.examples import Examples
from ..tasks.task import Predictions
from .escape import table_cell

HEAD = 80
"""Characters of a passage that the table shows."""


def passages_csv(examples: Examples, predictions: Predictions) -> str:
    """id, characters, units, nats per unit, bits per character, perplexity (e to the nats), text: N rows.

    A cell that a spreadsheet would run as a formula has an apostrophe in front.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "characters", "units", "nats_per_unit", "bits_per_character", "perplexity", "text"])
    for row, (passage, nats) in enumerate(zip(examples.inputs, predictions.values)):
        origin = examples.origins[row] if len(examples.origins) else None
        name = f"{origin.file}:{origin.line}" if origin is not None else str(row)
        text, whole = passage.text, float(np.sum(nats))
        per_unit = whole / len(nats) if len(nats) else math.nan
        bits = whole / math.log(2) / len(text) if text else math.nan
        numbers = [f"{value:.6f}" if math.isfinite(value) else "" for value in (per_unit, bits, math.exp(per_unit))]
        head = text[:HEAD].replace("\n", " ") + ("…" if len(text) > HEAD else "")
        writer.writerow([table_cell(name), len(text), len(nats), *numbers, table_cell(head)])
    return file.getvalue()


def nats_answer(nats: np.ndarray) -> str:
    """What `predict -` says of a line: its nats per unit and the number of its units, with a tab between."""
    return f"{float(np.mean(nats)):.6f}\t{len(nats)}"
