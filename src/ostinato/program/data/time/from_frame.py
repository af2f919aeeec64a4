"""Tables from Python: a DataFrame of pandas or polars, or an array, as a forecast reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..examples import Source
from ..libraries import polars as pl
from ..refusals import refused, shown
from ..tables import Table, table_of

NAME = "series"
"""What messages call the table, and the name of a lone series."""


def table_from(data: Any, where: str) -> Table:
    """The table of a DataFrame, or of an array [N] or [N, K] of which each row is a step.

    The column of an array [N] is `y`; of [N, K] they are y1 … yK.

    Raises InputError for anything else, and for a table without rows.
    """
    if isinstance(data, pl.DataFrame):
        frame = data
    elif hasattr(data, "columns") and hasattr(data, "iloc"):
        frame = pl.DataFrame([_from_pandas(str(name), data[name]) for name in data.columns])
    else:
        frame = _from_array(data, where)
    lines = np.zeros(frame.height, np.int64)
    return table_of(frame, lines, Source(Path(NAME), "", frame.height, 0), True)


def _from_pandas(name: str, column: Any) -> pl.Series:
    """One column of pandas; times with a zone keep the zone's offsets as UTC."""
    if getattr(column.dtype, "tz", None) is not None:
        moments = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        return pl.Series(name, moments).dt.replace_time_zone("UTC")
    if column.dtype.kind == "M":
        return pl.Series(name, column.to_numpy().astype("datetime64[us]"))
    if column.dtype.kind in "iufb":
        return pl.Series(name, np.ascontiguousarray(column.to_numpy()))
    missing = column.isna().to_numpy()
    if hasattr(column.dtype, "numpy_dtype") and column.dtype.kind != "O" and column.dtype.numpy_dtype.kind in "iuf":
        return pl.Series(name, column.to_numpy(dtype=np.float64, na_value=np.nan))
    cells = [None if gone else cell for cell, gone in zip(column.tolist(), missing)]
    return pl.Series(name, cells, strict=False)


def _from_array(data: Any, where: str) -> pl.DataFrame:
    expected = "a DataFrame of pandas or polars, or an array [N] or [N, K] of numbers"
    try:
        array = np.asarray(data, np.float64)
    except (TypeError, ValueError):
        raise refused(where, "the data", expected, shown(data), "Name the columns unique_id, ds, y.") from None
    if array.ndim not in (1, 2):
        raise refused(where, "the data", expected, f"an array of shape {list(array.shape)}", "Reshape it.")
    if array.ndim == 1:
        return pl.DataFrame({"y": array})
    return pl.DataFrame({f"y{k}": array[:, k - 1] for k in range(1, array.shape[1] + 1)})


def like(frame: pl.DataFrame, data: Any) -> Any:
    """The frame as a DataFrame of the kind of `data`, with times of its type; of an array, a polars DataFrame."""
    if isinstance(data, pl.DataFrame):
        times = data.schema.get("ds")
        if times is not None and times.is_temporal():
            frame = frame.with_columns(pl.col(name).cast(_plain(times)) for name in _times(frame))
        return frame
    if not hasattr(data, "iloc") or not hasattr(data, "columns"):
        return frame
    from importlib import import_module

    pandas = import_module("pandas")
    text = {name: frame[name].dtype == pl.String for name in frame.columns}
    found = pandas.DataFrame({n: frame[n].to_list() if text[n] else frame[n].to_numpy() for n in frame.columns})
    times = data["ds"].dtype if "ds" in data.columns else None
    if times is not None and times.kind == "M" and getattr(times, "tz", None) is None:
        found = found.astype(dict.fromkeys(_times(frame), times))
    return found


def _times(frame: pl.DataFrame) -> list[str]:
    return [name for name in ("ds", "cutoff") if name in frame.columns and frame[name].dtype.is_temporal()]


def _plain(dtype: Any) -> Any:
    """A type of times without its zone: times with one have been converted to UTC."""
    return pl.Datetime(dtype.time_unit) if isinstance(dtype, pl.Datetime) else dtype
