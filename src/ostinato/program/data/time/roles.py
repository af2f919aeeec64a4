"""The columns of a forecast: times, names of series, targets, and what is known beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...options import DataOptions
from ..columns import NUMBER, SERIES_IDS, TIME_NAMES, Column
from ..findings import many
from ..libraries import polars as pl
from ..refusals import listed, refused, shown
from ..roles import require
from .asked import ALL

NONE = "none"
"""As --time: the rows count as steps."""
TARGETS = ("y", "value", "target")
NUMBERS = ("number", "truth")


@dataclass(frozen=True)
class TimeRoles:
    """Which column is what."""

    time: str | None
    """None: the rows count as steps."""
    id: str | None
    """None: the file holds one series."""
    targets: Sequence[str]
    known: Sequence[str]
    """Covariates that are known ahead."""
    past: Sequence[str]
    """Covariates that are known up to the origin."""
    left: Sequence[str]
    """Columns that are not read."""
    said: list[str] = field(default_factory=list)
    """How columns were found that the user did not name."""


def find_roles(
    columns: Mapping[str, Column], options: DataOptions, file: str, place: Callable[[int], str]
) -> TimeRoles:
    """The roles of the columns, as the options say or by the usual names; `place` names a row in messages.

    Raises InputError for a column that is not there, that is named twice or holds no numbers, and where no target
    or several usual ones were found.
    """
    said: list[str] = []
    time = _time(columns, options, file, said)
    name = _id(columns, options, file, said)
    taken = {n for n in (time, name, *options.future, *options.series) if n}
    free = [n for n in columns if n not in taken and n != "split"]
    asked = () if options.target is None else tuple(part.strip() for part in options.target.split(","))
    if asked == (ALL,) and ALL not in columns:
        targets = tuple(n for n in free if columns[n].kind in NUMBERS)
        if not targets:
            raise refused(file, "--target all", "columns of numbers", f"columns {listed(columns)}", "Name the target.")
    else:
        targets = asked or _usual_target(columns, free, file, said)
    named = [n for n in (time, name, *targets, *options.future, *options.series) if n]
    twice = [n for n in dict.fromkeys(named) if named.count(n) > 1]
    if twice:
        remedy = "Name each column once among --time, --id, --target, --future and --series."
        raise refused(file, f"the column {twice[0]}", "in one role", "two", remedy)
    for one in (*targets, *options.future, *options.series):
        require(one, columns, file)
        if numbers_of(columns[one]) is None or (columns[one].kind == "empty" and one in targets):
            raise _no_numbers(columns[one], file, place)
    left = [n for n in columns if n not in named and n != "split"]
    return TimeRoles(time, name, targets, tuple(options.future), tuple(options.series), left, said)


def _no_numbers(column: Column, file: str, place: Callable[[int], str]) -> Exception:
    """The refusal of a column that is not all numbers: what it is, or the first cell that is none."""
    remedy = "Give classes as numbers, such as 0 and 1, or name other columns."
    if column.kind == "empty" or column.said_missing == column.filled:
        remedy = "Write the numbers, and NA where one is missing."
        return refused(file, f"the column {column.name}", "of numbers", "no value in any row", remedy)
    found = f"{column.kind} ({column.values.dtype})"
    if column.kind == "string" and np.isfinite(column.numbers).any():
        bad = np.flatnonzero(np.isnan(column.numbers) & column.cells.is_not_null().to_numpy())
        verb = "is" if len(bad) == 1 else "are"
        first = f"{shown(column.cells[int(bad[0])])} at {place(int(bad[0]))}"
        found = f"{many(len(bad), 'cell')} that {verb} none, the first {first}"
        remedy = "Correct it, or write NA where the number is missing."
    return refused(file, f"the column {column.name}", "of numbers", found, remedy)


def numbers_of(column: Column) -> np.ndarray | None:
    """float64 [R]: the numbers of a column, 1 and 0 of true and false; None of a column of something else."""
    if column.kind in (*NUMBERS, "empty"):
        return column.numbers
    if column.kind != "string":
        return None
    words = column.cells.str.to_lowercase()
    if not words.drop_nulls().is_in(["true", "false"]).all():
        return None
    return (words == "true").cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _time(columns: Mapping[str, Column], options: DataOptions, file: str, said: list[str]) -> str | None:
    """The column of times: as named, else the one with a usual name or the only one of dates, else none."""
    if options.time is not None:
        if options.time == NONE and NONE not in columns:
            return None
        require(options.time, columns, file)
        return options.time
    free = [n for n in columns if n not in (options.id, options.target, *options.future, *options.series)]
    usual = [n for n in free if n.lower() in TIME_NAMES and columns[n].kind in ("time", "number", "string")]
    found = usual or [n for n in free if columns[n].kind == "time"]
    if len(found) > 1 and "ds" in found:
        found = ["ds"]
    if len(found) > 1:
        remedy = f"Choose by --time {found[0]}, or --time none where rows count as steps."
        raise refused(file, "--time", "the column of times", f"{listed(found)}, any of which could be it", remedy)
    if not found:
        said.append("without a column of times, the rows count as steps")
        return None
    said.append(f"the column of times is {found[0]}, by {'its name' if usual else 'its dates'}")
    return found[0]


def _id(columns: Mapping[str, Column], options: DataOptions, file: str, said: list[str]) -> str | None:
    """The column of names of series: as named, else one with a usual name."""
    if options.id is not None:
        require(options.id, columns, file)
        return options.id
    usual = [n for n in SERIES_IDS if n in columns and n not in (options.target, options.time)]
    if not usual:
        return None
    said.append(f"the series are named by {usual[0]}")
    return usual[0]


def _usual_target(columns: Mapping[str, Column], free: Sequence[str], file: str, said: list[str]) -> tuple[str, ...]:
    """The target where the user named none: a usual name, or the only column of numbers."""
    numbers = [n for n in free if columns[n].kind in NUMBERS]
    usual = [n for n in numbers if n.lower() in TARGETS]
    found = usual if usual else numbers
    if len(found) != 1:
        received = f"{listed(found)}, any of which could be it" if found else f"columns {listed(columns)}"
        remedy = "Give --target COLUMN, several with commas between, or --target all."
        raise refused(file, "--target", "the column to be forecast", received, remedy)
    if re.fullmatch(NUMBER, found[0]):
        remedy = "If the file has no header, name its columns: --columns y."
        raise refused(file, "the first line", "the names of the columns", shown(found[0]), remedy)
    said.append(f"the target is {found[0]}, {'by its name' if usual else 'the only column of numbers'}")
    return (found[0],)
