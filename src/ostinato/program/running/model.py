"""A model folder as a network that answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ..folder.config import Config
from ..folder.load import load, restore
from ..tasks.registry import task_named
from ..tasks.task import Task
from .recorded_files import beside


@dataclass(frozen=True)
class Model:
    """What a model folder holds, checked."""

    config: Config
    task: Task
    network: nn.Module
    """In evaluation."""


def open_model(folder: Path) -> Model:
    """The model of a folder. Raises InputError for what `load` and `restore` refuse."""
    loaded = load(folder)
    task, network = restore(loaded, task_named(loaded.config.task))
    config = replace(loaded.config, options=beside(folder, loaded.config.options))
    return Model(config, task, network)
