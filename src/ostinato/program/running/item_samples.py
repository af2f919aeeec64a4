"""Items that a trained network writes for its report page, within a bounded number of units."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from ..page.items import Samples
from ..tasks.texts.generate import Generate
from .prepare import Prepared
from .writing import Request, Writer

MOST_CONDITIONS, EACH = 20, 5
"""Conditions of the table, the most frequent ones, and items of each."""
MOST_UNITS, LENGTH, COUNT = 4000, 200, 300
"""Units that are written in all, of an item, and items beside the table."""
WHERE = "report"


def item_samples(prepared: Prepared, network: nn.Module) -> Samples | None:
    """The samples of a task of items; None of another."""
    task = prepared.task
    if not isinstance(task, Generate):
        return None
    writer, left = Writer(task, network, WHERE), MOST_UNITS
    rows = []
    for given in _conditions(prepared):
        written = []
        for number in range(EACH):
            if left > 0:
                sample = writer.write(Request(given=given, length=LENGTH), number)
                written.append(sample.text)
                left -= len(sample.text) + 1
        if written:
            rows.append((_named(given), _true(prepared, given), written))
    known = set(map(str, prepared.train.examples.targets or ()))
    drawn: list[str] = []
    while left > 0 and len(drawn) < COUNT and task.conditions.scaling is None:
        drawn.append(writer.write(Request(length=LENGTH, seed=1), len(drawn)).text)
        left -= len(drawn[-1]) + 1
    every = drawn or [text for _, _, texts in rows for text in texts]
    return Samples(rows, len(every), sum(text in known for text in every))


def _conditions(prepared: Prepared) -> list[dict[str, str]]:
    """The conditions of the table: the most frequent combinations of values, or the first test rows of numbers."""
    task: Any = prepared.task
    conditions = task.conditions
    if conditions.scaling is None:
        return [dict(zip(conditions.columns, values)) for values, _ in conditions.counts[:MOST_CONDITIONS]]
    rows = [row for row in prepared.test.inputs if np.isfinite(row).all()][:MOST_CONDITIONS]
    return [{name: repr(float(v)) for name, v in zip(conditions.columns, row)} for row in rows]


def _true(prepared: Prepared, given: dict[str, str]) -> list[str]:
    """Test rows of a condition, the first ones."""
    test = prepared.test
    found: list[str] = []
    for row, target in zip(test.inputs, test.targets or ()):
        own = [repr(float(v)) for v in row] if test.kind == "features" else list(row)
        if own == list(given.values()) and len(found) < EACH and str(target) not in found:
            found.append(str(target))
    return found


def _named(given: dict[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in given.items()) or "nothing"
