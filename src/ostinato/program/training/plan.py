"""The schedule of a fit, decided once: how many updates, after how many of them an evaluation, how many threads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, phrase
from ..options import FitOptions

EVALUATIONS = 20
"""Evaluations of a fit with a given number of updates."""
MOST_EVALUATIONS = 40
"""Evaluations of a fit with a given time, where they are cheap."""
EVALUATION_SHARE = 0.2
"""The share of the time that evaluations may take, where fewer of them are possible."""
MARGIN = 0.95
"""The share of the time that is planned: the machine may be slower than in the few updates that were timed."""
EPOCHS, UPDATES = 60, 2000
"""A plan from the time alone has at most so many epochs, or so many updates where that is more."""

LEAST_WAIT = 300
"""Updates without a better evaluation that never end a run: a network may stay on its first plateau for so long."""


@dataclass(frozen=True)
class Speed:
    """What was measured before the first update."""

    update: float
    """Seconds, the mean over batches of all lengths."""
    evaluation: float
    """Seconds of an evaluation on all validation rows, with writing the state."""


@dataclass(frozen=True)
class Plan:
    """A schedule. Everything that a fit decides while it runs is a function of it and of the count of updates."""

    total: int
    """Updates over which the learning rate falls to 0."""
    interval: int
    """Updates between two evaluation points."""
    last: int
    """The update that ends the run at the latest: `total`, or fewer in the repetition of a run that ended early."""
    patience: int
    """Evaluations without a better one that end the run; 0: none does."""

    def is_point(self, update: int) -> bool:
        """Whether an evaluation follows this many updates."""
        return update % self.interval == 0 or update == self.last

    def learning_rate(self, start: float, update: int) -> float:
        """Of the update with this number, counted from 0: falls linearly from `start` to 0 at `total`."""
        return start * max(0.0, 1 - update / self.total)


def of_updates(options: FitOptions) -> Plan:
    """The plan of a fit with a given number of updates: no clock, no early end."""
    total = options.updates or 0
    if total < 1:
        raise InputError(phrase("fit", "updates", "at least 1", options.updates, "Write --updates 1000, say."))
    return Plan(total, math.ceil(total / EVALUATIONS), total, 0)


def of_time(options: FitOptions, seconds: float, speed: Speed, per_epoch: int) -> Plan:
    """The plan of a fit that may take `seconds`, at a measured speed, with `per_epoch` batches an epoch."""
    seconds = max(0.0, seconds * MARGIN)
    affordable = EVALUATION_SHARE * seconds / speed.evaluation if speed.evaluation > 0 else MOST_EVALUATIONS
    count = max(1, min(MOST_EVALUATIONS, int(affordable)))
    possible = (seconds - count * speed.evaluation) / speed.update if speed.update > 0 else math.inf
    total = int(max(1, min(possible, max(UPDATES, EPOCHS * per_epoch))))
    interval = math.ceil(total / count)
    return Plan(total, interval, total, max(options.patience, math.ceil(LEAST_WAIT / interval)))


def repeated(settings: Mapping[str, Any]) -> Plan:
    """The plan of an earlier run, which ends where that run ended.

    Raises InputError where the settings are not those of a fit.
    """
    names = ("planned_updates", "interval", "updates", "patience")
    values = [settings.get(name) for name in names]
    wrong = [f"{n} {v!r}" for n, v in zip(names, values, strict=True) if type(v) is not int or v < (n == "interval")]
    if wrong or settings["planned_updates"] < max(1, settings["updates"]):
        received = ", ".join(wrong) or "more updates than planned"
        remedy = "Take config.json as `ostinato train` wrote it."
        raise InputError(phrase("fit", "the settings to repeat", "counts of an earlier run", received, remedy))
    total, interval, last, patience = (int(v) for v in values if v is not None)
    return Plan(total, interval, last, patience)
