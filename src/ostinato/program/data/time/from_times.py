"""A table with times → windows: the rows of a forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...options import DataOptions
from ..columns import Column
from ..examples import Origin
from ..findings import Finding, many
from ..infer import Reading
from ..refusals import listed, refused
from ..roles import group_values
from ..rows import Read, Rows
from ..sizes import refuse_huge
from ..tables import Table
from .ahead import ahead_windows
from .asked import refuse_other_options
from .column import Times, times_of
from .findings import series_findings
from .grid import Grids, TimedRows, grids_of
from .parts import given_parts
from .roles import TimeRoles, find_roles, numbers_of
from .season import season_of, usual_context
from .split import UNUSED, cut_as_given, cut_by_time, windows_of
from .windows import Series, Window

SHARE = 0.1
"""Of a series without a season that is forecast where the user does not say how far."""


def windows_from_table(
    table: Table,
    columns: Mapping[str, Column],
    options: DataOptions,
    because: str,
    file_parts: Sequence[str] | None = None,
    with_target: bool = True,
) -> Read:
    """The windows of a table, with the part of each; without targets, the last window of each series.

    Raises InputError for columns, times or series that no forecast can be trained on.
    """
    file = listed(source.path.name for source in table.sources)
    refuse_other_options(options, "forecast", file)
    roles = find_roles(columns, options, file, row_names(table))
    rows, notes = timed_rows(table, columns, roles, file)
    grids = grids_of(rows)
    if not with_target:
        return _continued(table, grids, roles, options, notes)
    given = given_parts(table, columns, options, file_parts, file)
    horizon = options.horizon
    if horizon is None:
        horizon, said = usual_horizon(grids, options)
        notes.append(said)
    if given is None:
        codes = cut_by_time(grids.series, options, horizon)
    else:
        codes = cut_as_given(grids.series, grids.rows, given, options, horizon)
    season, sentence = season_of(training_values(grids.series, codes), grids.frequency)
    series = [replace(one, season=season) for one in grids.series]
    steps = max(int((own == 0).sum()) for own in codes)
    length = usual_context(season, horizon, steps)
    found = windows(series, codes, horizon, length)
    if not found[0]:
        longest = max(len(one.values) for one in series)
        remedy = "Give more rows, or a shorter --horizon."
        expected = f"longer than the {many(horizon, 'step')} to forecast"
        raise refused(file, "the series", expected, f"at most {many(longest, 'step')}", remedy)
    if roles.left:
        notes.append(f"{many(len(roles.left), 'column')} left out: {listed(roles.left)}.")
    unused = sum(int((own == UNUSED).sum()) for own in codes)
    if unused:
        notes.append(f"{many(unused, 'step')} of no part of the split.")
    named = replace(
        options,
        task="forecast",
        time=roles.time or "none",
        id=roles.id,
        target=",".join(roles.targets),
        horizon=horizon,
    )
    frequency = f"one step is {grids.frequency.words}" if roles.time else "one row is one step"
    reading = Reading("forecast", None, "future", "; ".join([because, *roles.said, frequency]))
    origins = [place_of(table, grids.rows[at], window.origin) for at, window in zip(found[2], found[0])]
    made = replace(
        _rows(table, roles, found[0], origins),
        targets=[window.future for window in found[0]],
        parts=found[1],
        notes=[*table.notes, *notes, sentence],
        findings=[*grids.findings, *series_findings(series, codes, roles, horizon), *left_out(found[3])],
    )
    return Read(made, reading, named)


def _rows(table: Table, roles: TimeRoles, found: list[Window], origins: Sequence[Origin]) -> Rows:
    """Windows as rows, without targets."""
    name = ",".join(roles.targets)
    return Rows("window", found, None, "future", "", origins, table.sources, roles.targets, name, successive=True)


def _continued(table: Table, grids: Grids, roles: TimeRoles, options: DataOptions, notes: list[str]) -> Read:
    """The window after the end of each series. Raises InputError where values that are known ahead are not given."""
    file = listed(source.path.name for source in table.sources)
    if options.horizon is None:
        raise refused(file, "--horizon", "the steps of the training", "none", "Give --horizon.")
    found = ahead_windows(grids.series, options.horizon, roles.known, file)
    origins = [place_of(table, rows, window.origin - 1) for rows, window in zip(grids.rows, found)]
    made = replace(_rows(table, roles, found, origins), notes=[*table.notes, *notes], findings=grids.findings)
    return Read(made, Reading("forecast", None, None, "the series are continued after their ends"), options)


def timed_rows(table: Table, columns: Mapping[str, Column], roles: TimeRoles, file: str) -> tuple[TimedRows, list[str]]:
    """The numbers of the columns, and what there is to say about the times."""
    place = row_names(table)
    if roles.id is None:
        series = np.zeros(len(table), np.int64)
        names = [table.sources[0].path.name.partition(".")[0]]
    else:
        ids = group_values(columns[roles.id], file, table, "--id")
        place_in: dict[str, int] = {}
        series = np.array([place_in.setdefault(value, len(place_in)) for value in ids], np.int64)
        names = list(place_in)
    if roles.time is None:
        times = Times(counted(series, len(names)))
    else:
        times = times_of(columns[roles.time], file, place)

    def numbers(chosen: Sequence[str]) -> np.ndarray:
        read = [numbers_of(columns[name]) for name in chosen]
        found = [column for column in read if column is not None]  # `find_roles` has refused the others
        for name, column in zip(chosen, found):
            refuse_huge(column, f"the column {name}", file)
        return np.stack(found, axis=1) if found else np.empty((len(table), 0))

    values, past, known = numbers(roles.targets), numbers(roles.past), numbers(roles.known)
    return TimedRows(file, names, series, times.values, values, past, known, place), times.notes


def row_names(table: Table) -> Callable[[int], str]:
    """Where a row is, for messages: its line, or its number where the format has no lines."""

    def place(row: int) -> str:
        line = int(table.lines[row])
        return f"line {line}" if line else f"row {row + 1}"

    return place


def counted(series: np.ndarray, count: int) -> np.ndarray:
    """int64 [R]: the place of each row among the rows of its series."""
    found = np.empty(len(series), np.int64)
    for one in range(count):
        own = np.flatnonzero(series == one)
        found[own] = np.arange(len(own))
    return found


def usual_horizon(grids: Grids, options: DataOptions) -> tuple[int, str]:
    """Steps to forecast where the user does not say: one season of the training values, or a tenth of the steps."""
    codes = cut_by_time(grids.series, options, 1)
    season, _ = season_of(training_values(grids.series, codes), grids.frequency)
    steps = max(len(one.values) for one in grids.series)
    if 1 < season <= steps // 5:
        return season, f"One season, {season} steps, is forecast; --horizon gives another number."
    found = max(1, round(SHARE * steps))
    return (
        found,
        f"{many(found, 'step')}, a tenth of the series, {'is' if found == 1 else 'are'} forecast; --horizon "
        + ("gives another number."),
    )


def training_values(series: Sequence[Series], codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each series float64 [N, K] of the training part."""
    return [one.values[own == 0] for one, own in zip(series, codes)]


def windows(
    series: Sequence[Series], codes: Sequence[np.ndarray], horizon: int, length: int
) -> tuple[list[Window], list[str], list[int], int]:
    """(windows, the part of each, the number of its series, origins that were left out) of all series."""
    least = min(length, max(series[0].season, horizon, length // 2))
    found: list[Window] = []
    parts: list[str] = []
    numbers: list[int] = []
    left = 0
    for number, (one, own) in enumerate(zip(series, codes)):
        made, named, empty = windows_of(one, own, horizon, length, least)
        found += made
        parts += named
        numbers += [number] * len(made)
        left += empty
    return found, parts, numbers, left


def place_of(table: Table, rows: np.ndarray, step: int) -> Origin:
    """The row of a step, which is the first target of a window."""
    row = int(rows[step])
    source = int(table.files[row])
    first = sum(one.rows for one in table.sources[:source])
    return Origin(table.sources[source].path.name, int(table.lines[row]), row - first + 1)


def left_out(count: int) -> list[Finding]:
    """Origins without a value in their future or before them."""
    verb = "has" if count == 1 else "have"
    sentence = f"{many(count, 'origin')} {verb} no value before or after and {'is' if count == 1 else 'are'} left out."
    return [Finding("note", sentence, count)] if count else []
