"""Baselines of forecasts that are fitted by least squares: an autoregression, and one linear map of the past.

Both work on values less the series' training mean, in its training deviations, and share their weights among series.

Letters: N windows, L steps of a window's past, H of its future, K series that are forecast together, P lags.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from ...data.time.windows import Window
from ..forecasting.gaps import filled
from ..forecasting.reference import TrainReference, training_parts
from ..task import Baseline
from .forecasts import (
    ForecastBaseline,
    Naive,
    SeasonalDrift,
    SeasonalNaive,
    TrainingMean,
    WindowMean,
    deviations,
    means,
)
from .history import future_of, past_of, spaced

_MOST_ROWS = 50_000
"""Rows of a least squares problem, evenly spaced of more."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the linear map, times its rows; the last fifth of the training windows chooses."""
_HELD = 0.2
_STEPS = 8
"""Steps ahead by which the penalty is chosen."""


class Autoregression(ForecastBaseline):
    """y_t = c + Σ a_i y_{t-i} by least squares with intercept, each of K series its own; further steps feed on earlier.

    order: P; None: that of least AIC (H. Akaike, 1974) up to 10 log10 of the training values.
    """

    name = "autoregression"

    def __init__(self, season: int, quantiles: Sequence[float], order: int | None = None) -> None:
        super().__init__(season, quantiles)
        self.order = order

    def learn(self, windows: Sequence[Window], reference: TrainReference) -> None:
        parts = training_parts(windows)
        scales = [reference.scales[name] for name in parts]
        scaled = [(v - s.mean) / np.nan_to_num(s.deviation, nan=1.0) for v, s in zip(parts.values(), scales)]
        longest = max(len(values) for values in scaled)
        most = self.order or max(1, min(int(10 * math.log10(longest)), longest // 4))
        channels = range(scaled[0].shape[1])
        order = self.order or _least_aic([_lagged(scaled, k, most) for k in channels], most)
        self.weights = np.stack([_solved(*_lagged(scaled, k, order)) for k in channels])
        self.name = f"AR({order})"
        if self.order is None:
            self.note = f"{order} lags by AIC of at most {most}"

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        order, horizon = self.weights.shape[1] - 1, windows[0].horizon
        mean, deviation = means(windows, reference)[:, None], deviations(windows, reference)[:, None]
        past = filled(past_of(windows, order), mean[:, 0])
        whole = np.concatenate([(past - mean) / deviation, np.zeros((len(windows), horizon, past.shape[2]))], 1)
        for step in range(order, order + horizon):
            lags = whole[:, step - order : step][:, ::-1]
            whole[:, step] = self.weights[:, 0] + np.einsum("npk,kp->nk", lags, self.weights[:, 1:])
        return whole[:, order:] * deviation + mean


class LinearMap(ForecastBaseline):
    """The last L steps to H, less the last value: NLinear of A. Zeng and others, arXiv 2205.13504, by ridge regression.

    The K series share one map, as there.
    """

    name = "linear"

    def learn(self, windows: Sequence[Window], reference: TrainReference) -> None:
        channels = windows[0].series.values.shape[1]
        chosen = spaced(windows, max(1, _MOST_ROWS // channels))
        x, y = self._rows(chosen, reference)
        held = int(len(chosen) * (1 - _HELD)) * channels
        penalty = PENALTIES[-2]
        if 0 < held < len(x):
            steps = np.unique(np.linspace(0, y.shape[1] - 1, min(_STEPS, y.shape[1])).astype(int))
            tried = _ridge(x[:held], y[:held, steps], PENALTIES)
            losses = [np.nanmean((x[held:] @ weights - y[held:, steps]) ** 2) for weights in tried]
            penalty = PENALTIES[int(np.nanargmin(losses))] if np.isfinite(losses).any() else penalty
        self.weights = _ridge(x, y, [penalty])[0]
        self.note = f"ridge penalty {penalty:g} times the rows"

    def points(self, windows: Sequence[Window], reference: TrainReference) -> np.ndarray:
        x, last = self._inputs(windows, reference)
        found = (x @ self.weights).reshape(len(windows), -1, self.weights.shape[1]).swapaxes(1, 2) + last
        return found * deviations(windows, reference)[:, None] + means(windows, reference)[:, None]

    def _inputs(self, windows: Sequence[Window], reference: TrainReference) -> tuple[np.ndarray, np.ndarray]:
        """([N · K, L + 1] the past less its last value, and a one; [N, 1, K] the last value), in deviations."""
        mean, deviation = means(windows, reference)[:, None], deviations(windows, reference)[:, None]
        past = (filled(past_of(windows, windows[0].length), mean[:, 0]) - mean) / deviation
        last = past[:, -1:]
        x = (past - last).swapaxes(1, 2).reshape(-1, past.shape[1])
        return np.concatenate([x, np.ones((len(x), 1))], 1), last

    def _rows(self, windows: Sequence[Window], reference: TrainReference) -> tuple[np.ndarray, np.ndarray]:
        """([N · K, L + 1], [N · K, H]): what is mapped to what."""
        x, last = self._inputs(windows, reference)
        mean, deviation = means(windows, reference)[:, None], deviations(windows, reference)[:, None]
        ahead = (future_of(windows) - mean) / deviation - last
        return x, ahead.swapaxes(1, 2).reshape(len(x), -1)


def _lagged(parts: Sequence[np.ndarray], channel: int, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """([n, lags + 1] a one and the lags, the nearest first; [n] the value) of every step whose numbers are known."""
    xs, ys = [np.zeros((0, lags + 1))], [np.zeros(0)]
    for values in parts:
        if len(values) > lags:
            rows = np.lib.stride_tricks.sliding_window_view(values[:, channel], lags + 1)[:, ::-1]
            rows = rows[np.isfinite(rows).all(1)]
            xs.append(np.concatenate([np.ones((len(rows), 1)), rows[:, 1:]], 1))
            ys.append(rows[:, 0])
    x, y = np.concatenate(xs), np.concatenate(ys)
    kept = np.linspace(0, len(x) - 1, min(len(x), _MOST_ROWS)).astype(int)
    return x[kept], y[kept]


def _least_aic(problems: Sequence[tuple[np.ndarray, np.ndarray]], most: int) -> int:
    """The order from 1 to `most` of the least Σ n log(Σ e² / n) + 2 (order + 1), on the same rows for all orders."""
    total = np.zeros(most)
    for x, y in problems:
        if len(x) <= most + 1:
            return 1
        gram = x.T @ x
        gram += 1e-10 * np.trace(gram) / len(gram) * np.eye(len(gram))  # a wave without noise has a gram of lower rank
        explained = np.cumsum(solve_triangular(np.linalg.cholesky(gram), x.T @ y, lower=True) ** 2)[1:]
        left = np.maximum(y @ y - explained, 1e-12 * max(y @ y, 1e-300))
        total += len(y) * np.log(left / len(y)) + 2 * (np.arange(1, most + 1) + 1)
    return int(total.argmin()) + 1


def _solved(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[P + 1]: least squares, of least norm where several solve it."""
    return np.linalg.lstsq(x.T @ x, x.T @ y, rcond=None)[0]


def _ridge(x: np.ndarray, y: np.ndarray, penalties: Sequence[float]) -> list[np.ndarray]:
    """[L + 1, H] for each penalty, times n, on all but the last weight; every column of y on its known rows."""
    gram, free = x.T @ x, np.eye(x.shape[1])
    free[-1, -1] = 0.0
    known = np.isfinite(y)
    cross = x.T @ np.where(known, y, 0.0)
    found = [np.zeros_like(cross) for _ in penalties]
    whole = known.all(0)
    for weights, penalty in zip(found, penalties):
        ridge = penalty * len(x) * free
        weights[:, whole] = np.linalg.lstsq(gram + ridge, cross[:, whole], rcond=None)[0]
    for step in np.flatnonzero(~whole):
        lacking = x[~known[:, step]]
        left = gram - lacking.T @ lacking
        for weights, penalty in zip(found, penalties):
            weights[:, step] = np.linalg.lstsq(left + penalty * len(x) * free, cross[:, step], rcond=None)[0]
    return found


def for_forecasts(season: int, quantiles: Sequence[float]) -> list[Baseline]:
    """The baselines of a forecast, unfitted, the trivial ones first; seasonal ones where there is a season."""
    trivial: list[Baseline] = [kind(season, quantiles) for kind in (Naive, TrainingMean, WindowMean)]
    seasonal: list[Baseline] = [kind(season, quantiles) for kind in (SeasonalNaive, SeasonalDrift)]
    fitted: list[Baseline] = [kind(season, quantiles) for kind in (Autoregression, LinearMap)]
    return [*trivial, *(seasonal if season > 1 else []), *fitted]
