"""The past of windows as baselines read it: longer than the network's where a season needs it, without gaps.

Letters: N windows, L steps, H steps ahead, K series that are forecast together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...data.time.windows import Window


def past_of(windows: Sequence[Window], steps: int) -> np.ndarray:
    """float64 [N, steps, K]: the values before each origin, also those before the window; NaN where there are none."""
    return np.stack([replace(window, length=steps).values for window in windows])


def future_of(windows: Sequence[Window]) -> np.ndarray:
    """float64 [N, H, K]: the truth, NaN where it is missing."""
    return np.stack([window.future for window in windows])


def filled(past: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Gaps of [N, L, K] filled with the last number before them, else the first after, else `otherwise` [N, K]."""
    known = np.isfinite(past)
    if known.all():
        return past
    steps = np.arange(past.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), 1)
    first = np.where(known, steps, past.shape[1]).min(1, keepdims=True)
    places = np.where(last >= 0, last, first)
    found = np.take_along_axis(past, np.minimum(places, past.shape[1] - 1), 1)
    return np.where(places < past.shape[1], found, otherwise[:, None])


def spaced(windows: Sequence[Window], most: int) -> list[Window]:
    """At most so many of the windows, evenly spaced."""
    if len(windows) <= most:
        return list(windows)
    return [windows[int(k)] for k in np.linspace(0, len(windows) - 1, most)]
