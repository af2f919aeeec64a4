"""What an early word would have saved: hopeless runs stopped, good runs lost, minutes, for each threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from foresight_rules import fitted, folds
from foresight_runs import Run

WORD = 0.02
"""The share of the updates after which the word is given."""


@dataclass(frozen=True)
class Savings:
    """Of a set of runs, some of which are stopped after WORD of their updates."""

    hopeless: int
    """Runs that did not bridge their lag."""
    stopped: int
    """Those of them that are stopped."""
    good: int
    """Runs that bridged it."""
    lost: int
    """Those of them that are stopped."""
    minutes: float
    """Of training all runs to their end."""
    minutes_hopeless: float
    """Of training hopeless runs to their end."""
    saved: float
    """Minutes that hopeless runs would have taken after they were stopped."""

    @property
    def lost_share(self) -> float:
        """Of the good runs."""
        return self.lost / self.good

    @property
    def saved_share(self) -> float:
        """Of the minutes of hopeless runs."""
        return self.saved / self.minutes_hopeless


def savings(runs: Sequence[Run], stopped: np.ndarray) -> Savings:
    """What is saved and lost where the runs of the mask are stopped."""
    good = np.array([run.result.bridged for run in runs])
    minutes = np.array([run.result.seconds / 60 for run in runs])
    left = np.array([1 - WORD * run.case.training.updates / max(1, run.result.updates) for run in runs]).clip(min=0)
    return Savings(
        hopeless=int((~good).sum()),
        stopped=int((stopped & ~good).sum()),
        good=int(good.sum()),
        lost=int((stopped & good).sum()),
        minutes=float(minutes.sum()),
        minutes_hopeless=float(minutes[~good].sum()),
        saved=float((minutes * left)[stopped & ~good].sum()),
    )


def at_speed_of(recorded: Sequence[Run], runs: Sequence[Run]) -> tuple[Run, ...]:
    """Runs with the seconds that they would have taken on the machine of other runs, whatever else theirs did.

    The seconds of an update are the median of a cell at each lag, and between two lags a straight line.
    """
    speeds: dict[str, dict[int, list[float]]] = {}
    for run in recorded:
        of_cell = speeds.setdefault(run.case.cell, {})
        of_cell.setdefault(run.case.lag, []).append(run.result.seconds / run.result.updates)
    timed = []
    for run in runs:
        by_lag = {lag: median(found) for lag, found in sorted(speeds[run.case.cell].items())}
        each = float(np.interp(run.case.lag, list(by_lag), list(by_lag.values())))
        timed.append(replace(run, result=replace(run.result, seconds=each * run.result.updates)))
    return tuple(timed)


def threshold(scores: np.ndarray, good: np.ndarray, lost: float) -> float:
    """The largest threshold below which at most this share of the good runs' scores lies; -inf without a good run."""
    ordered = np.sort(scores[good])
    return float(ordered[int(lost * len(ordered))]) if len(ordered) else -np.inf


def stopped_left_out(runs: Sequence[Run], names: Sequence[str], values: np.ndarray, lost: float) -> np.ndarray:
    """Which runs are stopped when rule and threshold come from the runs of the other tasks."""
    learned = np.array([run.learned for run in runs])
    good = np.array([run.result.bridged for run in runs])
    stopped = np.zeros(len(runs), dtype=bool)
    for others, own in folds(runs):
        line = fitted(names, values[others], learned[others])
        bound = threshold(line.score(values[others]), good[others], lost)
        stopped[own] = line.score(values[own]) < bound
    return stopped
