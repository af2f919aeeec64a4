"""The table of forecasts, in the columns that Nixtla's users know: a row for each step of each window.

Letters: N windows, H steps of the future, K series of a window, Q quantiles, M = N·K·H rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.examples import Examples
from ..data.libraries import polars as pl
from ..data.time.frequency import written
from ..data.time.windows import Window
from ..tasks.task import Predictions
from .escape import table_cell

MOST_ROWS = 200_000
"""Rows of predictions.csv; of more, origins are left out evenly."""


@dataclass(frozen=True)
class Columns:
    """What the table of forecasts has beside `unique_id` and `ds`."""

    targets: Sequence[str]
    """[K] names. Where K > 1, `unique_id` is series/target, or the target alone where the file holds one series."""
    levels: Sequence[float]
    """Percent that the bands cover; Q = 2 · levels + 1."""
    model: str = "median"
    """The name of the median's column."""
    band: str = ""
    """What is before `lo-80` and `hi-80`."""
    cutoff: bool = False
    """Whether the last time before the origin is given."""
    truth: bool = False
    """Whether the truth is given, as `y`."""
    several: bool = False
    """Whether there are other series than those of the windows, so that the name of a lone one is given as well."""


def forecast_frame(windows: Sequence[Window], predictions: Predictions, columns: Columns) -> pl.DataFrame:
    """M rows: unique_id, ds, cutoff, y, the median and the bands; times as int64 or datetimes."""
    horizon, count = len(predictions.values[0]), len(columns.targets)
    lone = not columns.several and len({window.series.name for window in windows}) == 1
    names = [unique_id(w.series.name, target, count, lone) for w in windows for target in columns.targets]
    times = np.stack([w.times[w.length : w.length + horizon] for w in windows])
    found = {
        "unique_id": np.repeat(np.array(names, object), horizon),
        "ds": np.repeat(times, count, axis=0).reshape(-1),
    }
    if columns.cutoff:
        last = np.array([w.times[w.length - 1] for w in windows])
        found["cutoff"] = np.repeat(last, count * horizon)
    if columns.truth:
        found["y"] = np.stack([w.future[:horizon] for w in windows]).swapaxes(1, 2).reshape(-1)
    found[columns.model] = np.stack([np.asarray(v) for v in predictions.values]).swapaxes(1, 2).reshape(-1)
    if predictions.quantiles is not None:
        quantiles = np.asarray(predictions.quantiles).swapaxes(1, 2).reshape(len(names) * horizon, -1)
        for level in sorted(columns.levels):
            low, high = places_of(level, columns.levels)
            found[f"{columns.band}lo-{level:g}"] = quantiles[:, low]
            found[f"{columns.band}hi-{level:g}"] = quantiles[:, high]
    return pl.DataFrame([column_of(name, values) for name, values in found.items()])


def column_of(name: str, values: np.ndarray) -> pl.Series:
    """A column of strings, numbers or times."""
    if values.dtype == object:
        return pl.Series(name, values.tolist(), dtype=pl.String)
    return pl.Series(name, values.astype("datetime64[us]") if values.dtype.kind == "M" else values)


def unique_id(series: str, target: str, targets: int, lone: bool) -> str:
    """The name of one of K series of a window."""
    if targets == 1:
        return series
    return target if lone else f"{series}/{target}"


def places_of(level: float, levels: Sequence[float]) -> tuple[int, int]:
    """The places of a band's two quantiles among all, which rise: the widest band's are the outermost."""
    place = sorted(set(levels), reverse=True).index(level)
    return place, 2 * len(set(levels)) - place


def forecasts_csv(windows: Sequence[Window], predictions: Predictions, columns: Columns) -> str:
    """The table as CSV: a missing number is an empty cell, a name that a spreadsheet would run has an apostrophe."""
    frame = forecast_frame(windows, predictions, columns)
    times = [name for name in ("ds", "cutoff") if name in frame.columns]
    every = np.concatenate([frame[name].to_numpy() for name in times])
    texts = np.array(written(every)).reshape(len(times), -1)
    names = {name: table_cell(name) for name in frame["unique_id"].unique().to_list()}
    frame = frame.with_columns(
        pl.col("unique_id").replace_strict(names, return_dtype=pl.String),
        *[pl.Series(name, text.tolist(), dtype=pl.String) for name, text in zip(times, texts)],
    )
    return frame.fill_nan(None).write_csv()


def held_out_csv(truth: Examples, predictions: Predictions, levels: Sequence[float]) -> str:
    """predictions.csv of a forecast: with the truth and the last time before each origin, of `kept_origins`."""
    rows = kept_origins(len(truth), len(predictions.values[0]) * len(truth.channels))
    columns = Columns(truth.channels, levels, cutoff=True, truth=True)
    return forecasts_csv([truth.inputs[row] for row in rows], predictions.take(rows), columns)


def kept_origins(windows: int, rows_each: int) -> list[int]:
    """The windows whose forecasts predictions.csv holds: all, or every n-th counted from the last."""
    stride = max(1, -(-windows * rows_each // MOST_ROWS))
    return list(range((windows - 1) % stride, windows, stride))


def left_out_note(truth: Examples, predictions: Predictions) -> list[str]:
    """A sentence where predictions.csv does not hold every window."""
    if truth.kind != "window" or not len(truth):
        return []
    kept = len(kept_origins(len(truth), len(predictions.values[0]) * len(truth.channels)))
    sentence = f"predictions.csv has {kept:,} of the {len(truth):,} test windows, evenly, so that it stays short; "
    return [] if kept == len(truth) else [f"{sentence}the metrics are of all."]
