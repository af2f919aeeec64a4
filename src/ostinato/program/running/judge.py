"""The network and its baselines on the same test rows: metrics with intervals, and paired gains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from ..data.examples import Examples
from ..tasks.task import Predictions, Task
from ..training.evaluate import predict
from .outcome import Gain, Outcome, Scored


@dataclass(frozen=True)
class Judged:
    """A fitted baseline and what it predicts of the test rows."""

    scored: Scored
    predictions: Predictions


def fit_baselines(
    task: Task,
    train: Examples,
    test: Examples,
    clock: Callable[[], float],
    enough: Callable[[], bool] = lambda: False,
) -> list[Judged]:
    """Every baseline of the task, fitted on the training rows; no further one once `enough` says so.

    The trivial ones come first and cost nothing, so they are always fitted.
    """
    found: list[Judged] = []
    for baseline in task.baselines():
        if not baseline.trivial and enough():
            break
        began = clock()
        predictions = baseline.fit(train).predict(test)
        metrics = task.metrics(test, predictions)
        seconds = clock() - began
        details = task.baseline_details(test, predictions)
        without_order = baseline.without_order and test.kind != "features"  # these are rows of one step
        scored = Scored(baseline.name, metrics, baseline.trivial, without_order, seconds, baseline.note, details)
        found.append(Judged(scored, predictions))
    return found


def ablations(task: Task, network: nn.Module, test: Examples, device: str = "cpu") -> list[Judged]:
    """The network itself without a part of its input, where the task knows one: what the condition of a text gains."""
    found = task.without_condition(test, lambda encoded: predict(task, network, encoded, device)[0])
    if found is None:
        return []
    predictions, note = found
    scored = Scored("network, not given the condition", task.metrics(test, predictions), ablation=True, note=note)
    return [Judged(scored, predictions)]


def outcome_of(
    task: Task, name: str, test: Examples, predictions: Predictions, baselines: Sequence[Judged], seconds: float = 0.0
) -> Outcome:
    """The table: baselines, the network, and the network's gain over each, resampled in pairs."""
    gains = []
    for judged in baselines:
        gain = task.gain(test, predictions, judged.predictions)
        gains.append(Gain(judged.scored.name, gain.value, gain.low, gain.high))
    network = Scored(name, task.metrics(test, predictions), seconds=seconds, details=task.details(test, predictions))
    return Outcome([b.scored for b in baselines], network, gains, len(test))
