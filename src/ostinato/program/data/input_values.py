"""The values of the chosen columns as a task takes them: texts, tokens, series, features, and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .columns import Column
from .examples import InputKind, Origin, TargetKind
from .findings import many
from .libraries import polars as pl
from .refusals import refused, shown


@dataclass(frozen=True)
class Values:
    """The inputs of N rows."""

    inputs: list[Any]
    channels: Sequence[str]
    notes: list[str] = field(default_factory=list)


def input_values(columns: Sequence[Column], kind: InputKind, file: str, origins: Sequence[Origin]) -> Values:
    """[N] inputs of the chosen columns.

    Raises InputError, with the line of the first such row, for what is no text, no number or no series.
    """
    names = [column.name for column in columns]
    if kind in ("text", "tokens"):
        column = columns[0]
        if column.kind == "other" or (column.values.dtype.is_nested() and column.kind != "tokens"):
            raise wrong_kind(file, column, "text")
        return Values(column.texts() if kind == "text" else column.token_lists(), names)
    if kind == "given":
        return given_values(columns, file, len(origins))
    if kind == "features":
        return features(columns, file, origins)
    return series(columns, file, origins)


def given_values(columns: Sequence[Column], file: str, count: int) -> Values:
    """[N] tuples of strings, one for each column; an empty cell is a value of its own."""
    cells, notes = [], []
    for column in columns:
        if column.kind in ("tokens", "series", "other"):
            raise wrong_kind(file, column, "names or numbers")
        found = column.labels()
        empty = sum(cell is None for cell in found)
        if empty:
            owner = "its" if empty == 1 else "their"
            notes.append(f"{many(empty, 'empty cell')} of {column.name} read as a value of {owner} own.")
        cells.append([cell or "" for cell in found])
    rows = list(zip(*cells)) if cells else [()] * count
    return Values(rows, [column.name for column in columns], notes)


def place(origin: Origin, row: int) -> str:
    """Where a row is, for a message."""
    return f"line {origin.line} of {origin.file}" if origin.line else f"row {row + 1} of {origin.file}"


def wrong_kind(file: str, column: Column, expected: str) -> Exception:
    """The refusal of a column that holds something else."""
    remedy = "Choose other columns by --text, --series or --features."
    return refused(
        file, f"the column {column.name}", f"of {expected}", f"{column.kind} ({column.values.dtype})", remedy
    )


def features(columns: Sequence[Column], file: str, origins: Sequence[Origin]) -> Values:
    """[N] rows of float64 [C]."""
    for column in columns:
        if column.kind not in ("number", "truth", "empty"):
            raise not_numbers(column, file, origins)
    matrix = np.stack([column.numbers for column in columns], axis=1)
    infinite = sum(column.infinite for column in columns)
    return Values(list(matrix), [column.name for column in columns], infinite_notes(infinite))


def infinite_notes(count: int) -> list[str]:
    """A note about numbers that are infinite, or too large to be finite."""
    return [f"{many(count, 'infinite number')} read as missing."] if count else []


def not_numbers(column: Column, file: str, origins: Sequence[Origin]) -> Exception:
    """The refusal of a column of which some cells are no numbers, with the first of them."""
    if column.values.dtype != pl.String or column.kind not in ("string", "time"):
        return wrong_kind(file, column, "numbers")
    bad = np.isnan(column.numbers)
    cells = column.cells.to_list()
    rows = [row for row in np.flatnonzero(bad).tolist() if cells[row] is not None]
    first = f"{shown(cells[rows[0]])} at {place(origins[rows[0]], rows[0])}"
    received = f"{many(len(rows), 'cell')} that are none, the first {first}"
    remedy = "Correct the cells, write NA where the number is missing, or leave the column out by --features."
    return refused(file, f"the column {column.name}", "of numbers", received, remedy)


def series(columns: Sequence[Column], file: str, origins: Sequence[Origin]) -> Values:
    """[N] arrays float64 [T, C], a channel for each column, or all channels of one column."""
    for column in columns:
        if column.kind != "series":
            remedy = "A cell holds all steps, such as 0.1 0.2 0.3; where a row is one step, add --group ID."
            expected = "of whole series"
            raise refused(file, f"the column {column.name}", expected, f"{column.kind} ({column.values.dtype})", remedy)
    inputs = []
    width = None
    infinite = 0
    for row, cells in enumerate(zip(*(column.series_list() for column in columns))):
        steps = [cell[:, None] if cell.ndim == 1 else cell for cell in cells]
        where = place(origins[row], row)
        if any(cell.ndim == 2 and not cell.shape[1] for cell in cells):
            remedy = "Write NaN for what is missing."
            raise refused(
                file, f"the series at {where}", "of steps of one width", "steps of several, or of none", remedy
            )
        if len({len(cell) for cell in steps}) != 1:
            received = " and ".join(str(len(cell)) for cell in steps)
            remedy = "Write NaN for the missing steps of the shorter channels."
            raise refused(file, f"the series at {where}", "of one length in all columns", f"{received} steps", remedy)
        whole = np.concatenate(steps, axis=1)
        if len(whole):
            width = width or whole.shape[1]
            if whole.shape[1] != width:
                received = many(whole.shape[1], "channel")
                raise refused(file, f"the series at {where}", f"of {many(width, 'channel')}", received, "Correct it.")
        infinite += int(np.isinf(whole).sum())
        inputs.append(np.where(np.isinf(whole), np.nan, whole))
    width = width or len(columns)
    inputs = [whole if len(whole) else np.empty((0, width)) for whole in inputs]
    names = [column.name for column in columns]
    if len(names) != width:
        names = [f"{names[0]}_{c}" for c in range(1, width + 1)]
    return Values(inputs, names, infinite_notes(infinite))


def target_values(column: Column, kind: TargetKind | None, separator: str | None) -> list[Any]:
    """[N] targets; None, or NaN of a number, where missing."""
    if kind == "number":
        return column.numbers.tolist()
    if kind == "tags":
        return column.token_lists()
    if kind == "labels":
        return [labels_of(text or "", str(separator)) for text in column.labels()]
    return column.labels()


def labels_of(text: str, separator: str) -> tuple[str, ...]:
    """The labels of one cell, each once, in their order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))
