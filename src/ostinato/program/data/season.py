"""The season of series: after how many steps they repeat themselves, found from training values alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .frequency import DAY, HOUR, MINUTE, Frequency

LEAST = 3
"""Whole seasons that the training values must hold for a season to be found."""
PEAK = 0.2
"""The least autocorrelation at a season."""
CLEARLY = 0.05
"""By how much the autocorrelation of a longer season has to be larger."""


def usual_seasons(frequency: Frequency) -> list[int]:
    """Steps of the seasons that a calendar gives: of a day, a week, a year."""
    if frequency.unit == "month":
        return [12 // frequency.count] if 12 % frequency.count == 0 and frequency.count < 12 else []
    if frequency.unit == "business day":
        return [5]
    if frequency.unit == "step":
        return []
    seconds = frequency.count
    lengths: tuple[int, ...] = (DAY, 7 * DAY)
    if seconds >= DAY:
        lengths = (7 * DAY, round(365.25 * DAY))
    elif seconds < MINUTE:
        lengths = (MINUTE, HOUR)
    return [round(length / seconds) for length in lengths if length >= 2 * seconds]


def season_of(series: Sequence[np.ndarray], frequency: Frequency) -> tuple[int, str]:
    """The steps of a season, 1 where there is none, and a sentence that says so.

    series: float64 [N, K] of the training values of each series, NaN where missing.
    The autocorrelation of the values without their trend is averaged over series and columns. The calendar's shortest
    season is taken whose correlation is at least `PEAK` and above the mean of those at a half and at one and a half
    seasons; a longer one instead where its correlation is larger by `CLEARLY`. Without such a season it is the first
    peak of at least `PEAK` after the correlation has fallen below 0.
    """
    longest = max((len(values) for values in series), default=0)
    most = longest // LEAST
    correlation = autocorrelation(series, most)
    usual = [lag for lag in usual_seasons(frequency) if 2 <= lag <= most]
    found, how = 1, "by the calendar"
    for lag in usual:
        around = (correlation[lag // 2] + correlation[min(lag + lag // 2, most)]) / 2
        better = found == 1 or correlation[lag] > correlation[found] + CLEARLY
        if correlation[lag] >= PEAK and correlation[lag] > around and better:
            found = lag
    if found == 1:
        found, how = _first_peak(correlation), "by the autocorrelation"
    if found < 2:
        return 1, "The training values show no season."
    sentence = f"The season is {found} steps, {how}: training values so far apart have the correlation "
    return found, f"{sentence}{correlation[found]:.2f}, the trend removed."


def autocorrelation(series: Sequence[np.ndarray], most: int) -> np.ndarray:
    """float64 [most + 1] of the values without a straight line, the mean over columns and series.

    Missing values take no part: their products are left out of the sums. Columns without a change are left out.
    """
    total, count = np.zeros(most + 1), 0
    for values in series:
        for column in values.T:
            given = np.isfinite(column)
            if given.sum() < 4:
                continue
            places = np.arange(len(column))
            line = np.polyfit(places[given], column[given], 1)
            rest = np.where(given, column - np.polyval(line, places), 0.0)
            if not (np.abs(rest) > 1e-9 * np.abs(column[given]).max()).any():
                continue
            total[: len(rest)] += _lagged(rest, given.astype(np.float64), most)[: most + 1]
            count += 1
    return total / max(count, 1)


def _lagged(rest: np.ndarray, given: np.ndarray, most: int) -> np.ndarray:
    """The autocorrelation of one column at lags 0 … most, by the Fourier transform."""
    size = 2 * len(rest)
    products = np.fft.irfft(np.abs(np.fft.rfft(rest, size)) ** 2, size)[: most + 1]
    pairs = np.fft.irfft(np.abs(np.fft.rfft(given, size)) ** 2, size)[: most + 1]
    mean = products / np.maximum(np.round(pairs), 1)
    found = np.zeros(most + 1)
    found[: len(mean)] = mean / mean[0]
    return found


def _first_peak(correlation: np.ndarray) -> int:
    """The lag of the first peak of at least `PEAK` after the first lag below 0; 1 where there is none."""
    below = np.flatnonzero(correlation < 0)
    if not len(below):
        return 1
    for lag in range(int(below[0]), len(correlation) - 1):
        here = correlation[lag]
        if here >= PEAK and here >= correlation[lag - 1] and here > correlation[lag + 1]:
            return lag
    return 1


def usual_context(season: int, horizon: int, steps: int) -> int:
    """Steps that a forecast reads where the user does not say: two seasons or the horizon, and at least 8.

    steps: of the longest series' training values; at most a third of them are read, but at least 2.
    """
    wished = max(2 * season, horizon, 8)
    return max(2, min(wished, steps // 3))
