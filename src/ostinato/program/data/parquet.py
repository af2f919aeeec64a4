"""Parquet files, by polars, from bytes: so that no path is ever read as an address or as a pattern."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from . import bounded
from .examples import Source
from .libraries import polars as pl
from .refusals import refused
from .tables import Table, table_of


def read_parquet(path: Path) -> Table:
    """The table of a Parquet file.

    Raises InputError for a damaged file, and for one whose rows alone would need more memory than the limit.
    """
    data, digest = bounded.read_bytes(path)
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
        rows = int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
        if rows * max(1, len(schema)) * 8 > bounded.LIMIT:
            raise bounded.too_large(path, f"{rows:,} rows of {len(schema)} columns")
        frame = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        found = f"one that cannot be read ({str(error)[:80]})"
        raise refused(path, "the file", "a whole Parquet file", found, "Write it again.") from error
    return table_of(frame, np.zeros(frame.height, np.int64), Source(path, digest, frame.height, 0), True)
