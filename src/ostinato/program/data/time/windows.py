"""Series over time, and windows of them: what a forecast reads and what it is to predict.

Letters: N steps of a series, L steps of a window's past, H of its future, K series that are forecast together, P
covariates that are known up to the origin, F covariates that are known ahead.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .frequency import Frequency


@dataclass(frozen=True, eq=False)
class Series:
    """One series of a file, on a regular grid of times; a missing number is NaN."""

    name: str
    """Nixtla's unique_id; the file's name where it holds one series."""
    times: np.ndarray
    """[N + ahead] datetime64[s] or int64, one step apart; the last `ahead` of them have covariates and no values."""
    values: np.ndarray
    """float64 [N, K]"""
    past: np.ndarray
    """float64 [N, P]"""
    known: np.ndarray
    """float64 [N + ahead, F]"""
    frequency: Frequency | None = None
    """One step of the grid; None: the difference of the first two times."""
    season: int = 1
    """Steps after which the training values of the file repeat themselves; 1: they do not."""

    @cached_property
    def spacing(self) -> Frequency:
        """One step of the grid."""
        if self.frequency is not None:
            return self.frequency
        step = int((self.times[1] - self.times[0]).astype(np.int64)) if len(self.times) > 1 else 1
        return Frequency("second" if self.times.dtype.kind == "M" else "step", step)

    def times_at(self, places: np.ndarray) -> np.ndarray:
        """The times of some steps, whose numbers may lie before the first step and after the last."""
        inside = np.clip(places, 0, len(self.times) - 1)
        found = self.times[inside]
        outside = places != inside
        if outside.any():
            found = found.copy()
            found[outside] = self.spacing.advance(found[outside], (places - inside)[outside])
        return found

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the name and of all numbers."""
        found = hashlib.sha256(self.name.encode("utf-8", "surrogatepass"))
        for array in (self.times.astype(np.int64), self.values, self.past, self.known):
            found.update(f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
        return found.digest()


@dataclass(frozen=True, eq=False)
class Window:
    """L steps of a series before an origin, and the H steps from the origin on."""

    series: Series
    origin: int
    """The step of the series that is forecast first."""
    length: int
    """L"""
    horizon: int
    """H"""

    @property
    def values(self) -> np.ndarray:
        """float64 [L, K] before the origin; NaN before the series begins."""
        return _rows(self.series.values, self.origin - self.length, self.origin)

    @property
    def past(self) -> np.ndarray:
        """float64 [L, P] before the origin."""
        return _rows(self.series.past, self.origin - self.length, self.origin)

    @property
    def known(self) -> np.ndarray:
        """float64 [L + H, F] before and after the origin; NaN where the file does not say."""
        return _rows(self.series.known, self.origin - self.length, self.origin + self.horizon)

    @property
    def future(self) -> np.ndarray:
        """float64 [H, K] from the origin on, the truth; NaN past the end of the series."""
        return _rows(self.series.values, self.origin, self.origin + self.horizon)

    @property
    def times(self) -> np.ndarray:
        """[L + H] of the series' type; the grid goes on before and after the series."""
        return self.series.times_at(np.arange(self.origin - self.length, self.origin + self.horizon))

    def sha256(self) -> bytes:
        """Of the series and the place in it."""
        place = f"{self.origin} {self.length} {self.horizon} ".encode()
        return hashlib.sha256(place + self.series.digest).digest()


def _rows(values: np.ndarray, start: int, stop: int) -> np.ndarray:
    """The rows start … stop - 1, NaN where there are none; a view where all are there."""
    if 0 <= start and stop <= len(values):
        return values[start:stop]
    found = np.full((stop - start, values.shape[1]), np.nan)
    low, high = max(start, 0), min(stop, len(values))
    if low < high:
        found[low - start : high - start] = values[low:high]
    return found
