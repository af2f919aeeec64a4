"""The past of windows as baselines read it: longer than the network's where a season needs it.

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


def spaced(windows: Sequence[Window], most: int) -> list[Window]:
    """At most so many of the windows, evenly spaced."""
    if len(windows) <= most:
        return list(windows)
    return [windows[int(k)] for k in np.linspace(0, len(windows) - 1, most)]
