"""JSON lines, and one JSON list of objects: an object a row, its keys the columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .decoding import unified
from .libraries import polars as pl
from .refusals import refused, shown
from .tables import Table, Text, table_of

SPACE = re.compile(r"[ \t\n\r]*")


def read_json_lines(file: Text) -> Table:
    """The table of a file with one JSON object on each line.

    Raises InputError with the line for what is no object, and for a column of different kinds.
    """
    lines = unified(file.text).split("\n")
    rows = [(line, parsed(file, line, text)) for line, text in enumerate(lines, 1) if text.strip()]
    return table_from(file, rows)


def read_json(file: Text) -> Table:
    """The table of a file that is one JSON list of objects, or JSON lines under the name .json.

    Raises InputError as `read_json_lines` does.
    """
    text = unified(file.text)
    if text.lstrip()[:1] == "[":
        return table_from(file, list(items(file, text)))
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return read_json_lines(file)  # refuses the first line that is no object
    if isinstance(whole, dict) and text.strip().count("\n"):
        remedy = "Write a list of objects, one a row: [{…}, {…}]."
        raise refused(file.path, "the JSON", "a list of objects, or an object on each line", "one object", remedy)
    return read_json_lines(file)


def parsed(file: Text, line: int, text: str) -> Any:
    """One JSON value."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        found = f"{shown(text)} ({getattr(error, 'msg', 'nested too deeply')})"
        raise refused(file.path, f"line {line}", "one JSON object", found, "Write each row on one line.") from error


def items(file: Text, text: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of every item of a JSON list."""
    decoder = json.JSONDecoder()
    line, counted = 1, 0
    place = text.index("[") + 1
    expected = "item"
    while True:
        place = SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too
        line += text.count("\n", counted, place)
        counted = place
        mark = text[place : place + 1]
        if mark == "]" and expected != "item after a comma":
            if text[place + 1 :].strip():
                raise refused(file.path, f"line {line}", "the end of the file", "text after the list", "Remove it.")
            return
        if expected == "comma":
            if mark != ",":
                found = shown(text[place : place + 20]) if mark else "the end of the file"
                raise refused(file.path, f"line {line}", "a comma or the end of the list", found, "Complete the file.")
            place, expected = place + 1, "item after a comma"
            continue
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            found = shown(text[place : place + 40]) if mark else "the end of the file"
            raise refused(file.path, f"line {line}", "a JSON object", found, "Complete the file.") from error
        yield line, value
        expected = "comma"


def table_from(file: Text, rows: list[tuple[int, Any]]) -> Table:
    """The table of parsed objects; a key that a row lacks is a missing value."""
    for line, row in rows:
        if not isinstance(row, dict):
            remedy = 'Such as {"text": "fine", "label": "good"}.'
            raise refused(file.path, f"line {line}", "a JSON object", shown(row), remedy)
    names = list(dict.fromkeys(key for _, row in rows for key in row))
    if rows and not names:
        raise refused(file.path, "the objects", "of at least one key", "empty", 'Such as {"text": "fine"}.')
    columns = [column(file, name, [(line, row.get(name)) for line, row in rows]) for name in names]
    return table_of(pl.DataFrame(columns), np.array([n for n, _ in rows], np.int64), file.source(len(rows)), True)


def column(file: Text, name: str, cells: list[tuple[int, Any]]) -> pl.Series:
    """One column: of booleans, whole numbers, numbers, strings or lists, by the first kind that all cells are of."""
    kinds: dict[str, int] = {}
    for line, value in cells:
        if value is not None:
            kinds.setdefault(kind_of(value), line)
    values = [value for _, value in cells]
    if set(kinds) <= {"whole number"}:
        small = all(value is None or abs(value) < 2**63 for value in values)
        return pl.Series(name, values, dtype=pl.Int64) if small else decimal(name, values)
    if set(kinds) <= {"whole number", "number"}:
        return decimal(name, values)
    if len(kinds) == 2 and "empty list" in kinds and any(kind.startswith("list of") for kind in kinds):
        kinds.pop("empty list")
    if len(kinds) > 1:
        (first, here), (other, there) = list(kinds.items())[:2]
        expected = f"of one kind in every row ({first} at line {here})"
        raise refused(
            file.path, f"the value of {shown(name)}", expected, f"{other} at line {there}", "Make them equal."
        )
    kind = next(iter(kinds))
    if kind not in TYPES:
        remedy = "Use strings, numbers, lists of strings, or lists of numbers [T] or [[…], …] of shape [T, C]."
        raise refused(file.path, f"the value of {shown(name)} at line {kinds[kind]}", "a value or a list", kind, remedy)
    try:
        return pl.Series(name, values, dtype=TYPES[kind])
    except (UnicodeError, TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise refused(
            file.path, f"the values of {shown(name)}", f"each a {kind}", error, "Correct the file."
        ) from error


TYPES: Mapping[str, Any] = {
    "truth value": pl.Boolean,
    "string": pl.String,
    "empty list": pl.List(pl.Float64),
    "list of strings": pl.List(pl.String),
    "list of numbers": pl.List(pl.Float64),
    "list of lists of numbers": pl.List(pl.List(pl.Float64)),
}


def decimal(name: str, values: list[Any]) -> pl.Series:
    """Numbers as float64; one that is too large is infinite, which the columns' reader counts as missing."""

    def number(value: Any) -> float | None:
        try:
            return None if value is None else float(value)
        except OverflowError:
            return float("inf")

    return pl.Series(name, [number(value) for value in values], dtype=pl.Float64)


def kind_of(value: Any) -> str:
    """The kind of a JSON value, in words."""
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int):
        return "whole number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        if not value:
            return "empty list"
        inner = {kind_of(item) for item in value if item is not None}
        if inner <= {"whole number", "number"}:
            return "list of numbers"
        if inner == {"string"}:
            return "list of strings"
        if inner <= {"list of numbers", "empty list"}:
            return "list of lists of numbers"
        return "list of different kinds"
    return "object"
