"""Whether a forecaster does more than repeat the last value, in numbers and in a sentence.

Errors are absolute, in the mean seasonal difference of each series' training values, as in MASE.

Letters: N windows, H steps ahead, K series that are forecast together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.time.windows import Window
from ..baselines.forecasts import Naive
from ..intervals import ends, resampled
from ..task import Predictions
from .metrics import blocks_of, scaled_errors
from .reference import TrainReference, plain

STILL = 0.1
"""A forecast that moves less than this share of the truth's movement repeats the last value."""


@dataclass(frozen=True)
class Saving:
    """By which share the error is smaller than that of repeating the last value; negative where it is larger."""

    value: float
    low: float
    """The ends of the 95 % interval, over blocks of successive origins."""
    high: float


@dataclass(frozen=True)
class BesideLastValue:
    """Forecasts beside the last value before each origin."""

    all: Saving
    first: Saving
    """One step ahead."""
    last: Saving
    """H steps ahead."""
    steps: int
    """H"""
    movement: float
    """The mean distance of the forecasts from the last value, by that of the truth from it."""
    correlation: float
    """Of the changes since the last value that are forecast with the true ones; NaN where either are all equal."""

    def sentence(self) -> str:
        """What this says of the network, in plain words."""
        if np.isnan(self.all.value):
            return "The network cannot be compared with repeating the last value: there is no error to divide by."
        error = f"the error is {_size(self.all)} than that of repeating the last value"
        if np.isnan(self.all.low):
            return f"One origin does not show whether the network only repeats the last value: {error}."
        error += f" (95 % interval of the difference {100 * self.all.low:.0f} to {100 * self.all.high:.0f} %)"
        moves = f"its forecasts are {100 * self.movement:.0f} % as far from it as the true values"
        if self.all.low > 0:
            if self.movement < STILL:
                return f"The network does little more than repeat the last value: {moves}, and {error}."
            return f"The network does more than repeat the last value: {error}{self._by_step()}."
        if self.movement < STILL:
            return f"The network only repeats the last value: {moves}, and {error}."
        worse = "The network is worse than" if self.all.high < 0 else "The network is not certainly better than"
        changes = f"; changes since the last value, forecast and true, have a correlation of {self.correlation:.2f}"
        return f"{worse} repeating the last value: {error}{'' if np.isnan(self.correlation) else changes}."

    def _by_step(self) -> str:
        if self.steps == 1:
            return ""
        first = ", which is not certain," if self.first.low <= 0 <= self.first.high else ""
        return f"; {_size(self.first)} at step 1{first} and {_size(self.last)} at step {self.steps}"

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        saved = {name: _saved(getattr(self, name)) for name in ("all", "first", "last")}
        return {**saved, "movement": plain(self.movement), "correlation": plain(self.correlation)}


def beside_last_value(
    windows: Sequence[Window], predictions: Predictions, reference: TrainReference, seed: int = 0
) -> BesideLastValue:
    """The forecasts of N windows, at least one, beside the last value before each origin."""
    reference = reference.beside(windows)
    repeated = Naive(reference.season, reference.quantiles).point_predictions(windows, reference)
    errors = np.stack([scaled_errors(windows, p.values, reference)[..., 0] for p in (predictions, repeated)], -1)
    order, blocks = blocks_of(windows, reference.season)
    picked = [errors.sum(1), errors[:, 0], errors[:, -1]]
    sums = np.concatenate(picked, 1)[order]
    drawn = resampled(sums, seed, blocks)
    savings = []
    for k in range(3):
        theirs, base = sums[:, 2 * k].sum(), sums[:, 2 * k + 1].sum()
        low, high = ends(_saving(drawn[:, 2 * k], drawn[:, 2 * k + 1]))
        savings.append(Saving(float(_saving(theirs, base)), low, high))
    every, first, last = savings
    movement, correlation = _movement(windows, predictions, repeated, reference)
    return BesideLastValue(every, first, last, windows[0].horizon, movement, correlation)


def _movement(
    windows: Sequence[Window], predictions: Predictions, repeated: Predictions, reference: TrainReference
) -> tuple[float, float]:
    """(movement, correlation) of `BesideLastValue`."""
    sums = np.zeros(8)
    for window, said, last in zip(windows, predictions.values, repeated.values, strict=True):
        unit = np.asarray(reference.of(window).naive)
        forecast, truth = (np.asarray(said) - last) / unit, (window.future - last) / unit
        there = np.isfinite(forecast) & np.isfinite(truth)
        f, t = forecast[there], truth[there]
        sums += [len(f), np.abs(f).sum(), np.abs(t).sum(), f.sum(), t.sum(), f @ f, t @ t, f @ t]
    _, near, far, mean_f, mean_t, *squares = sums / max(sums[0], 1.0)
    spread = (squares[0] - mean_f**2) * (squares[1] - mean_t**2)
    movement = near / far if far > 0 else float("nan")
    return movement, float((squares[2] - mean_f * mean_t) / np.sqrt(spread)) if spread > 1e-24 else float("nan")


def _saving(theirs: Any, base: Any) -> Any:
    """1 - theirs / base; NaN where the last value makes no error."""
    return 1 - theirs / np.where(base > 0, base, np.nan)


def _size(saving: Saving) -> str:
    """12 % smaller, or larger"""
    return f"{100 * abs(saving.value):.0f} % {'larger' if saving.value < 0 else 'smaller'}"


def _saved(saving: Saving) -> dict[str, float | None]:
    return {name: plain(getattr(saving, name)) for name in ("value", "low", "high")}
