"""Which frequency a series has, by the differences of its times; series without one are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..findings import many
from ..refusals import refused
from .frequency import LAST, Frequency, written

MOST_MISSING = 10
"""A grid of more than so many steps for each row is refused: one wrong date would fill the memory."""


def frequency_of(series: Sequence[np.ndarray], file: str) -> Frequency:
    """The frequency of one or several series, each with times that rise.

    series: [N] int64 or datetime64[s] of each of them; one frequency has to fit them all.

    Raises InputError for times of which no frequency explains at least half of the differences, and all of them as
    multiples.
    """
    long = [times for times in series if len(times) > 1]
    if not long:
        remedy = "Give more rows."
        raise refused(file, "the times", "at least two different ones in a series", "one in each", remedy)
    if long[0].dtype.kind != "M":
        found = _multiple([np.diff(times) for times in long])
        if found:
            return _checked(Frequency("step", found), long, file)
        raise irregular(long, file)
    for candidate in (_months(long), _business_days(long)):
        if candidate is not None:
            return _checked(candidate, long, file)
    seconds = _multiple([np.diff(times).astype(np.int64) for times in long])
    if not seconds:
        raise irregular(long, file)
    return _checked(Frequency("second", seconds), long, file)


def _multiple(differences: Sequence[np.ndarray]) -> int:
    """The most frequent difference, where it is at least half of them and divides all; else 0."""
    values, counts = np.unique(np.concatenate(differences), return_counts=True)
    step = int(values[np.argmax(counts)])
    often = 2 * counts.max() >= counts.sum()
    return step if often and not (values % step).any() else 0


def _months(series: Sequence[np.ndarray]) -> Frequency | None:
    """Months, quarters, years: all times at one day of the month, or all at the last day, at one time of day."""
    times = np.concatenate(series)
    days = times.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    if len(np.unique(times - days)) > 1:
        return None
    number = (days - months).astype(np.int64) + 1
    last = (days + 1).astype("datetime64[M]") != months
    if not last.all() and (len(np.unique(number)) > 1 or number[0] > 28):
        return None
    differences = [np.diff(one.astype("datetime64[M]")).astype(np.int64) for one in series]
    if any((found < 1).any() for found in differences):
        return None
    step = _multiple(differences)
    return Frequency("month", step, LAST if last.all() else int(number[0])) if step else None


def _business_days(series: Sequence[np.ndarray]) -> Frequency | None:
    """Days of which none is in a weekend, though the series go on over some."""
    times = np.concatenate(series)
    days = times.astype("datetime64[D]")
    if len(np.unique(times - days)) > 1 or not np.is_busday(days).all():
        return None
    apart = np.concatenate([np.diff(one).astype(np.int64) for one in series]) // 86_400
    weekends = np.concatenate([np.busday_count(one[:-1].astype("M8[D]"), one[1:].astype("M8[D]")) for one in series])
    daily = 2 * (weekends == 1).sum() >= len(weekends)
    return Frequency("business day") if daily and (apart == 1).any() and (apart > weekends).any() else None


def _checked(found: Frequency, series: Sequence[np.ndarray], file: str) -> Frequency:
    """The frequency, where its grid is not far longer than the rows."""
    for times in series:
        steps = int(found.between(times[0], times[-1])) + 1
        if steps > MOST_MISSING * len(times) + 1_000:
            gaps = found.between(times[:-1], times[1:])
            at = int(np.argmax(gaps))
            one, other = written(times[at : at + 2])
            received = f"{many(int(gaps[at]) - 1, 'step')} without a row between {one} and {other}"
            expected = f"without gaps of far more steps than rows, {found.words} apart"
            raise refused(file, "the times", expected, received, "Correct the times, or leave out what is before.")
    return found


def irregular(series: Sequence[np.ndarray], file: str) -> Exception:
    """The refusal of times without a frequency, with the two most frequent differences."""
    counted = Counter(int(d) for times in series for d in np.diff(times).astype(np.int64))
    total = sum(counted.values())
    dated = series[0].dtype.kind == "M"
    most = [
        f"{Frequency('second', step).words if dated else step} ({count:,} of {total:,})"
        for step, count in counted.most_common(2)
    ]
    remedy = "Sum or average the rows to equal steps first, such as one a day; where only the order counts, leave the "
    remedy += "times out and give --time none."
    return refused(file, "the times", "equally far apart, but for gaps", " and ".join(most), remedy)
