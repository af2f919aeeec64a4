"""What the page shows of translations: test rows with their source, what the network wrote, and the references."""

from __future__ import annotations

from typing import Any

from ...lens.render.html.markup import table
from ..data.examples import Examples
from ..tasks.task import Predictions
from .examples import MOST_ROWS, shortened


def translations_section(truth: Examples, predictions: Predictions, private: bool) -> list[Any]:
    """The first test rows, unless private."""
    if private:
        return []
    rows = [
        (shortened(str(source)), shortened(str(target)), shortened(str(value)))
        for source, target, value in zip(truth.inputs, truth.targets or (), predictions.values[:MOST_ROWS])
    ]
    return [table("The first test rows", ("source", "reference", "translation"), rows, named=3)]
