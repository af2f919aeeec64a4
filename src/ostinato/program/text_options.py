"""The options of a fit of an estimator of texts: what is left out has the default of the task."""

from __future__ import annotations

from typing import Any

from ..cells import Cell
from .options import TrainOptions
from .tasks.cell_argument import resolve_cell
from .tasks.registry import task_named

_OWN = ("valid_share", "cell", "items")
"""Parameters of an estimator that are no option, or are given in another form."""


def text_options(estimator: Any, where: str, task: str) -> TrainOptions:
    """The options that the parameters of the estimator name, the cell as its text."""
    own = {name: value for name, value in estimator.get_params().items() if name not in _OWN}
    chosen = {name: value for name, value in own.items() if value is not None}
    if estimator.cell is not None:
        given = estimator.cell
        chosen["cell"] = (given if isinstance(given, Cell) else resolve_cell(given)).text
    made = TrainOptions.of(where, chosen).for_task(task_named(task).defaults)
    return made.but(cell=resolve_cell(made.network.cell).text, valid_share=estimator.valid_share, test_share=0.0)
