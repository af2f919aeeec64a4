"""What training values say about each series: the error of the seasonal naive forecast, the mean and the deviation.

Letters: N steps of a series, K series that are forecast together, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.time.windows import Series, Window

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
"""Of bands that cover 80 and 95 %, and the median."""


@dataclass(frozen=True)
class Scale:
    """Of one series; NaN where its training values do not say."""

    naive: Sequence[float]
    """[K]: the mean of |y_t - y_{t - season}|, by which MASE divides."""
    mean: Sequence[float]
    """[K]"""
    deviation: Sequence[float]
    """[K]: the population's."""


_KEYS = ("naive", "mean", "deviation")


@dataclass(frozen=True)
class TrainReference:
    """By what the errors of a forecast are scaled, from training values alone."""

    season: int
    """Steps of a period; 1 where there is none."""
    quantiles: Sequence[float]
    """[Q], rising: the shares of the truth that lie below each."""
    scales: Mapping[str, Scale]
    """By the name of the series."""

    def of(self, window: Window) -> Scale:
        """Of the series of a window."""
        return self.scales[window.series.name]

    def beside(self, windows: Sequence[Window]) -> TrainReference:
        """The same, and of series that the training lacks what their values before the first of these origins say."""
        lacking: dict[str, tuple[Series, int]] = {}
        for window in windows:
            name = window.series.name
            if name not in self.scales:
                known = lacking.get(name, (window.series, window.origin))[1]
                lacking[name] = (window.series, min(known, window.origin))
        if not lacking:
            return self
        found = {name: scale_of(series.values[:stop], self.season) for name, (series, stop) in lacking.items()}
        return replace(self, scales={**self.scales, **found})

    @property
    def levels(self) -> list[tuple[float, int, int]]:
        """(percent, place of the lower, place of the upper quantile) of each band, the narrowest first."""
        return bands_of(self.quantiles)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; NaN as null."""
        scales = {
            name: {key: [plain(v) for v in getattr(scale, key)] for key in _KEYS} for name, scale in self.scales.items()
        }
        return {"season": self.season, "quantiles": list(self.quantiles), "series": scales}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainReference:
        """What `to_json` gave."""
        scales = {
            str(name): Scale(*([np.nan if v is None else float(v) for v in scale[key]] for key in _KEYS))
            for name, scale in content["series"].items()
        }
        return cls(int(content["season"]), tuple(float(q) for q in content["quantiles"]), scales)


def bands_of(quantiles: Sequence[float]) -> list[tuple[float, int, int]]:
    """(percent, place of the lower, of the upper) of each pair of Q shares that adds to 1, the narrowest first."""
    found = []
    for low, share in enumerate(quantiles):
        high = len(quantiles) - 1 - low
        if low < high and abs(share + quantiles[high] - 1) < 1e-9:
            found.append((round(100 * (quantiles[high] - share), 6), low, high))
    return found[::-1]


def reference_of(windows: Sequence[Window], season: int = 1, quantiles: Sequence[float] = QUANTILES) -> TrainReference:
    """Of the training windows, from `training_parts`."""
    scales = {name: scale_of(values, season) for name, values in training_parts(windows).items()}
    return TrainReference(season, tuple(quantiles), scales)


def training_parts(windows: Sequence[Window]) -> dict[str, np.ndarray]:
    """float64 [N, K] of each series by name: its values from the first window's past to the last window's future."""
    spans: dict[str, tuple[Series, int, int]] = {}
    for window in windows:
        start, stop = max(window.origin - window.length, 0), window.origin + window.horizon
        _, low, high = spans.get(window.series.name, (None, start, stop))
        spans[window.series.name] = (window.series, min(low, start), max(high, stop))
    return {name: series.values[low:high] for name, (series, low, high) in spans.items()}


def scale_of(values: np.ndarray, season: int) -> Scale:
    """Of values [N, K]; steps with a missing number are left out."""
    differences = np.abs(values[season:] - values[:-season]) if len(values) > season else values[:0]
    mean = _mean(values)
    deviation = np.sqrt(_mean((values - mean) ** 2))
    least = 1e-12 * np.abs(mean)  # what rounding leaves of a constant
    found = (_above(_mean(differences), least), mean, _above(deviation, least))
    return Scale(*([float(v) for v in row] for row in found))


def _mean(values: np.ndarray) -> np.ndarray:
    """[K] over the known of [N, K]; NaN where none is."""
    known = np.isfinite(values)
    count = known.sum(0)
    return np.where(known, values, 0.0).sum(0) / np.where(count > 0, count, np.nan)


def _above(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    return np.where(values > least, values, np.nan)


def plain(value: Any) -> float | None:
    """A number as JSON holds it; None for NaN and infinities."""
    return float(value) if np.isfinite(value) else None
