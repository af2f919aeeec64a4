"""Clips: recordings that are named and not yet read, each with its place in the user's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..bounded import URL
from ..examples import Origin
from ..refusals import refused, shown

AUDIO = (".wav", ".flac", ".mp3", ".ogg")
COLUMN, TARGET = "path", "transcript"
"""Names of the columns that a table needs beside a model of which the recordings were no table's."""


@dataclass(frozen=True)
class Clip:
    """One recording."""

    path: Path
    name: str
    """As the user's files name it."""
    file: str
    """The table or folder that names it, for messages."""
    called: str
    """What a message calls it: the recording a.wav at line 3."""

    def refuse(self, expected: str, received: object, remedy: str) -> Exception:
        """The error of four parts about this recording."""
        return refused(self.file, self.called, expected, received, remedy)


@dataclass(frozen=True)
class Clips:
    """N recordings of a folder, or one that was named, with their texts."""

    root: Path
    """The folder, or the one file."""
    clips: Sequence[Clip]
    """[N]"""
    texts: Sequence[str] | None
    """[N]; None where recordings are read without texts."""
    what: str
    """What was found, as the sentence of the inference says it."""
    origins: Sequence[Origin]
    """[N]"""
    parts: Sequence[str] | None = None
    """[N], where folders are parts of a split."""
    digests: Sequence[str] = ()
    """SHA-256 of the files of texts, with their names."""
    notes: Sequence[str] = field(default_factory=tuple)


def clip_of_cell(cell: str | None, folder: Path, file: str, place: str) -> Clip:
    """The recording that a cell of a table names, relative to the folder of the table.

    Raises InputError for an empty cell, for an address or a pattern, and for a path where no file is.
    """
    if not cell:
        remedy = "Fill it, or leave the row out."
        raise refused(file, f"the recording at {place}", "named by a path", "an empty cell", remedy)
    called = f"the recording at {place}"
    if URL.match(cell):
        raise refused(file, called, "a file of this machine", shown(cell), "Download the file first.")
    path = folder / cell
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise refused(file, called, "a readable file", f"{shown(cell)} ({why})", "Correct the path.") from error
    if not there:
        remedy = f"Paths are relative to the folder of {file}; patterns are not expanded."
        raise refused(file, called, "an existing file", f"{shown(cell)}, which is none", remedy)
    return Clip(path, cell, file, f"the recording {path.name} at {place}")
