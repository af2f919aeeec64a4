"""Baselines of forecasts that repeat or average what they read; each with bands from its own training errors.

Letters: N windows, L steps of a window's past, H of its future, K series that are forecast together, Q quantiles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...data.time.windows import Window
from ..forecasting.gaps import filled
from ..forecasting.reference import TrainReference, reference_of
from ..task import Predictions
from .history import future_of, past_of, spaced

MOST_RESIDUALS = 1000
"""Training windows, evenly spaced, whose errors give the bands."""
_ROWS = 256
"""Windows that are forecast at a time."""


class Bands:
    """Quantiles [N, H, K, Q] that are computed as they are read: the forecast plus its usual error in its scale."""

    def __init__(self, points: Sequence[np.ndarray], scales: np.ndarray, spread: np.ndarray) -> None:
        self.points, self.scales, self.spread = points, scales, spread

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, row: int) -> np.ndarray:
        """float64 [H, K, Q]"""
        return np.asarray(self.points[row])[..., None] + self.scales[row][None, :, None] * self.spread

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return np.stack([self[row] for row in range(len(self))])


class ForecastBaseline(ABC):
    """A forecast of points by `points`, with bands from the quantiles of its errors on training windows, by step.

    Errors are measured in the mean seasonal difference of each series, so that series of different size share them.
    """

    name, note = "", ""
    trivial = without_order = False

    def __init__(self, season: int, quantiles: Sequence[float]) -> None:
        self.season, self.quantiles = season, tuple(quantiles)

    def fit(self, train: Examples) -> ForecastBaseline:
        windows: Sequence[Window] = train.inputs
        if not len(windows):
            remedy = "Give a longer file, or a shorter --context or --horizon."
            raise InputError(phrase(self.name, "the training part", "windows of a series", "none", remedy))
        self._reference = reference_of(windows, self.season, self.quantiles)
        self.learn(windows, self._reference)
        chosen = spaced(windows, MOST_RESIDUALS)
        errors = (future_of(chosen) - self._points(chosen, self._reference)) / _units(chosen, self._reference)[:, None]
        self._spread = _quantiles(errors, self.quantiles)
        return self

    def predict(self, examples: Examples) -> Predictions:
        windows: Sequence[Window] = examples.inputs
        reference = self._reference.beside(windows)
        points = self.point_predictions(windows, reference).values
        return Predictions(points, None, Bands(points, _units(windows, reference), self._spread))

    def point_predictions(self, windows: Sequence[Window], reference: TrainReference) -> Predictions:
        """Without bands; of a baseline that learns nothing also before `fit`."""
        return Predictions(list(self._points(windows, reference.beside(windows))) if len(windows) else [])

    def learn(self, windows: Sequence[Window], reference: TrainReference) -> None:
        """What is read from training windows beside the bands; here nothing, for forecasts that need only the past."""
        del windows, reference

    @abstractmethod
    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        """float64 [N, H, K]: the forecast of each window."""

    def _points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        parts = [self.points(windows[k : k + _ROWS], reference) for k in range(0, len(windows), _ROWS)]
        return np.concatenate(parts)


class Naive(ForecastBaseline):
    """The last value before the origin, for every step."""

    name, trivial = "last value", True

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        past = filled(past_of(windows, windows[0].length), means(windows, reference))
        return np.repeat(past[:, -1:], windows[0].horizon, 1)


class TrainingMean(ForecastBaseline):
    """The mean of the series' training values."""

    name, trivial, without_order = "training mean", True, True

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        return np.repeat(means(windows, reference)[:, None], windows[0].horizon, 1)


class WindowMean(ForecastBaseline):
    """The mean of what the network reads."""

    name, trivial, without_order = "mean of the window", True, True

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        past = past_of(windows, windows[0].length)
        known = np.isfinite(past)
        count = known.sum(1)
        sums = np.where(known, past, 0.0).sum(1)
        found = np.where(count > 0, sums / np.maximum(count, 1), means(windows, reference))
        return np.repeat(found[:, None], windows[0].horizon, 1)


class SeasonalNaive(ForecastBaseline):
    """The value one season before, gaps filled with the last value before them."""

    name = "seasonal naive"

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        past = filled(past_of(windows, self.season), means(windows, reference))
        return past[:, np.arange(windows[0].horizon) % self.season]


class SeasonalDrift(SeasonalNaive):
    """The value one season before, and for each season ahead the mean of the last differences y_t - y_{t - season}.

    differences: how many of them; None: those of one season.
    """

    name = "seasonal naive with drift"

    def __init__(self, season: int, quantiles: Sequence[float], differences: int | None = None) -> None:
        super().__init__(season, quantiles)
        self.differences = differences or season

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        past = past_of(windows, self.season + self.differences)
        whole = filled(past, means(windows, reference))
        drift = (whole[:, self.season :] - whole[:, : -self.season]).mean(1)
        drift = np.where(np.isfinite(past[:, : self.differences]).any(1), drift, 0.0)  # one season has no difference
        ahead = 1 + np.arange(windows[0].horizon) // self.season
        return super().points(windows, reference) + drift[:, None] * ahead[None, :, None]


def means(windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
    """float64 [N, K]: of the series' training values; 0 where it has none."""
    return np.nan_to_num(np.array([reference.of(w).mean for w in windows]))


def deviations(windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
    """float64 [N, K]: of the series' training values; 1 of a constant."""
    return np.nan_to_num(np.array([reference.of(w).deviation for w in windows]), nan=1.0)


def _units(windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
    """float64 [N, K]: in which errors are measured."""
    naive = np.array([reference.of(w).naive for w in windows])
    return np.where(np.isfinite(naive), naive, deviations(windows, reference)) if len(windows) else naive


def _quantiles(errors: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """float64 [H, K, Q] of errors [N, H, K]; missing ones are left out, 0 where a step has none."""
    if np.isfinite(errors).all():
        return np.moveaxis(np.quantile(errors, shares, axis=0), 0, -1)
    found = np.zeros((*errors.shape[1:], len(shares)))
    for step, channel in np.ndindex(*errors.shape[1:]):
        known = errors[:, step, channel]
        known = known[np.isfinite(known)]
        if len(known):
            found[step, channel] = np.quantile(known, shares)
    return found
