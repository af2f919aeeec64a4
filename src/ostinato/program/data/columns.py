"""What the columns of a table hold: numbers, times, texts, tokens or series, and the values as the tasks take them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from .libraries import polars as pl

Kind = Literal["number", "truth", "time", "string", "tokens", "series", "empty", "other"]
MISSING = ("", "na", "nan", "n/a", "null", "none", "?", "-")
"""What a cell of a column of numbers may say instead of a number, in any case of letters."""
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
SERIES = r"^\[*[\s\[]*NUM([\s,;\]\[]+NUM)+[\s\]]*$".replace(
    "NUM", r"([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|NaN|null|\?)"
)
DATES = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
)
DATE_LIKE = r"^\s*(\d{4}[-/]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4})"
MOST = 0.5
"""The share of the cells that have to be dates, or numbers, for the others to be reported."""


@dataclass(frozen=True)
class Column:
    """One column, and what its values are."""

    name: str
    values: pl.Series
    typed: bool
    """Whether the format has types: a number that is a string was stored as text."""

    @cached_property
    def cells(self) -> pl.Series:
        """Strings without the spaces around them; null where the cell is missing or empty."""
        dtype = self.values.dtype
        if not (dtype.is_numeric() or dtype in (pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.Null)):
            return pl.Series(self.name, [None] * self.values.len(), dtype=pl.String)
        text = self.values.cast(pl.String).str.strip_chars()
        return text.set(text == "", None)

    @cached_property
    def filled(self) -> int:
        """Rows that have a value."""
        if self.values.dtype == pl.String:
            return self.values.len() - self.cells.null_count()
        return self.values.len() - self.values.null_count()

    @cached_property
    def numbers(self) -> np.ndarray:
        """float64 [N]: NaN where the cell is no finite number."""
        return np.where(np.isfinite(self.parsed), self.parsed, np.nan)

    @cached_property
    def infinite(self) -> int:
        """Cells that are a number too large for float64, or infinite."""
        return int(np.isinf(self.parsed).sum())

    @cached_property
    def parsed(self) -> np.ndarray:
        """float64 [N]: NaN where the cell is no number, infinite where it is too large."""
        if self.values.dtype == pl.String:
            cells = self.cells
            parsed = cells.set(~cells.str.contains(NUMBER).fill_null(False), None).cast(pl.Float64, strict=False)
        else:
            parsed = self.values.cast(pl.Float64, strict=False)
        return parsed.to_numpy().astype(np.float64)

    @cached_property
    def said_missing(self) -> int:
        """Cells that say NA, nan, ? or the like."""
        return int(self.cells.str.to_lowercase().is_in(list(MISSING)).fill_null(False).sum())

    @cached_property
    def parsed_dates(self) -> pl.Series:
        """Datetimes by the format that reads most cells; null elsewhere."""
        if self.values.dtype in (pl.Date, pl.Datetime):
            return self.values.cast(pl.Datetime)
        best = pl.Series([None] * self.values.len(), dtype=pl.Datetime)
        if self.values.dtype != pl.String or not self.cells.str.contains(DATE_LIKE).any():
            return best
        months = self.cells.str.contains(r"^\d{4}-\d{2}$").fill_null(False)
        cells = self.cells.zip_with(~months, self.cells + "-01")
        for style in DATES:
            found = cells.str.strptime(pl.Datetime, style, strict=False)
            if found.null_count() < best.null_count():
                best = found
        return best

    @cached_property
    def kind(self) -> Kind:
        """What all filled cells are."""
        dtype = self.values.dtype
        if not self.filled:
            return "empty"
        if dtype == pl.Boolean:
            return "truth"
        if dtype.is_numeric():
            return "number"
        if dtype in (pl.Date, pl.Datetime):
            return "time"
        if isinstance(dtype, (pl.List, pl.Array)):
            return listed_kind(dtype)
        if dtype != pl.String:
            return "empty" if dtype == pl.Null else "other"
        count = int(np.isfinite(self.numbers).sum())
        if count and count + self.said_missing >= self.filled:
            return "number"
        if self.filled - self.parsed_dates.is_not_null().sum() == 0:
            return "time"
        if self.cells.drop_nulls().str.contains(SERIES).all():
            return "series"
        return "string"

    @cached_property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        found = self.numbers[np.isfinite(self.numbers)]
        return bool((found == np.floor(found)).all())

    @cached_property
    def distinct(self) -> int:
        """Different filled values, of numbers as numbers."""
        if self.kind == "number":
            return len(np.unique(self.numbers[np.isfinite(self.numbers)]))
        return self.cells.drop_nulls().n_unique() if self.kind not in ("tokens", "series", "other") else self.filled

    def head(self, rows: int = 50) -> Column:
        """The first rows of the column."""
        return Column(self.name, self.values.head(rows), self.typed)

    def texts(self) -> list[str]:
        """[N] strings as they are in the file; missing: the empty string. For columns of plain values only."""
        return self.values.cast(pl.String).fill_null("").to_list()

    def labels(self) -> list[str | None]:
        """[N] labels without the spaces around them; None where missing. A whole number has no decimal point."""
        if self.values.dtype.is_float() and self.whole:
            whole = self.values.fill_nan(None).cast(pl.Int64, strict=False)
            return whole.cast(pl.String).to_list()
        return self.cells.to_list()

    def token_lists(self) -> list[list[str]]:
        """[N] lists of strings: of a list column as they are, of texts the words between spaces."""
        if isinstance(self.values.dtype, (pl.List, pl.Array)):
            return [
                ["" if t is None else str(t) for t in row] if row is not None else [] for row in self.values.to_list()
            ]
        return [text.split() for text in self.texts()]

    def series_list(self) -> list[np.ndarray]:
        """[N] arrays float64 [T], or [T, C] where a cell is a list of steps with C values each."""
        if self.values.dtype == pl.String:
            return [series_of_text(text) for text in self.texts()]
        return [steps_of([] if row is None else as_floats(row)) for row in self.values.to_list()]


def listed_kind(dtype: pl.DataType) -> Kind:
    """The kind of a column of lists."""
    inner = getattr(dtype, "inner", None)
    if inner == pl.String:
        return "tokens"
    depth = 0
    while isinstance(inner, (pl.List, pl.Array)) and depth < 2:
        inner, depth = getattr(inner, "inner", None), depth + 1
    return "series" if depth < 2 and inner is not None and inner.is_numeric() else "other"


def as_floats(row: list) -> list:
    """A list of numbers, or of lists of numbers, with NaN for what is missing."""
    return [as_floats(v) if isinstance(v, list) else float("nan") if v is None else float(v) for v in row]


def series_of_text(text: str) -> np.ndarray:
    """float64 [T] of numbers between spaces, commas or semicolons; [T, C] of a JSON list of lists."""
    rows = re.findall(r"\[([^\[\]]*)\]", text) if text.strip().startswith("[[") else [text]
    steps = [[number(word) for word in re.split(r"[\s,;\[\]]+", row.strip(" []")) if word] for row in rows]
    if text.strip().startswith("[["):
        return steps_of(steps)
    return np.array(steps[0])


def steps_of(steps: list) -> np.ndarray:
    """float64 [T] of numbers, [T, C] of lists of C numbers, and [T, 0] where the lists are of different lengths."""
    if any(isinstance(step, list) for step in steps):
        widths = {len(step) if isinstance(step, list) else 0 for step in steps}
        return np.array(steps, np.float64) if len(widths) == 1 else np.empty((len(steps), 0))
    return np.array(steps, np.float64)


def number(word: str) -> float:
    """A number, NaN for what is none."""
    return float(word) if re.fullmatch(NUMBER, word) else float("nan")


def columns_of(frame: pl.DataFrame, typed: bool) -> Mapping[str, Column]:
    """Every column of a table by name; categories as strings, other types of numbers as float64."""
    found = {}
    for series in frame.get_columns():
        if series.dtype in (pl.Categorical, pl.Enum):
            series = series.cast(pl.String)
        elif isinstance(series.dtype, pl.Decimal):
            series = series.cast(pl.Float64)
        found[series.name] = Column(series.name, series, typed)
    return found


def is_row_number(column: Column) -> bool:
    """Whether a column only numbers the rows: named id, index, row or not at all, whole and different in every row."""
    name = column.name.lower()
    named = name in ("id", "index", "row", "row_id", "unnamed: 0") or re.fullmatch(r"column_1", name) is not None
    return named and column.kind == "number" and column.whole and column.distinct == column.values.len()


SERIES_IDS = ("unique_id", "item_id", "series_id")
"""Names that the column of the names of series has."""
TIME_NAMES = ("date", "ds", "timestamp", "time", "datetime", "year", "month", "day", "week")


def is_time(column: Column) -> bool:
    """Whether a column holds rising or falling times: dates, or whole numbers under a name such as year."""
    if column.kind == "time":
        steps = column.parsed_dates.drop_nulls().to_numpy().astype(np.int64)
    elif column.kind == "number" and column.name.lower() in TIME_NAMES and column.whole:
        steps = column.numbers[np.isfinite(column.numbers)]
    else:
        return False
    apart = np.diff(steps)
    return len(steps) >= 3 and bool((apart > 0).all() or (apart < 0).all())
