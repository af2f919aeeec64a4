"""An estimator as a model folder, which `ostinato.load` and the commands read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...cells import Cell
from .save import Trained, save


def save_estimator(estimator: Any, folder: Path) -> Path:
    """Writes the model to a new folder; returns its path."""
    options = estimator.train_options_
    cell = Cell.from_text(options.network.cell)
    because = f"Trained from Python by {type(estimator).__name__}.fit."
    return save(
        folder,
        Trained(
            task=estimator.task_,
            fitted=estimator.fitted_,
            cell=cell,
            options=options,
            because=because,
            class_type=getattr(estimator, "class_type_", "str"),
        ),
    )
