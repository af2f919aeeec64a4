"""Metrics of a task from its tally: the primary one first, each with its interval, and the gain over a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InputError, phrase
from ..data.examples import Examples
from .intervals import Tally
from .task import Metric, Predictions


def metrics_of(tally: Tally, primary: str, seed: int) -> list[Metric]:
    """All metrics of a tally, `primary` first."""
    names = [primary, *(name for name in tally.values if name != primary)]
    found = tally.intervals(names, seed)
    return [Metric(n, tally.value(n), *found[n], tally.units, tally.values[n][1]) for n in names]


def gain_of(network: Tally, baseline: Tally, primary: str, seed: int) -> Metric:
    """How much better the network is than a baseline by the primary metric, resampled in pairs of the same units."""
    value, low, high = network.gain(baseline, primary, seed)
    return Metric(f"gain_{primary}", value, low, high, network.units, True)


def truth_of(examples: Examples, predictions: Predictions) -> Sequence[object]:
    """The targets of rows that have some, as many as there are predictions."""
    if examples.targets is None:
        remedy = "Metrics need rows with their targets."
        raise InputError(phrase("metrics", "the rows", "rows with targets", "rows without", remedy))
    if len(predictions.values) != len(examples):
        remedy = "Predict the rows that are evaluated."
        expected = f"{len(examples)}, one for each row"
        raise InputError(phrase("metrics", "the predictions", expected, len(predictions.values), remedy))
    return examples.targets


def targets_of(train: Examples, where: str) -> Sequence[object]:
    """The targets of training rows; refuses rows without any, and no rows."""
    if train.targets is None or not len(train):
        remedy = "Give rows with their targets."
        received = "no rows" if not len(train) else "rows without targets"
        raise InputError(phrase(where, "the training rows", "rows with targets", received, remedy))
    return train.targets
