"""Rows with times → series on a regular grid: sorted, repeated rows dropped, gaps as missing values.

Letters: R rows of a table, N steps of a series, K targets, P covariates of the past, F covariates known ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..findings import Finding, Severity, many
from ..refusals import listed, refused
from .frequency import Frequency, written
from .spacing import frequency_of
from .windows import Series


@dataclass(frozen=True)
class TimedRows:
    """The rows of a table as numbers."""

    file: str
    names: Sequence[str]
    """[S]: the series, in the order of their first rows."""
    series: np.ndarray
    """int64 [R]: which of the series each row belongs to."""
    times: np.ndarray
    """[R] int64 or datetime64[s]"""
    values: np.ndarray
    """float64 [R, K]"""
    past: np.ndarray
    """float64 [R, P]"""
    known: np.ndarray
    """float64 [R, F]"""
    place: Callable[[int], str]
    """Where a row is, for messages."""


@dataclass
class Grids:
    """Series on their grids, and what had to be done for that."""

    series: list[Series]
    rows: list[np.ndarray]
    """For each series int64 [N + ahead]: the row of each step; of a gap, the row before."""
    frequency: Frequency
    findings: list[Finding] = field(default_factory=list)


def grids_of(rows: TimedRows, whole: bool = False, frequency: Frequency | None = None) -> Grids:
    """The series of a table.

    whole: whether a series has all of its rows, instead of those from its first to its last value.
    frequency: on whose grid all times lie; None: it is found.

    Raises InputError for two rows of one time that differ, for series without a value, and where no frequency fits.
    """
    order, dropped, moved = _sorted(rows)
    trimmed = [_trimmed(rows, own) if not whole else Trimmed(own, len(own), 0, 0) for own in order]
    frequency = frequency or frequency_of([rows.times[part.rows] for part in trimmed], rows.file)
    grids = Grids([], [], frequency)
    gaps: list[str] = []
    for name, part in zip(rows.names, trimmed):
        own = part.rows
        steps = frequency.between(rows.times[own[0]], rows.times[own])
        missing = np.setdiff1d(np.arange(steps[-1] + 1), steps)
        times = frequency.grid(rows.times[own[0]], int(steps[-1]) + 1)
        gaps += [_named(name, rows, time) for time in written(times[missing])]
        values, past, known = (_spread(a[own], steps) for a in (rows.values, rows.past, rows.known))
        last = int(steps[part.filled - 1]) + 1
        grids.series.append(Series(name, times, values[:last], past[:last], known, frequency))
        grids.rows.append(own[np.searchsorted(steps, np.arange(len(times)), side="right") - 1])
    _say(grids, "note", moved, "row", "was", "were", "not in the order of time; they are sorted.")
    _say(grids, "note", dropped, "row", "repeats", "repeat", "a time and its values; they are left out.")
    _say_gaps(grids, gaps)
    before, after = (sum(getattr(part, name) for part in trimmed) for name in ("before", "after"))
    ahead = sum(len(part.rows) - part.filled for part in trimmed)
    _say(grids, "note", before, "row", "comes", "come", "before the first value of a series; they are left out.")
    _say(grids, "note", after, "row", "comes", "come", "after the last value of a series; they are left out.")
    _say(grids, "note", ahead, "row", "gives", "give", "covariates after the last value of a series.")
    return grids


def _sorted(rows: TimedRows) -> tuple[list[np.ndarray], int, int]:
    """(rows of each series by time, rows that repeat another, rows whose time is before an earlier row's)."""
    order, dropped, moved = [], 0, 0
    by_series = np.argsort(rows.series, kind="stable")
    bounds = np.searchsorted(rows.series[by_series], np.arange(len(rows.names) + 1))
    for start, stop in zip(bounds[:-1], bounds[1:]):
        own = by_series[start:stop]
        times = rows.times[own]
        moved += int((times < np.maximum.accumulate(times)).sum())
        own = own[np.argsort(times, kind="stable")]
        same = np.flatnonzero(rows.times[own[1:]] == rows.times[own[:-1]])
        for at in same:
            _refuse_unequal(rows, int(own[at]), int(own[at + 1]))
        dropped += len(same)
        order.append(np.delete(own, same + 1))
    return order, dropped, moved


def _refuse_unequal(rows: TimedRows, first: int, second: int) -> None:
    """Refuses two rows of one time whose numbers differ."""
    for array in (rows.values, rows.past, rows.known):
        if not np.array_equal(array[first], array[second], equal_nan=True):
            break
    else:
        return
    time = _named(rows.names[int(rows.series[first])], rows, written(rows.times[[first]])[0])
    received = f"other values at {rows.place(second)} than at {rows.place(first)}"
    remedy = "If the file holds several series, give --id COLUMN" if len(rows.names) == 1 else "Leave one of them out"
    remedy += "; if clocks were set back, write times with their zone, such as 2020-10-25T02:00+01:00."
    raise refused(rows.file, f"the time {time}", "in one row, or in equal ones", received, remedy)


def _named(name: str, rows: TimedRows, time: str) -> str:
    """A time, with the series where there are several."""
    return time if len(rows.names) == 1 else f"{time} of {name}"


@dataclass(frozen=True)
class Trimmed:
    """The rows of a series from its first value on."""

    rows: np.ndarray
    """int64: row numbers by time; rows after the last value only where covariates are known ahead."""
    filled: int
    """Rows up to the last value."""
    before: int
    """Rows that are left out before the first value."""
    after: int
    """Rows that are left out after the last value."""


def _trimmed(rows: TimedRows, own: np.ndarray) -> Trimmed:
    """The rows of a series from its first value on."""
    given = np.flatnonzero(np.isfinite(rows.values[own]).any(axis=1))
    if not len(given):
        name = rows.names[int(rows.series[own[0]])]
        remedy = "Leave its rows out, or correct --target."
        raise refused(rows.file, f"the series {name}", "with at least one value", "none", remedy)
    first, last = int(given[0]), int(given[-1]) + 1
    stop = len(own) if rows.known.shape[1] else last
    return Trimmed(own[first:stop], last - first, first, len(own) - stop)


def _spread(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Rows on the grid, NaN in gaps; the rows themselves where there are none."""
    if len(steps) == steps[-1] + 1:
        return values
    found = np.full((int(steps[-1]) + 1, values.shape[1]), np.nan)
    found[steps] = values
    return found


def _say_gaps(grids: Grids, gaps: Sequence[str]) -> None:
    if gaps:
        sentence = f"{many(len(gaps), 'time')} {'has' if len(gaps) == 1 else 'have'} no row"
        rest = "; the values count as missing."
        finding = Finding("warning", f"{sentence}: {listed(gaps, 3)}{rest}", len(gaps), sentence + rest)
        grids.findings.append(finding)


def _say(grids: Grids, severity: Severity, count: int, noun: str, one: str, several: str, rest: str) -> None:
    if count:
        verb = one if count == 1 else several
        rest = rest.replace("; they are", "; it is") if count == 1 else rest
        grids.findings.append(Finding(severity, f"{many(count, noun)} {verb} {rest}", count))
