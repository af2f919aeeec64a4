"""A table: columns, and the physical line at which each row begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .examples import Origin, Source
from .libraries import polars as pl
from .refusals import listed, refused


@dataclass(frozen=True)
class Table:
    """N rows of one or several files."""

    frame: pl.DataFrame
    """Columns of strings where the format has no types (CSV), of numbers, strings and lists where it has."""
    lines: np.ndarray
    """int64 [N]: the physical line at which each row begins, from 1; 0 in a binary file."""
    files: np.ndarray
    """int64 [N]: which of the sources each row came from."""
    sources: Sequence[Source]
    typed: bool
    """Whether the format has types, so that a number that is a string was stored as text."""
    notes: Sequence[str] = field(default_factory=tuple)

    def __len__(self) -> int:
        return self.frame.height

    def origins(self) -> list[Origin]:
        """[N]: file and line of each row."""
        names = [source.path.name for source in self.sources]
        rows = [0] * len(names)
        found = []
        for file, line in zip(self.files.tolist(), self.lines.tolist()):
            rows[file] += 1
            found.append(Origin(names[file], line, rows[file]))
        return found


@dataclass(frozen=True)
class Text:
    """The text of a file and what was found while it was read."""

    path: Path
    text: str
    sha256: str
    encoding: str
    lines: int

    def source(self, rows: int) -> Source:
        """The record of the file, once its rows are counted."""
        return Source(self.path, self.sha256, rows, self.lines, self.encoding)


def table_of(frame: pl.DataFrame, lines: np.ndarray, source: Source, typed: bool, notes: Sequence[str] = ()) -> Table:
    """One file's table.

    Raises InputError where it has no row.
    """
    if not frame.height:
        raise refused(source.path, "the table", "one with rows", "one without", "Check that it is the right file.")
    return Table(frame, lines, np.zeros(frame.height, np.int64), [source], typed, notes)


def joined(tables: Sequence[Table]) -> Table:
    """The rows of all tables, in order; they need the same columns, in any order.

    Raises InputError where the columns or their types differ.
    """
    first = tables[0]
    names = first.frame.columns
    for table in tables[1:]:
        other = table.frame.columns
        if set(other) != set(names):
            apart = sorted(set(other) ^ set(names))
            expected = f"those of {first.sources[0].path.name}"
            received = f"others: only one of the files has {listed(apart)}"
            raise refused(table.sources[0].path, "the columns", expected, received, "Give files of the same columns.")
    try:
        frame = pl.concat([table.frame.select(names) for table in tables], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        files = listed(table.sources[0].path.name for table in tables)
        kinds = "; ".join(sorted({f"{n} {t}" for table in tables for n, t in table.frame.schema.items()}))
        raise refused(files, "a column", "of one type in all files", kinds, "Make the types equal.") from error
    starts = np.cumsum([0, *(len(table.sources) for table in tables)])
    return Table(
        frame,
        np.concatenate([table.lines for table in tables]),
        np.concatenate([table.files + start for table, start in zip(tables, starts)]),
        [source for table in tables for source in table.sources],
        first.typed,
        [note for table in tables for note in table.notes],
    )
