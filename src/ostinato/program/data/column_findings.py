"""What is odd about the columns of a table: numbers kept as text, cells that are no number, dates that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..options import DataOptions
from .columns import MOST, Column
from .examples import Origin
from .findings import Finding, many
from .libraries import polars as pl
from .refusals import shown


def column_findings(columns: Mapping[str, Column], origins: Sequence[Origin]) -> list[Finding]:
    """Findings about every column, used or not: what is wrong with it may be the reason why it is not used."""
    found: list[Finding] = []
    for column in columns.values():
        found += numbers_as_text(column, origins)
        found += broken_dates(column, origins)
    return found


def first_at(rows: np.ndarray, column: Column, origins: Sequence[Origin]) -> str:
    """The first of some cells, for a sentence."""
    row = int(rows[0])
    where = f"line {origins[row].line}" if origins[row].line else f"row {row + 1}"
    return f"{shown(column.cells[row], 40)} at {where}"


def numbers_as_text(column: Column, origins: Sequence[Origin]) -> Iterator[Finding]:
    """Numbers in a column of strings: all of them, or most."""
    if column.values.dtype.is_nested() or not column.filled:
        return
    text = column.values.dtype == pl.String
    if not text:
        return
    good = np.isfinite(column.numbers)
    count = int(good.sum())
    if column.kind == "number" and column.typed:
        yield Finding("note", f"Column {column.name} stores its numbers as text; they are read as numbers.", count)
    if column.kind == "string" and count >= MOST * column.filled:
        filled = column.cells.is_not_null().to_numpy()
        rows = np.flatnonzero(filled & ~good)
        sentence = f"Column {column.name} is text because {many(len(rows), 'cell')} of {column.filled:,} "
        sentence += f"{'is' if len(rows) == 1 else 'are'} no number"
        first = f", the first {first_at(rows, column, origins)}."
        yield Finding("warning", sentence + first, len(rows), f"{sentence}.")


def broken_dates(column: Column, origins: Sequence[Origin]) -> Iterator[Finding]:
    """Cells that are no date in a column of dates."""
    if column.kind != "string":
        return
    dates = column.parsed_dates.is_not_null().to_numpy()
    rows = np.flatnonzero(column.cells.is_not_null().to_numpy() & ~dates)
    if dates.sum() >= MOST * column.filled and len(rows):
        sentence = f"Column {column.name} has {many(len(rows), 'cell')} that cannot be read as a date"
        first = f", the first {first_at(rows, column, origins)}."
        yield Finding("warning", sentence + first, len(rows), f"{sentence}.")


def steps_in_rows(columns: Mapping[str, Column], options: DataOptions) -> Iterator[Finding]:
    """A table read row by row in which a column of names numbers blocks of rows: each block may be one series."""
    if options.group is not None or not options.features:
        return
    for name in options.features:
        column = columns.get(name)
        if column is None or name.lower() not in SERIES_NAMES:
            continue
        values = column.numbers
        blocks = 1 + int((values[1:] != values[:-1]).sum()) if len(values) else 0
        if blocks == column.distinct and 1 < blocks <= len(values) // 3:
            others = ",".join(n for n in options.features if n != name)
            sentence = f"Column {name} has {blocks:,} values, each in a block of rows. If a block is one series, "
            yield Finding("warning", f"{sentence}write --group {name} --series {others}.", blocks)


SERIES_NAMES = ("id", "series", "series_id", "unique_id", "item_id", "unit", "subject", "session", "sequence", "case")
"""Names that columns of series' names have, in small letters."""
