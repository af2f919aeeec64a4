"""Resamples of dependent units: blocks of successive origins, whose forecasts overlap, so that errors resemble.

The circular block bootstrap (D. Politis and J. Romano, 1992): a block begins at any origin of a series and goes on at
the series' first origin after its last, so that every origin is as likely as another.

Letters: U units, S series, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEAST_BLOCKS = 3
"""Blocks that a resample has at least; blocks are shorter than the rule says where the origins are few."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which units follow each other, and how many of them are drawn together."""

    series: np.ndarray
    """int64 [U]: the number of each unit's series; units of a series lie side by side, in the order of time."""
    length: int
    """Units of a block; fewer where the series has fewer."""

    @cached_property
    def _runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64 [U]: the first unit of each unit's series, the units of the series, and those of its blocks."""
        _, first, place, count = np.unique(self.series, return_index=True, return_inverse=True, return_counts=True)
        return first[place], count[place], np.minimum(self.length, count[place])

    def weights(self, generator: np.random.Generator, rows: int) -> np.ndarray:
        """float64 [rows, U]: how often each unit is in each of so many resamples of U units."""
        units = len(self.series)
        first, count, block = self._runs
        chances = np.cumsum(1 / block)
        most = -(-units // int(block.min()))
        begins = np.searchsorted(chances, generator.random((rows, most)) * chances[-1], side="right")
        begins = np.minimum(begins, units - 1)
        before = np.cumsum(block[begins], 1) - block[begins]
        length = np.clip(units - before, 0, block[begins])
        stop = begins + length
        over = stop - (first + count)[begins]  # units of a block that lie past the end of its series
        wraps = over > 0
        row = np.arange(rows)[:, None] * (units + 1)
        edges = np.zeros(rows * (units + 1))
        size = len(edges)
        edges += np.bincount((row + begins).ravel(), minlength=size)
        edges -= np.bincount((row + np.where(wraps, (first + count)[begins], stop)).ravel(), minlength=size)
        edges += np.bincount((row + first[begins]).ravel(), wraps.ravel().astype(np.float64), size)
        ends = row + first[begins] + np.where(wraps, over, 0)
        edges -= np.bincount(ends.ravel(), wraps.ravel().astype(np.float64), size)
        return np.cumsum(edges.reshape(rows, units + 1), 1)[:, :units]


def block_length(units: int, steps: int, stride: int = 1) -> int:
    """Units of a block: those of `steps`, at least the cube root of U, and at most a third of all units.

    steps: over which errors depend on each other, the longer of the horizon and the season.
    """
    wanted = max(-(-steps // max(stride, 1)), round(units ** (1 / 3)))
    return max(1, min(wanted, units // LEAST_BLOCKS))
