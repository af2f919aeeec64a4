"""Features of the calendar: the place of a time in the day, the week and the year.

Letters: T times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SECONDS = {"day": 86_400, "week": 7 * 86_400, "year": 365.2425 * 86_400}
"""Cycle → its seconds. A week begins on Thursday, as 1 January 1970 was."""
LEAST_CYCLES = 2
"""Whole cycles that the training values must have, so that the effect of a place in the cycle can be estimated."""
LEAST_STEPS = 3
"""Steps of a cycle: with fewer of them a sine and a cosine say nothing."""


def cycles_of(times: np.ndarray) -> list[str]:
    """The cycles that regular training times [T] show often enough; none of times that are integers."""
    if times.dtype.kind != "M" or len(times) < 2:
        return []
    seconds = times.astype("datetime64[s]").astype(np.int64)
    step = float(np.median(np.diff(seconds)))
    span = float(seconds[-1] - seconds[0])
    return [name for name, size in SECONDS.items() if span >= LEAST_CYCLES * size and step * LEAST_STEPS <= size]


def features(times: np.ndarray, cycles: Sequence[str]) -> np.ndarray:
    """float64 [..., 2 · cycles]: the sine and cosine of each cycle."""
    if not cycles:
        return np.zeros((*times.shape, 0))
    seconds = times.astype("datetime64[s]").astype(np.int64)
    angles = [2 * np.pi * (seconds % SECONDS[name]) / SECONDS[name] for name in cycles]
    return np.stack([f(angle) for angle in angles for f in (np.sin, np.cos)], -1)
