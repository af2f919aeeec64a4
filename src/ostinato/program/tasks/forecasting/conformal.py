"""Bands that are widened or narrowed until they cover what they say, by conformalized quantile regression.

Y. Romano, E. Patterson and E. Candès, "Conformalized Quantile Regression", 2019 (arXiv 1905.03222): of n calibration
rows, a band is moved outwards by the ⌈(n + 1) · level⌉-th smallest of the distances by which the truth lies outside it,
negative inside (`NARROWED` says when). If the rows to come and the calibration rows are exchangeable, it then covers
with at least its level.
Windows of a series overlap and follow each other, so here that holds about.

Letters: N windows, H steps of the future, K series of a window, Q quantiles, J bands.
"""

from __future__ import annotations

import math

import numpy as np

NARROWED = 20
"""Whole horizons that the calibration windows must span for a band to be narrowed: few and overlapping windows may all
lie in a calm time."""


def corrections(truth: np.ndarray, quantiles: np.ndarray, shares: list[float]) -> np.ndarray:
    """float64 [H, J], outermost band first: by how much each band of each step moves outwards on both sides.

    truth [N, H, K], NaN where missing; quantiles [N, H, K, Q], both in a unit in which the K series are alike; shares:
    the Q quantiles, rising and symmetric about the median. With fewer rows than a level asks for, the largest distance
    is taken; a step without a truth is not moved.
    """
    bands = len(shares) // 2
    found = np.zeros((truth.shape[1], bands))
    for place in range(bands):
        level = shares[-1 - place] - shares[place]
        distance = np.maximum(quantiles[..., place] - truth, truth - quantiles[..., -1 - place])
        for step in range(truth.shape[1]):
            known = distance[:, step][~np.isnan(distance[:, step])]
            if len(known):
                rank = min(len(known), math.ceil((len(known) + 1) * level - 1e-9))
                found[step, place] = np.sort(known)[rank - 1]
    return found if len(truth) >= NARROWED * truth.shape[1] else np.maximum(found, 0.0)


def moved(quantiles: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The quantiles [N, H, K, Q] after the corrections [H, J], rising still: no band ends beyond the median."""
    bands, middle = found.shape[1], quantiles.shape[-1] // 2
    lower = quantiles[..., :bands] - found[:, None, :]
    upper = quantiles[..., -bands:] + found[:, None, ::-1]
    centre = quantiles[..., middle : middle + 1]
    lower = np.sort(np.minimum(lower, centre), -1)
    upper = np.sort(np.maximum(upper, centre), -1)
    return np.concatenate([lower, centre, upper], -1)
