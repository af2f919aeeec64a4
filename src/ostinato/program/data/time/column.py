"""The times of a column: whole numbers, or dates in one of the usual ways of writing, as numpy holds them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..columns import Column
from ..libraries import polars as pl
from ..refusals import refused, shown
from .frequency import written
from .years import WORDS, outside

ZONE = r"\s*(Z|UTC|[+-]\d{2}:?\d{2})$"
DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
AMBIGUOUS = {"%d/%m/%Y": "%m/%d/%Y", "%d-%m-%Y": "%m-%d-%Y"}
HOURS = ("", " %H:%M:%S", "T%H:%M:%S", " %H:%M", "T%H:%M", " %H:%M:%S%.f", "T%H:%M:%S%.f")
MONTHS = (("", "-01", "%Y-%m-%d"), ("", "/01", "%Y/%m/%d"), ("1 ", "", "%d %b %Y"), ("1 ", "", "%d %B %Y"))
"""What is put before and behind a month without a day, and how the whole is written."""
EPOCH = {10: 1, 13: 1_000}
"""Digits of a number → how many of its units a second has."""
REMEDY = "Write dates as 2020-01-31 or 2020-01-31 13:00:00, or whole numbers."


@dataclass(frozen=True)
class Times:
    """The times of N rows."""

    values: np.ndarray
    """[N] int64 or datetime64[s], in the order of the rows."""
    notes: list[str] = field(default_factory=list)


def times_of(column: Column, file: str, place: Callable[[int], str]) -> Times:
    """The times of a column; `place` gives the place of a row for messages.

    Raises InputError for a row without a time, for cells that are no time, for dates whose day and month may be
    exchanged, for fractions of a second, and for dates outside of the years 1 to 9999.
    """
    found = _times_of(column, file, place)
    bad = np.flatnonzero(outside(found.values))
    if len(bad):
        row = int(bad[0])
        typed, read = column.cells[row], written(found.values[[row]])[0]
        received = f"{shown(typed)} at {place(row)}" + ("" if read in typed else f", read as {read}")
        raise refused(file, f"the times of {column.name}", WORDS, received, "Correct it, or leave the row out.")
    return found


def _times_of(column: Column, file: str, place: Callable[[int], str]) -> Times:
    if column.values.len() != column.filled:
        row = int(np.flatnonzero(empty(column))[0])
        remedy = "Fill it, or leave the row out."
        raise refused(file, f"the time {column.name} at {place(row)}", "filled in every row", "an empty cell", remedy)
    if column.kind == "number":
        return _numbers(column, file, place)
    if column.values.dtype in (pl.Date, pl.Datetime):
        return _typed(column, file)
    if column.values.dtype != pl.String:
        expected = "of dates or whole numbers"
        raise refused(file, f"the column {column.name}", expected, str(column.values.dtype), REMEDY)
    return _texts(column, file, place)


def empty(column: Column) -> np.ndarray:
    """bool [N]: rows without a value."""
    cells = column.cells if column.values.dtype == pl.String else column.values
    return cells.is_null().to_numpy()


def _numbers(column: Column, file: str, place: Callable[[int], str]) -> Times:
    """Whole numbers, of which some are dates: 20200131, 202001, and seconds since 1970."""
    numbers = column.numbers
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) > 2.0**53))
    if len(wrong):
        row = int(wrong[0])
        received = f"{shown(column.values[row])} at {place(row)}"
        raise refused(file, f"the times of {column.name}", "dates or whole numbers", received, REMEDY)
    whole = numbers.astype(np.int64)
    digits = {len(str(n)) for n in (int(whole.min()), int(whole.max()))}
    if digits == {8} and 15000101 <= whole.min() and whole.max() <= 22001231:
        dates = pl.Series(whole).cast(pl.String).str.strptime(pl.Datetime, "%Y%m%d", strict=False)
        if not dates.null_count():
            return Times(_seconds(dates), [f"{column.name} is read as dates, such as {whole[0]} as YYYYMMDD."])
    months = whole % 100
    if digits == {6} and 150001 <= whole.min() and whole.max() <= 220012 and ((months >= 1) & (months <= 12)).all():
        count = (whole // 100 - 1970) * 12 + months - 1
        values = count.astype("datetime64[M]").astype("datetime64[s]")
        return Times(values, [f"{column.name} is read as months, such as {whole[0]} as YYYYMM."])
    if len(digits) == 1 and (size := EPOCH.get(*digits)):
        note = f"{column.name} is read as {'milliseconds' if size > 1 else 'seconds'} since 1970."
        if (whole % size).any():
            raise fractions(file, column.name)
        return Times((whole // size).astype("datetime64[s]"), [note])
    return Times(whole)


def _typed(column: Column, file: str) -> Times:
    """Dates of a format that has them; with a time zone as `with_zone` says."""
    values = column.values
    zone = getattr(values.dtype, "time_zone", None)
    if zone is None:
        return Times(_whole_seconds(values.cast(pl.Datetime("us")), file, column.name))
    local = values.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    return _with_zone(column.name, file, local, utc)


def _texts(column: Column, file: str, place: Callable[[int], str]) -> Times:
    cells = column.cells
    zones = cells.str.extract(ZONE, 1)
    dated = cells.str.contains(r"\d:\d")
    zones = zones.set(~dated, None)
    if zones.null_count() < len(zones):
        plain = cells.str.replace(ZONE, "").zip_with(dated, cells)
        local = _naive(plain, column.name, file, place, cells)
        if zones.null_count():
            row = int(np.flatnonzero(zones.is_null().to_numpy())[0])
            received = f"{shown(cells[row])} at {place(row)}"
            expected = "all with a time zone, or all without"
            raise refused(file, f"the times of {column.name}", expected, received, "Write them in one way.")
        offsets = np.array([_offset(zone) for zone in zones.to_list()], "timedelta64[s]")
        utc = pl.Series((local.to_numpy().astype("datetime64[us]") - offsets).astype("datetime64[us]"))
        return _with_zone(column.name, file, local, utc)
    quarters = cells.str.extract_groups(r"^(\d{4})[- ]?[Qq]([1-4])$")
    years = quarters.struct.field("1")
    if not years.null_count():
        months = (years.cast(pl.Int64) - 1970) * 12 + (quarters.struct.field("2").cast(pl.Int64) - 1) * 3
        note = f"{column.name} is read as quarters, such as {cells[0]} as their first day."
        return Times(months.to_numpy().astype("datetime64[M]").astype("datetime64[s]"), [note])
    months_only = _months(cells)
    if months_only is not None:
        return Times(_whole_seconds(months_only, file, column.name))
    return Times(_whole_seconds(_naive(cells, column.name, file, place, cells), file, column.name))


def _months(cells: pl.Series) -> pl.Series | None:
    """Months without a day, such as 1949-01 or Jan 1949: their first day; None where a cell is something else."""
    for before, after, style in MONTHS:
        found = (before + cells + after).str.strptime(pl.Datetime("us"), style, strict=False)
        if not found.null_count():
            return found
    return None


def _naive(cells: pl.Series, name: str, file: str, place: Callable[[int], str], typed: pl.Series) -> pl.Series:
    """The dates by the one style that reads every cell."""
    best, most = None, -1
    for date in DATES:
        for hours in HOURS:
            found = cells.str.strptime(pl.Datetime("us"), date + hours, strict=False)
            count = len(found) - found.null_count()
            if count > most:
                best, most = found, count
            if count == len(cells):
                other = AMBIGUOUS.get(date)
                if other is not None:
                    second = cells.str.strptime(pl.Datetime("us"), other + hours, strict=False)
                    if not second.null_count() and (second != found).any():
                        raise _day_or_month(cells, found, second, name, file, place)
                return found
    assert best is not None
    row = int(np.flatnonzero(best.is_null().to_numpy())[0])
    received = f"{shown(typed[row])} at {place(row)}"
    raise refused(file, f"the times of {name}", "dates of one form, or whole numbers", received, REMEDY)


def _day_or_month(
    cells: pl.Series, first: pl.Series, second: pl.Series, name: str, file: str, place: Callable[[int], str]
) -> Exception:
    """The refusal of dates of which each could have its day or its month first."""
    row = int(np.flatnonzero((first != second).to_numpy())[0])
    received = f"{shown(cells[row])} at {place(row)}, {first[row]:%Y-%m-%d} or {second[row]:%Y-%m-%d}"
    remedy = "No date of the file has a day above 12; write them as 2020-01-31."
    return refused(file, f"the times of {name}", "dates whose day and month differ clearly", received, remedy)


def _offset(zone: str) -> int:
    """Seconds that a zone such as +01:00 is ahead of UTC."""
    if zone[0] not in "+-":
        return 0
    digits = re.sub(r"\D", "", zone)
    return (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 3_600 + int(digits[2:]) * 60)


def _with_zone(name: str, file: str, local: pl.Series, utc: pl.Series) -> Times:
    """UTC; the local dates where all times are midnight there, because such days are not equally long in UTC."""
    dates, moments = _whole_seconds(local, file, name), _whole_seconds(utc, file, name)
    if (dates == dates.astype("datetime64[D]")).all():
        return Times(dates, [f"The time zone of {name} is left out: all its times are midnight there, so dates."])
    return Times(moments, [f"The times of {name} have a time zone; they are converted to UTC."])


def _seconds(values: pl.Series) -> np.ndarray:
    return values.to_numpy().astype("datetime64[s]")


def _whole_seconds(values: pl.Series, file: str, name: str) -> np.ndarray:
    found = _seconds(values)
    if (found != values.to_numpy()).any():
        raise fractions(file, name)
    return found


def fractions(file: str, name: str) -> Exception:
    """The refusal of times between two seconds."""
    remedy = "Leave the times out with --time none, so that rows count as steps."
    return refused(file, f"the times of {name}", "whole seconds", "fractions of a second", remedy)
