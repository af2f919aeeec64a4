"""Files of music → pieces: one row each, whose input and target are the same frames.

Letters: T frames, K keys.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...options import DataOptions
from .. import bounded
from ..arrays import INPUTS, load
from ..examples import DataSet, Examples, Origin, Source
from ..findings import many
from ..folders import TEXTS, digest_of, files_below
from ..infer import Reading, Seen, infer
from ..parts import FOLDER_PARTS, PART_NAMES
from ..refusals import listed, refused
from ..time.asked import refuse_other_options
from .arrays import ROLLS, Pieces, holds_rolls, pieces_of_mat, pieces_of_npz
from .counts import Counts
from .midi import piece_of
from .rolls import GRID_OF_MIDI, GRID_OF_ROLLS, PIANO

MIDI = (".mid", ".midi")
OF_COLUMNS = ("target", "text", "series", "features", "columns", "group", "encoding", "given", "label_separator")
"""Options that a piece, which has no columns, does not have."""


@dataclass
class Found:
    """The pieces of all files, as they are read."""

    rolls: list[np.ndarray] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    """Empty strings where the file says none."""
    origins: list[Origin] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    """Of the MIDI files."""


def are_music(options: DataOptions) -> bool:
    """Whether every file is a MIDI file or holds piano rolls, so that no other reader takes it."""
    paths = [Path(path) for path in (*options.paths, options.valid, options.test) if path]
    if options.task not in (None, "music") and any(bounded.ending(path) == ".npz" for path in paths):
        return False
    return bool(paths) and all(_is_music(path, options) for path in paths)


def _is_music(path: Path, options: DataOptions) -> bool:
    end = bounded.ending(path)
    if path.is_dir():
        return bool(_midi_in(path)) and (options.task == "music" or not _has_texts(path, options))
    if end in (*MIDI, ".mat"):
        return True
    if end != ".npz" or not path.is_file():
        return False
    return options.task == "music" or _names_rolls(path)


def _has_texts(folder: Path, options: DataOptions) -> bool:
    """Whether a folder with MIDI files has texts, too; such a folder may be either, so that the task is needed."""
    texts = [path for pattern in TEXTS for path in folder.rglob(pattern)]
    if texts and options.task is None:
        received = f"MIDI files and {many(len(texts), 'text')}"
        remedy = "Add --task music, or --task classify for the texts."
        raise refused(folder, "the folder", "of music or of texts", received, remedy)
    return bool(texts)


def _names_rolls(path: Path) -> bool:
    """Whether an .npz file holds rolls; the names of its arrays are looked at first, as most files have others."""
    data, _ = bounded.read_bytes(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return False  # the reader of arrays refuses it
    if names & set(INPUTS):
        return False
    return bool({name.lower() for name in names} & set(ROLLS)) or holds_rolls(load(data, path))


def read_music(options: DataOptions, with_target: bool = True) -> DataSet:
    """The pieces of all files.

    Raises InputError for files that cannot be read, rolls of different keys, and options that no piece has.
    """
    files = [(Path(path), "train") for path in options.paths]
    files += [(Path(path), part) for path, part in ((options.valid, "valid"), (options.test, "test")) if path]
    names = listed(path.name for path, _ in files)
    for name in OF_COLUMNS:
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise refused(names, flag, "left out, as a piece has no columns", "it", f"Leave {flag} out.")
    reading = Reading("music", None, "frames", "the rows are read without targets")
    if with_target:
        reading = infer(Seen("music", names, options, f"{names} {'holds' if len(files) == 1 else 'hold'} notes"))
    refuse_other_options(options, "music", names)
    by_file = options.valid is not None or options.test is not None
    usual = GRID_OF_MIDI if any(path.is_dir() or bounded.ending(path) in MIDI for path, _ in files) else GRID_OF_ROLLS
    grid, found = options.grid or usual, Found()
    for path, part in files:
        if path.is_dir():
            _add_folder(found, path, part if by_file else "", grid)
            continue
        pieces, digest = _pieces_of(path, found, grid)
        if by_file and pieces.parts is not None and with_target:
            received = "a split inside the data and --valid or --test"
            raise refused(path, "the split", "given once", received, "Leave out the files, or name the arrays anew.")
        _add(found, path.name, pieces, part if by_file else "")
        found.sources.append(Source(path, digest, len(pieces.rolls), 0))
    notes = [*found.notes, *found.counts.sentences(grid)]
    examples = Examples(
        "roll",
        found.rolls,
        "frames",
        found.rolls if with_target else None,
        found.keys,
        "frames",
        found.origins,
        parts=_parts(found, names) if with_target else None,
    )
    because = f"The task is music: {reading.because}."
    return DataSet(examples, "music", because, found.sources, notes, (), replace(options, task="music", grid=grid))


def _midi_in(folder: Path) -> list[Path]:
    """The MIDI files of a folder and of those in it, in the order of their names; hidden ones are left out."""
    return [path for path in files_below(folder) if bounded.ending(path) in MIDI]


def _add_folder(found: Found, folder: Path, part: str, grid: int) -> None:
    """Appends the MIDI files of a folder; those in folders train, valid and test are in these parts."""
    digests = []
    files = _midi_in(folder)
    for path in files:
        pieces, digest = _pieces_of(path, found, grid)
        place = path.relative_to(folder)
        inner = place.parts[0].lower() if len(place.parts) > 1 else ""
        own = FOLDER_PARTS.get(inner, "")
        if own and part:
            received = "folders of parts and --valid or --test"
            raise refused(folder, "the split", "given once", received, "Leave out the files, or rename the folders.")
        _add(found, place.as_posix(), pieces, own or part)
        digests.append(f"{place.as_posix()} {digest}")
    others = len(files_below(folder)) - len(files)
    if others:
        found.notes.append(f"{folder.name}: {many(others, 'file')} other than .mid left out.")
    found.sources.append(Source(folder, digest_of(digests), len(files), 0))


def _pieces_of(path: Path, found: Found, grid: int) -> tuple[Pieces, str]:
    """The pieces of one file, and its SHA-256."""
    data, digest = bounded.read_bytes(path)
    if bounded.ending(path) in MIDI:
        piece = piece_of(data, path, grid)
        found.counts += piece.counts
        return Pieces([piece.roll], None, PIANO, [], []), digest
    return (pieces_of_mat if bounded.ending(path) == ".mat" else pieces_of_npz)(data, path), digest


def _add(found: Found, file: str, pieces: Pieces, part: str) -> None:
    """Appends the pieces of a file."""
    if found.keys and found.keys != pieces.keys:
        expected = f"of {len(found.keys)} keys from {found.keys[0]} to {found.keys[-1]}, as those before"
        received = f"{len(pieces.keys)} keys from {pieces.keys[0]} to {pieces.keys[-1]}"
        raise refused(file, "the rolls", expected, received, "Give every piece the same keys.")
    found.keys = pieces.keys
    found.rolls += pieces.rolls
    found.parts += pieces.parts or [part] * len(pieces.rolls)
    found.origins += [Origin(file, 0, row) for row in range(1, len(pieces.rolls) + 1)]
    if pieces.left_out:
        verb = "is no piano roll" if len(pieces.left_out) == 1 else "are no piano rolls"
        found.notes.append(f"{file}: {listed(pieces.left_out)} {verb}, and left out.")


def _parts(found: Found, names: str) -> Sequence[str] | None:
    """[N] parts of the split, or None where no piece has one."""
    if not any(found.parts):
        return None
    unknown = sorted({part for part in found.parts if part not in PART_NAMES})
    if unknown:
        count = sum(part in unknown for part in found.parts)
        received = f"{many(count, 'piece')} in {listed(part or 'none' for part in unknown)}"
        raise refused(names, "the split", "train, valid or test for every piece", received, "Name the part of each.")
    return [PART_NAMES[part] for part in found.parts]
