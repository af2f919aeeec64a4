"""Intervals by resampling independent units: rows, sentences or groups, never tokens.

Every metric here is a function of sums over units, so a resample is a weighted sum and 25,000 rows take a second.

Letters: U units, M sums, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...errors import InputError, phrase
from .blocks import Blocks
from .metric_names import is_share

RESAMPLES = 1000
SHARE = 0.95
_Z_SQUARED = 3.8415
"""Of the normal distribution, for intervals of 95 %."""
_CHUNK = 4_000_000
"""Numbers of a matrix of weights that are in memory at a time."""

Value = Callable[[np.ndarray], np.ndarray]
"""[..., M] sums → [...] the metric; NaN where it is not defined."""


def ratio(numerator: int, denominator: int, factor: float = 1.0) -> Value:
    """factor times one sum over another, by their places among the M sums; NaN where the other is 0."""

    def value(s: np.ndarray) -> np.ndarray:
        return factor * s[..., numerator] / np.where(s[..., denominator] > 0, s[..., denominator], np.nan)

    return value


@dataclass(frozen=True)
class Tally:
    """What predictions got right and wrong, as sums over units."""

    sums: Any
    """sparse [U, M] float64"""
    values: dict[str, tuple[Value, bool]]
    """Metric name → (its function of the sums, whether higher is better); the primary metric first."""
    blocks: Blocks | None = None
    """Which units depend on each other; None: all are independent."""

    @property
    def units(self) -> int:
        return int(self.sums.shape[0])

    def value(self, name: str) -> float:
        """A metric on all units."""
        return float(self.values[name][0](total(self.sums)))

    def interval(self, name: str, seed: int) -> tuple[float, float]:
        """The ends of its 95 % interval: percentiles over resamples of units, or blocks, with replacement.

        NaN of a single unit: its interval is not known.
        """
        return self.intervals([name], seed)[name]

    def intervals(self, names: Sequence[str], seed: int) -> dict[str, tuple[float, float]]:
        """Of several metrics, on the same resamples; of a share that is alike in all of them as `unseen` says."""
        found = resampled(self.sums, seed, self.blocks)
        return {name: self._wider(name, *ends(self.values[name][0](found)), least=0.0) for name in names}

    def gain(self, other: Tally, name: str, seed: int) -> tuple[float, float, float]:
        """How much better this is than `other` on the same units: value and interval, resampled in pairs."""
        if other.units != self.units:
            remedy = "Predict the same rows with both."
            raise InputError(phrase("gain", "the other predictions", f"of {self.units} units", other.units, remedy))
        function, higher = self.values[name]
        theirs = other.values[name][0]
        sign = 1.0 if higher else -1.0
        mine, others = (resampled(sums, seed, self.blocks) for sums in (self.sums, other.sums))
        low, high = self._wider(name, *ends(sign * (function(mine) - theirs(others))), least=-1.0)
        return sign * (self.value(name) - other.value(name)), low, high

    def _wider(self, name: str, low: float, high: float, least: float) -> tuple[float, float]:
        """The ends, or of a share that is the same in all resamples, such as 1 of units without an error, wider ones.

        least  the least value that a share, or a difference of two, can have; the largest is 1
        """
        if low != high or not is_share(name):
            return low, high
        reach = unseen(self.units // (1 if self.blocks is None else self.blocks.drawn))
        return max(least, low - reach), max(high, min(1.0, high + reach))


def total(sums: Any) -> np.ndarray:
    """[M]"""
    return np.asarray(sums.sum(0), np.float64).reshape(-1)


def resampled(sums: Any, seed: int, blocks: Blocks | None = None) -> np.ndarray:
    """[R, M]: the sums of U units drawn with replacement. The draws depend on U, the blocks and the seed alone.

    [1, M] of NaN for one unit: by how much another one differs is not known.
    """
    if sums.shape[0] < 2:
        return np.full((1, sums.shape[1]), np.nan)
    transposed = sparse.csr_matrix(sums.T)
    parts = [np.asarray((transposed @ weights.T).T) for weights in draws(sums.shape[0], seed, blocks=blocks)]
    return np.concatenate(parts)


def draws(units: int, seed: int, resamples: int = RESAMPLES, blocks: Blocks | None = None) -> Iterator[np.ndarray]:
    """float64 [some of R, U]: how often each unit is in each resample."""
    generator = np.random.default_rng([seed, units])
    left, most = resamples, max(1, _CHUNK // max(units, 1))
    while left:
        rows = min(left, most)
        left -= rows
        if blocks is not None:
            yield blocks.weights(generator, rows)
            continue
        drawn = generator.integers(0, max(units, 1), (rows, units))
        drawn += np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)


def unseen(units: int) -> float:
    """The share of units that may be otherwise although all that were drawn are alike: the end of Wilson's interval.

    units  how many were drawn, independent of each other

    E. Wilson, 1927: z² / (U + z²), 20 % of 15 units and 1.3 % of 300.
    """
    return _Z_SQUARED / (max(units, 1) + _Z_SQUARED)


def ends(values: np.ndarray) -> tuple[float, float]:
    """The percentiles between which 95 % of the values lie; resamples where the metric is not defined are left out."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return float(low), float(high)


def by_unit(columns: Any, groups: Sequence[str] | None) -> Any:
    """sparse [U, M] of sparse or dense [N, M]: rows of one group added up; without groups every row is a unit."""
    rows = sparse.csr_matrix(columns)
    if groups is None or not len(groups):
        return rows
    number: dict[str, int] = {}
    places = [number.setdefault(group, len(number)) for group in groups]
    ones = np.ones(len(places))
    return sparse.csr_matrix((ones, (places, range(len(places)))), (len(number), len(places))) @ rows
