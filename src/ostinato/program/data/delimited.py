"""Delimited text: comma, semicolon, tab or bar, quotes, line breaks inside quotes, a header or names from the user.

The standard library's parser reads the records: it is strict about quotes and gives the physical line of every record.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np

from .findings import many
from .libraries import polars as pl
from .refusals import listed, refused, shown
from .tables import Table, Text, table_of

SEPARATORS = (",", ";", "\t", "|")
SAMPLE = 200
"""Records by which the separator is chosen."""
FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
DECIMAL_COMMA = r"^\s*[+-]?\d+(,\d+)?\s*$"
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_delimited(file: Text, columns: Sequence[str], tabs: bool) -> Table:
    """The table of a delimited text; `columns` names the columns of a file without a header, `tabs`: a TSV file.

    Raises InputError for a record of another width than the header, an unclosed quote, a header that is none.
    """
    notes: list[str] = []
    separator = "\t" if tabs else separator_of(file.text, len(columns))
    records = records_of_file(file, separator, bool(columns), notes)
    blank = sum(not record for _, record in records)
    if blank:
        notes.append(f"{file.path.name}: {many(blank, 'blank line')} skipped.")
    records = [pair for pair in records if pair[1]]
    names = names_of(file, records, columns, notes)
    rows = records if columns else records[1:]
    refuse_ragged(file, rows, len(names), separator, bool(columns))
    cells = list(zip(*(record for _, record in rows))) if rows else [() for _ in names]
    frame = pl.DataFrame([pl.Series(name, list(values), dtype=pl.String) for name, values in zip(names, cells)])
    if separator == ";":
        frame = with_decimal_points(file, frame, notes)
    lines = np.array([line for line, _ in rows], np.int64)
    return table_of(frame, lines, file.source(len(rows)), False, notes)


def records_of_file(file: Text, separator: str, named: bool, notes: list[str]) -> list[tuple[int, list[str]]]:
    """All records of a file; `named` where it has no header, `notes` says where quotes are read as characters.

    Between tabs a quote is a character, as programs of translation and of corpora write it: a sentence may begin with
    one and end without. It is not where some cell needs quotes: one with a quote written twice, under a header, or
    one with a line break or a tab, without which the rows have unequal numbers of cells. Nor is it where the header,
    or every cell of a file without one, is in quotes.

    Raises InputError for quotes that enclose no whole cell, unless a tab divides the cells.
    """
    try:
        quoted = list(records_of(file, separator, quotes=True))
    except csv.Error as error:
        if separator != "\t":
            raise refused_quotes(file, separator, error) from error
        quoted = []
    if separator != "\t" or (quoted and '"' not in file.text):
        return quoted
    plain = list(records_of(file, separator, quotes=False))
    reason = "because they do not enclose whole cells"
    if quoted:
        doubled = not named and any('"' in cell for _, record in quoted for cell in record) and '""' in file.text
        enclosed = _all_enclosed(plain if named else plain[:1])
        if doubled or enclosed or not _even(plain):
            return quoted
        reason = "as between tabs they are"
    notes.append(f"{file.path.name}: quotes are read as characters, {reason}.")
    return plain


def _even(records: list[tuple[int, list[str]]]) -> bool:
    """Whether all records have equally many cells; blank lines have none."""
    return len({len(record) for _, record in records if record}) <= 1


def _all_enclosed(records: list[tuple[int, list[str]]]) -> bool:
    """Whether every cell is between quotes."""
    return all(len(cell) > 1 and cell[0] == '"' == cell[-1] for _, record in records for cell in record)


@contextmanager
def long_cells() -> Iterator[None]:
    """No limit on the length of a cell: a text may have millions of characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def records_of(file: Text, separator: str, quotes: bool) -> Iterator[tuple[int, list[str]]]:
    """(first physical line, cells) of every record; a blank line is a record without cells."""
    style: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    with long_cells():
        reader = csv.reader(io.StringIO(file.text, newline=""), delimiter=separator, quoting=style, strict=True)
        line = 1
        for record in reader:
            yield line, record
            line = reader.line_num + 1


