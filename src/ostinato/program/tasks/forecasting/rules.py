"""Rules of a forecast that data decide: whether logarithms are forecast, how long a segment of the network is.

Letters: T steps, K series, L steps of the past, H of the future.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST_BLOCKS = 4
"""Seasons, or parts of a series without a season, from which the growth of the amplitude is judged."""
PARTS = 8
"""Parts of a series without a season."""
RANGE = 1.5
"""The largest mean of a season by the smallest, from which on there is growth to judge."""
SLOPE, CORRELATION = 0.5, 0.7
"""Of the logarithm of a season's deviation on that of its mean: amplitudes that grow at least with the root of the
level, and regularly."""
STEPS = 4
"""Segments of the past that are more than one step long."""
STEPS_WITHOUT_SEASON = 16


def grows_with_level(parts: Sequence[np.ndarray], season: int) -> bool:
    """Whether the amplitude of most series grows with their level, all their training values [T, K] being above 0."""
    votes = []
    for values in parts:
        for column in values.T:
            known = column[np.isfinite(column)]
            if not len(known) or known.min() <= 0:
                return False
            votes.append(_grows(column, season))
    return bool(votes) and 2 * sum(votes) > len(votes)


def _grows(column: np.ndarray, season: int) -> bool:
    size = season if season > 1 else max(2, len(column) // PARTS)
    count = len(column) // size
    blocks = column[len(column) - count * size :].reshape(count, size) if count else np.empty((0, size))
    blocks = blocks[np.isfinite(blocks).all(1)]
    if len(blocks) < LEAST_BLOCKS:
        return False
    level, amplitude = blocks.mean(1), blocks.std(1)
    if level.max() < RANGE * level.min() or (amplitude <= 0).any():
        return False
    x, y = np.log(level) - np.log(level).mean(), np.log(amplitude) - np.log(amplitude).mean()
    if not y.any():
        return False
    slope = (x * y).sum() / (x * x).sum()
    correlation = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    return bool(slope > SLOPE and correlation > CORRELATION)


def segment_of(length: int, horizon: int, season: int) -> int:
    """Steps of a segment: of a season or a whole part of one, at most H, and at least four of them in the past."""
    if season <= 1:
        return max(1, min(horizon, length // STEPS_WITHOUT_SEASON))
    fitting = [size for size in range(1, season + 1) if season % size == 0 and size <= min(horizon, length // STEPS)]
    return max(fitting, default=1)
