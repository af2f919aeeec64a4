"""The season of series: after how many steps they repeat themselves, found from training values alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .frequency import DAY, HOUR, MINUTE, Frequency

LEAST = 3
"""Whole seasons that the training values must hold for a season to be found."""
PEAK = 0.2
"""The least autocorrelation at a season."""
ERRORS, MANY_ERRORS = 2.5, 3
"""Standard errors, of noise, that it has to exceed too: of a season of the calendar, and of one that was searched."""
CONTEXTS = 12
"""Training values by the steps that a forecast reads: with fewer of them a map of what it reads is not learned."""
ROUNDING = 1e-10
"""Sums of squares below this share of the whole are rounding errors of the transform: there is no correlation."""
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
    A season is a lag at which the values without their moving mean over a season have an autocorrelation of at least
    `PEAK` and of some standard errors. The calendar's shortest season is taken, a longer one instead where its
    correlation is larger by `CLEARLY`; without one, the first peak of the autocorrelation after it has fallen below 0.
    """
    longest = max((len(values) for values in series), default=0)
    found, best, how = 1, 0.0, "by the calendar"
    for lag in usual_seasons(frequency):
        if 2 <= lag <= longest // LEAST:
            here, error = seasonal_correlation(series, lag, lag // 4)
            if here >= max(PEAK, ERRORS * error) and (found == 1 or here > best + CLEARLY):
                found, best = lag, here
    if found == 1:
        lag, how = _first_peak(autocorrelation(series, longest // LEAST)), "by the autocorrelation"
        if lag > 1:
            best, error = seasonal_correlation(series, lag, lag // 2)
            found = lag if best >= max(PEAK, MANY_ERRORS * error) else 1
    if found == 1:
        return 1, "The training values show no season."
    sentence = f"The season is {found} steps, {how}: training values so far apart "
    return found, f"{sentence}have the correlation {best:.2f} after their moving mean is subtracted."


def seasonal_correlation(series: Sequence[np.ndarray], lag: int, near: int) -> tuple[float, float]:
    """(autocorrelation at a lag, its standard error) of the values without their moving mean, the mean over columns.

    The error is Bartlett's, by the correlations at lags up to `near`: neighbours that are alike are fewer independent
    pairs.
    """
    found = []
    for values in series:
        for column in values.T:
            rest = column - moving_mean(column, lag)
            given = np.isfinite(rest)
            pairs = int((given[lag:] & given[:-lag]).sum())
            rest = np.where(given, rest, 0.0)
            if pairs >= 4 and np.abs(rest).max() > 1e-9 * np.abs(column[given]).max():
                lagged = _lagged(rest, given.astype(np.float64), lag)
                error = np.sqrt((1 + 2 * np.square(lagged[1 : near + 1]).sum()) / pairs)
                found.append((lagged[lag], error))
    mean = np.mean(found, axis=0) if found else np.zeros(2)
    return float(mean[0]), float(mean[1])


def moving_mean(column: np.ndarray, lag: int) -> np.ndarray:
    """float64 [N]: the mean of the given values among the lag, or lag + 1, around each step; fewer at the ends."""
    given = np.isfinite(column)
    sums = np.concatenate([[0.0], np.cumsum(np.where(given, column, 0.0))])
    counts = np.concatenate([[0], np.cumsum(given)])
    places, half = np.arange(len(column)), lag // 2
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(column))
    number = counts[high] - counts[low]
    return np.where(number > 0, (sums[high] - sums[low]) / np.maximum(number, 1), np.nan)


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
    """The autocorrelation of one column at lags 0 … most, by the Fourier transform.

    At a lag it is that of the pairs of given values so far apart, Σ x·y / √(Σ x² · Σ y²), from -1 to 1.
    """
    size = 2 * len(rest)
    values, squares, there = (np.fft.rfft(a, size) for a in (rest, rest * rest, given))

    def summed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """[most + 1] Σ over t of first[t] · second[t + lag], of their transforms."""
        return np.fft.irfft(first.conj() * second, size)[: most + 1]

    products, early, late = summed(values, values), summed(squares, there), summed(there, squares)
    found = np.zeros(most + 1)
    whole = products[0]
    if whole > 0:  # the squares of numbers near 1e-300 are 0
        enough = np.minimum(early, late) > ROUNDING * whole
        sizes = np.sqrt(np.where(enough, early * late, 1.0))
        found[: len(products)] = np.where(enough, np.clip(products / sizes, -1, 1), 0.0)
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
    """Steps that a forecast reads where the user does not say.

    Four seasons, or two, where the training values hold `CONTEXTS` times as many steps; otherwise a season and a
    quarter, from which the growth over a season is computed. At least the horizon, and at least 8.

    steps: of the longest series' training values; at most a third of them are read, but at least 2.
    """
    length = season + -(-season // 4)
    for seasons in (2, 4):
        if steps >= CONTEXTS * seasons * season:
            length = seasons * season
    return max(2, min(max(length, horizon, 8), steps // 3))