def separator_of(text: str, width: int) -> str:
    """The separator with which the first records have the header's width, wider than one cell, most often.

    With the names of `width` columns, the one that gives so many cells, if there is one. Where none divides, a comma:
    one column. Between tabs quotes are characters.
    """
    best, choice = (0.0, 0), ""
    for separator in SEPARATORS:
        widths: list[int] = []
        style: Literal[0, 3] = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=style)
        with long_cells():
            try:
                for record in reader:
                    if record:
                        widths.append(len(record))
                    if len(widths) >= SAMPLE:
                        break
            except csv.Error:
                continue
        if not widths or (width and widths[0] != width) or (not width and widths[0] < 2):
            continue
        score = (sum(w == widths[0] for w in widths) / len(widths), widths[0])
        if score > best:
            best, choice = score, separator
    if not choice and width:
        return separator_of(text, 0)
    return choice or ","


def refused_quotes(file: Text, separator: str, error: csv.Error) -> Exception:
    """The refusal of a record whose quotes enclose no whole cell, with its line."""
    line = 1
    try:
        for start, _ in records_of(file, separator, quotes=True):
            line = start + 1
    except csv.Error:
        remedy = 'Write a quote inside a quoted cell twice: "a ""b"" c".'
        found = f"one that is left open or followed by text ({error})"
        return refused(file.path, f"a quote of the record after line {line - 1}", "around a whole cell", found, remedy)
    raise error


def names_of(file: Text, records: list[tuple[int, list[str]]], columns: Sequence[str], notes: list[str]) -> list[str]:
    """The names of the columns, from the user or from the first record."""
    first = [cell.strip() for cell in records[0][1]]
    if columns:
        names = [name.strip() for name in columns]
        if len(names) != len(first):
            received = f"{many(len(names), 'name')} ({listed(names)})"
            remedy = f"The first line is {shown(records[0][1])}."
            if len(names) < len(first):
                remedy = f"Name every column; one that no other option names is left out. {remedy}"
            raise refused(file.path, "--columns", f"{many(len(first), 'name')}, one for each cell", received, remedy)
        if first == names:
            raise refused(file.path, "--columns", "left out", "the names that line 1 already has", "Leave it out.")
    else:
        numbers = [cell for cell in first if FRACTION.fullmatch(cell)]
        if numbers:
            remedy = "If the file has no header, name its columns: --columns a,b,c."
            raise refused(file.path, "the first line", "the names of the columns", shown(records[0][1]), remedy)
        names = [name or f"column_{place}" for place, name in enumerate(first, 1)]
        if "" in first:
            unnamed = listed(name for name, cell in zip(names, first) if not cell)
            notes.append(f"{file.path.name}: a column without a name is called {unnamed}.")
    twice = [name for name, count in Counter(names).items() if count > 1 or not name]
    if twice:
        remedy = "Rename one, or, if the file has no header, name its columns: --columns a,b,c."
        raise refused(
            file.path, "the names of the columns", "different from each other", f"{listed(twice)} twice", remedy
        )
    return names


def refuse_ragged(file: Text, rows: list[tuple[int, list[str]]], width: int, separator: str, named: bool) -> None:
    """Raises InputError for the first record that has more or fewer cells than there are columns."""
    for line, record in rows:
        if len(record) != width:
            expected = many(width, "cell") + (" as --columns says" if named else " as in the header")
            remedy = f"The cells are divided by the {NAMES[separator]}; quote a cell that holds one."
            raise refused(file.path, f"line {line}", expected, many(len(record), "cell"), remedy)


def with_decimal_points(file: Text, frame: pl.DataFrame, notes: list[str]) -> pl.DataFrame:
    """Columns of a semicolon file that hold numbers such as 1,5 with a point instead."""
    changed = []
    for name in frame.columns:
        cells = frame[name].filter(frame[name].str.strip_chars() != "")
        if cells.len() and cells.str.contains(",").any() and cells.str.contains(DECIMAL_COMMA).all():
            changed.append(name)
    if changed:
        notes.append(f"{file.path.name}: the comma is read as the decimal point in {listed(changed)}.")
    return frame.with_columns([pl.col(name).str.replace(",", ".", literal=True) for name in changed])
