"""The record of a task of `results.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Given = dict[str, Any]


@dataclass(frozen=True)
class Published:
    """A figure by somebody else, or by counting."""

    what: str
    figure: str
    source: str


@dataclass(frozen=True)
class Aim:
    """What the mean of a metric over seeds should reach."""

    metric: str
    value: float
    lower_is_better: bool = False

    def reached(self, value: float) -> bool:
        return value <= self.value if self.lower_is_better else value >= self.value


SHARES = ("accuracy", "tag_accuracy", "unknown_accuracy", "macro_f1", "log_loss")
"""Metrics of classes and tags that the page shows."""


@dataclass(frozen=True)
class RealTask:
    """A data set as the program is called on it."""

    name: str
    title: str
    given: Callable[[Path, Path], Given]
    """(folder of data, folder for made files) → options of `ostinato train`."""
    minutes: float
    seeds: int
    aims: tuple[Aim, ...]
    published: tuple[Published, ...]
    note: str = ""
    metrics: tuple[str, ...] = SHARES
    """Those of the task's table that are recorded."""
    asked: "Asked | None" = None
    """What the model is asked after its training."""


@dataclass(frozen=True)
class Asked:
    """A call of `ostinato evaluate` on the model."""

    given: Callable[[Path, Path], Given]
    """(folder of data, folder for made files) → its options"""
    read: Callable[[Mapping[str, Any]], dict[str, dict[str, float]]]
    """What it prints with --json → metrics by model, those of the network under "network"."""
