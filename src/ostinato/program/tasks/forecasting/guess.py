"""Simple guesses of a forecast, from a window alone. The linear map and the network learn their errors.

Letters: B windows, L steps of the past, H of the future, K series.
"""

from __future__ import annotations

import numpy as np

from .gaps import filled

LEVEL_SHARE = 4
"""`level` takes the growth from the last season's part of one in so many."""


def possible(length: int, season: int) -> list[str]:
    """The guesses that a window of L steps has.

    last    the last value
    mean    the mean of the window
    season  the value of the same place in the last season
    level   the same, with the growth from the season before over the last quarter of a season, for each season ahead
    drift   the same, with the growth over a whole season
    """
    found = ["last", "mean"]
    if season > 1 and length >= season:
        found.append("season")
    if season > 1 and length >= season + growth_steps("level", season):
        found.append("level")
    if season > 1 and length >= 2 * season:
        found.append("drift")
    return found


def guess(name: str, values: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """[B, H, K] of [B, L, K], of which NaN are missing."""
    whole = filled(values)
    if name == "last":
        return np.repeat(whole[:, -1:], horizon, 1)
    if name == "mean":
        there = ~np.isnan(values)
        mean = np.where(there, values, 0.0).sum(1) / np.maximum(there.sum(1), 1)
        return np.repeat(mean[:, None], horizon, 1)
    ahead, length = np.arange(horizon), whole.shape[1]
    found = whole[:, length - season + ahead % season]
    if name == "season":
        return found
    steps = growth_steps(name, season)
    growth = values[:, -steps:] - values[:, length - season - steps : length - season]
    there = ~np.isnan(growth)
    mean = np.where(there, growth, 0.0).sum(1) / np.maximum(there.sum(1), 1)
    return found + mean[:, None] * (1 + ahead // season)[:, None]


def growth_steps(name: str, season: int) -> int:
    """Steps from which the growth is taken."""
    return season if name == "drift" else max(1, season // LEVEL_SHARE)
