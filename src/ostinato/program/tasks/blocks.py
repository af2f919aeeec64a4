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
"""Blocks that a series has at least; blocks are shorter than the rule says where its origins are few."""
MANY_SERIES = 10
"""From so many series on, whose origins are too few for `LEAST_BLOCKS` blocks each, series are drawn, too."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Which units follow each other, and how many of them are drawn together."""

    series: np.ndarray
    """int64 [U]: the number of each unit's series; units of a series lie side by side, in the order of time."""
    length: int
    """Units of a block, if the series has enough."""

    @cached_property
    def apart(self) -> bool:
        """Whether a resample has as many units of each series as there are: what is drawn are times, not series."""
        counts = np.unique(self.series, return_counts=True)[1]
        return len(counts) < MANY_SERIES or int(counts.min()) >= LEAST_BLOCKS * self.length

    @cached_property
    def drawn(self) -> int:
        """Units of the longest blocks that are drawn: fewer than `length` where the series have few."""
        counts = np.unique(self.series, return_counts=True)[1]
        longest = int(counts.max(initial=1))
        return self._least(longest) if self.apart else min(self.length, longest)

    def _least(self, units: int) -> int:
        """Units of a block of a series that has so many."""
        return max(1, min(self.length, units // LEAST_BLOCKS))

    def weights(self, generator: np.random.Generator, rows: int) -> np.ndarray:
        """float64 [rows, U]: how often each unit is in each of so many resamples of U units."""
        if not self.apart:
            return _drawn(generator, rows, self.series, self.length)
        parts = np.split(self.series, np.flatnonzero(np.diff(self.series)) + 1)
        return np.concatenate([_drawn(generator, rows, part, self._least(len(part))) for part in parts], 1)


def _drawn(generator: np.random.Generator, rows: int, series: np.ndarray, length: int) -> np.ndarray:
    """float64 [rows, U]: blocks of `length` units, or of all of a series that has fewer, from all series alike."""
    units = len(series)
    _, begin, place, many = np.unique(series, return_index=True, return_inverse=True, return_counts=True)
    first, count, block = begin[place], many[place], np.minimum(length, many[place])
    chances = np.cumsum(1 / block)
    most = -(-units // int(block.min()))
    begins = np.searchsorted(chances, generator.random((rows, most)) * chances[-1], side="right")
    begins = np.minimum(begins, units - 1)
    before = np.cumsum(block[begins], 1) - block[begins]
    stop = begins + np.clip(units - before, 0, block[begins])  # the last block is cut
    over = stop - (first + count)[begins]  # units of a block that lie past the end of its series
    wraps = over > 0
    row = np.arange(rows)[:, None] * (units + 1)
    size = rows * (units + 1)
    edges = np.bincount((row + begins).ravel(), minlength=size).astype(np.float64)
    edges -= np.bincount((row + np.where(wraps, (first + count)[begins], stop)).ravel(), minlength=size)
    again, around = row + first[begins], wraps.ravel().astype(np.float64)
    edges += np.bincount(again.ravel(), around, size)
    edges -= np.bincount((again + np.where(wraps, over, 0)).ravel(), around, size)
    return np.cumsum(edges.reshape(rows, units + 1), 1)[:, :units]


def block_length(units: int, steps: int, stride: int = 1) -> int:
    """Units of a block: those of `steps`, at least the cube root of U.

    steps: over which errors depend on each other, the longer of the horizon and the season.
    """
    return max(-(-steps // max(stride, 1)), round(units ** (1 / 3)), 1)
