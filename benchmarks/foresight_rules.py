"""Measures of the foresight, rules of at most three of them, and how they are judged: one task left out at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from foresight_runs import Run

from ostinato.apps.lab.predictive_value import rank_correlation, ranks

TINY = 1e-30
"""Smaller ratios and shares count as this: float32 has none below 1e-38."""
Measure = Callable[[Run], float]


def _log(name: str, at: int) -> Measure:
    return lambda run: math.log10(max(TINY, _value(run, name, at)))


def _value(run: Run, name: str, at: int) -> float:
    """The value at a moment, or at the last before training diverged; TINY for NaN."""
    value = float(getattr(run.moments[min(at, len(run.moments) - 1)], name))
    return TINY if math.isnan(value) else value


def _growth(name: str, at: int) -> Measure:
    return lambda run: _log(name, at)(run) - _log(name, 0)(run)


def _plain(name: str, at: int, sign: float = 1.0) -> Measure:
    return lambda run: sign * _value(run, name, at)


def _fall(name: str, at: int) -> Measure:
    return lambda run: _value(run, name, 0) - _value(run, name, at)


def _reached(at: int) -> Measure:
    return lambda run: min(1.0, _value(run, "reach", at) / (run.case.lag - 1))


def measures() -> dict[str, Measure]:
    """Name → measure, each so that more should mean learned better. The first is the lag, which nobody measures."""
    found: dict[str, Measure] = {"lag alone": lambda run: -math.log10(run.case.lag)}
    for at, share in enumerate(("0 %", "1 %", "2 %")):
        found[f"gradient ratio, {share}"] = _log("ratio", at)
        found[f"cue's share, {share}"] = _log("share", at)
        found[f"reach / lag, {share}"] = _reached(at)
        found[f"signal to noise, {share}"] = _plain("snr", at)
        found[f"signal to all noise, {share}"] = _log("signal", at)
        found[f"loss, {share}"] = _plain("loss", at, -1.0)
        for name in ("ratio", "share"):
            found[f"probe's {name}, {share}"] = _log(f"probe_{name}", at)
        found[f"probe at the cue, {share}"] = _log("probe_cue", at)
        found[f"probe at the end, {share}"] = _log("probe_now", at)
        found[f"share of the whole gradient, {share}"] = _log("curve_share", at)
        if at:
            for name in ("ratio", "share", "signal", "probe_ratio", "probe_share", "probe_cue", "probe_now"):
                found[f"growth of {name}, 0 to {share}"] = _growth(name, at)
            found[f"fall of the loss, 0 to {share}"] = _fall("loss", at)
            found[f"fall of the trained loss, 0 to {share}"] = _fall("trained", at)
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
