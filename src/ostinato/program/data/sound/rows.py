"""Recordings → rows: of a column of paths, of folders, and of one path in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...options import DataOptions
from ..bounded import local
from ..columns import Column
from ..examples import Examples, Source
from ..input_values import Values, place
from ..libraries import polars as pl
from ..refusals import refused
from ..rows import Rows
from ..tables import Table
from .clips import COLUMN, TARGET, Clip, Clips, clip_of_cell
from .folders import one_clip
from .recordings import RecordingReader


def values_of_column(
    column: Column, table: Table, file: str, options: DataOptions
) -> tuple[Values, Source, DataOptions]:
    """The inputs of a column of paths, the record of the recordings, and the options with the sampling rate.

    Raises InputError, with the line, for a cell that names no recording and for recordings that cannot be used.
    """
    if column.values.dtype != pl.String:
        remedy = "Name the column that holds paths by --audio."
        raise refused(file, f"the column {column.name}", "of paths of recordings", str(column.values.dtype), remedy)
    origins = table.origins()
    folders = [table.sources[source].path.parent for source in table.files.tolist()]
    cells = zip(column.cells.to_list(), folders, origins)
    clips = [clip_of_cell(cell, at, origin.file, _place(origin, row)) for row, (cell, at, origin) in enumerate(cells)]
    reader = RecordingReader.of(options)
    inputs: list[Any] = [reader.read(clip) for clip in clips]
    values = Values(inputs, reader.channels(), reader.notes())
    return values, reader.source(clips), replace(options, rate=reader.rate)


def _place(origin: Any, row: int) -> str:
    return place(origin, row).removesuffix(f" of {origin.file}")


def rows_of_clips(pieces: Sequence[Clips], options: DataOptions) -> tuple[list[Rows], DataOptions]:
    """The rows of folders of recordings, and the options with the sampling rate; a table beside such a model has the
    columns `path` and `transcript`.

    Raises InputError for recordings that cannot be used.
    """
    reader = RecordingReader.of(options)
    found = []
    for piece in pieces:
        inputs: list[Any] = [reader.read(clip) for clip in piece.clips]
        rows = Rows(
            "series",
            inputs,
            None if piece.texts is None else list(piece.texts),
            "transcript",
            piece.what,
            piece.origins,
            [replace(reader.source(piece.clips, piece.digests), path=piece.root)],
            reader.channels(),
            options.target or TARGET,
            None,
            None if piece.parts is None else list(piece.parts),
            piece.notes,
        )
        found.append(rows)
    found[-1] = replace(found[-1], notes=[*found[-1].notes, *reader.notes()])
    return found, replace(options, rate=reader.rate, audio=options.audio or COLUMN)


def row_of_line(line: str, options: DataOptions) -> Examples:
    """One recording, by its path relative to the folder in which the command runs.

    Raises InputError for a line that is no path of a recording, and for a recording that cannot be used.
    """
    if not line.strip():
        raise refused("ostinato predict", "a line", "the path of a recording", "an empty line")
    path = local(Path(line.strip()))
    clip: Clip = one_clip(path, None, with_target=False).clips[0]
    reader = RecordingReader.of(options)
    return Examples("series", [reader.read(clip)], "transcript", None, reader.channels())
