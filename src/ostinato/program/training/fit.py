"""The fit: updates, evaluations, early stopping and the best weights, within a budget of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """One line of the history."""

    update: int
    seconds: float
    train_loss: float
    metric: float
    """The task's metric on validation rows."""
    best: bool
    learning_rate: float


@dataclass(frozen=True)
class Fitted:
    """The result of a fit."""

    weights: Mapping[str, Tensor]
    """The best weights by the task's metric on validation rows, as in the network's state_dict."""
    sha256: str
    """Of the best weights, name by name."""
    history: list[Evaluation]
    updates: int
    planned_updates: int
    """Which the learning rate falls over: of the whole schedule, ended early or not."""
    stopped: str
    """updates, patience, minutes or interrupted."""
    advice: str
    """One sentence: whether more time would have helped."""
    settings: Mapping[str, Any]
    """Everything a repetition needs that is not in the options: planned updates, evaluation interval, threads."""
