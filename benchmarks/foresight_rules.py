"""Measures of the foresight, rules of at most three of them, and how they are judged: one task left out at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from foresight_runs import Run

from ostinato.apps.lab.predictive_value import rank_correlation, ranks

SMALLEST = 1e-6
"""Smaller ratios and shares count as this, as in `lens.live.early`."""
Measure = Callable[[Run], float]
RULES: tuple[tuple[str, ...], ...] = (
    ("lag alone",),
    ("gradient ratio, before",),
    ("cue's share, before",),
    ("signal to noise, before",),
    ("signal to all noise, before",),
    ("gradient ratio, 2 %",),
    ("cue's share, 2 %",),
    ("signal to all noise, 2 %",),
    ("reach / lag, 1 %",),
    ("growth of the reach, 1 %",),
    ("loss, 1 to 2 %",),
    ("cue's share, 2 %", "loss, 1 to 2 %"),
    ("probe's share, 2 %", "loss, 1 to 2 %"),
    ("gradient ratio, 2 %", "reach / lag, 2 %", "loss, 1 to 2 %"),
    ("lag alone", "gradient ratio, 2 %", "loss, 1 to 2 %"),
    ("lag alone", "probe's ratio, 2 %", "loss, 1 to 2 %"),
)
"""The rows of the table, in its order."""
EARLY = ("lag alone", "probe's ratio, 2 %", "loss, 1 to 2 %")
"""What `lens.live.early` reads."""


def _value(run: Run, name: str, at: int) -> float:
    """The value at a moment, or at the last before training diverged; SMALLEST for NaN."""
    value = float(getattr(run.moments[min(at, len(run.moments) - 1)], name))
    return SMALLEST if math.isnan(value) else value


def _log(name: str, at: int) -> Measure:
    return lambda run: math.log10(max(SMALLEST, _value(run, name, at)))


def _plain(name: str, at: int) -> Measure:
    return lambda run: _value(run, name, at)


def _reached(at: int) -> Measure:
    return lambda run: min(1.0, _value(run, "reach", at) / (run.case.lag - 1))


def measures() -> dict[str, Measure]:
    """Name → measure, each so that more should mean learned better. The first is the lag, which nobody measures."""
    found: dict[str, Measure] = {"lag alone": lambda run: -math.log10(run.case.lag)}
    for at, when in enumerate(("before", "1 %", "2 %")):
        found[f"gradient ratio, {when}"] = _log("ratio", at)
        found[f"cue's share, {when}"] = _log("share", at)
        found[f"probe's ratio, {when}"] = _log("probe_ratio", at)
        found[f"probe's share, {when}"] = _log("probe_share", at)
        found[f"signal to noise, {when}"] = _plain("snr", at)
        found[f"signal to all noise, {when}"] = _log("signal", at)
        found[f"reach / lag, {when}"] = _reached(at)
    found["growth of the reach, 1 %"] = lambda run: _reached(1)(run) - _reached(0)(run)
    found["loss, 1 to 2 %"] = lambda run: -(_value(run, "loss", 1) + _value(run, "loss", 2)) / 2
    return found


@dataclass(frozen=True)
class Line:
    """A weighted sum of measures, fitted by least squares to the ranks of what was learned."""

    names: tuple[str, ...]
    weights: tuple[float, ...]
    constant: float

    def score(self, values: np.ndarray) -> np.ndarray:
        """Of runs, values [runs, measures]."""
        return values @ np.array(self.weights) + self.constant


def table(runs: Sequence[Run], names: Sequence[str]) -> np.ndarray:
    """The measures of runs: [runs, measures]."""
    known = measures()
    return np.array([[known[name](run) for name in names] for run in runs])


def fitted(names: Sequence[str], values: np.ndarray, learned: np.ndarray) -> Line:
    """The line of least squares from values [runs, measures] to the ranks of learned [runs], as shares from 0 to 1."""
    target = ranks(learned.tolist()) / len(learned)
    columns = np.column_stack([values, np.ones(len(values))])
    found = np.linalg.lstsq(columns, target, rcond=None)[0]
    return Line(tuple(names), tuple(found[:-1].tolist()), float(found[-1]))


def folds(runs: Sequence[Run]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(runs of the other tasks, runs of a task) as masks, task by task."""
    tasks = np.array([run.case.task for run in runs])
    for task in dict.fromkeys(tasks):
        yield tasks != task, tasks == task


def left_out(runs: Sequence[Run], names: Sequence[str], values: np.ndarray) -> np.ndarray:
    """Each run's score by the line that was fitted on the runs of the other tasks."""
    learned = np.array([run.learned for run in runs])
    scores = np.empty(len(runs))
    for others, own in folds(runs):
        scores[own] = fitted(names, values[others], learned[others]).score(values[own])
    return scores


def scores(runs: Sequence[Run], names: Sequence[str], fitted_on: Sequence[Run] | None = None) -> np.ndarray:
    """The scores of runs by a rule: fitted on other runs, or without them on the other tasks of the same ones.

    A single measure is its own score, since nothing has to be fitted to rank by it.
    """
    values = table(runs, names)
    if len(names) == 1:
        return values[:, 0]
    if fitted_on is None:
        return left_out(runs, names, values)
    return line_of(fitted_on, names).score(values)


def line_of(runs: Sequence[Run], names: Sequence[str]) -> Line:
    """The line that is fitted on all of these runs."""
    return fitted(names, table(runs, names), np.array([run.learned for run in runs]))


@dataclass(frozen=True)
class Judgement:
    """Spearman's rank correlation of a score with what was learned."""

    together: float
    """Over all runs."""
    by_task: dict[str, float]
    """Within the runs of each task."""


def judged(runs: Sequence[Run], scores: np.ndarray) -> Judgement:
    """The correlations of scores with what these runs learned."""
    learned = [run.learned for run in runs]
    by_task = {}
    for task in dict.fromkeys(run.case.task for run in runs):
        own = [place for place, run in enumerate(runs) if run.case.task == task]
        by_task[task] = rank_correlation(scores[own].tolist(), [learned[place] for place in own])
    return Judgement(rank_correlation(scores.tolist(), learned), by_task)
