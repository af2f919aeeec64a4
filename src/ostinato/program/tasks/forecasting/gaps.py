"""Values in place of the missing ones of a past.

Letters: N windows, L steps, K series.
"""

from __future__ import annotations

import numpy as np


def filled(past: np.ndarray, otherwise: np.ndarray | None = None) -> np.ndarray:
    """Gaps of [N, L, K] filled with the last number before them, else the first after, else `otherwise` [N, K] (0)."""
    known = np.isfinite(past)
    if known.all():
        return past
    steps = np.arange(past.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(known, steps, -1), 1)
    first = np.where(known, steps, past.shape[1]).min(1, keepdims=True)
    places = np.where(last >= 0, last, first)
    found = np.take_along_axis(past, np.minimum(places, past.shape[1] - 1), 1)
    return np.where(places < past.shape[1], found, 0.0 if otherwise is None else otherwise[:, None])
