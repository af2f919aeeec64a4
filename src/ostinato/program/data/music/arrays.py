"""Piano rolls in .mat and .npz files: one array [T, K] a piece, a cell array of them, or one array [N, T, K].

Nothing in the file is executed: arrays of Python objects are refused before they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import INPUTS, TARGETS, load, vector
from ..parts import FOLDER_PARTS
from ..refusals import listed, refused, shown
from .mat import cells_of_mat
from .rolls import is_roll, key_names, roll_of

ROLLS = ("roll", "rolls", "pianoroll", "pianorolls", "piano_roll", "piano_rolls")
"""Names of arrays that say what they hold."""
PARTS = "|".join(sorted(FOLDER_PARTS, key=len, reverse=True))
PART = re.compile(rf"({PARTS})(?:_?data|_?set)?(?:[_-]?\d+|_\w*)?", re.IGNORECASE)
"""A name such as traindata, train_12 or test: the part of a split that its pieces are in."""


@dataclass(frozen=True)
class Pieces:
    """The pieces of a file."""

    rolls: list[np.ndarray]
    """[N]: uint8 [T, K] each."""
    parts: list[str] | None
    """[N]: train, valid or test, where the names of the arrays say it."""
    keys: tuple[str, ...]
    """[K]"""
    names: list[str]
    """Of the arrays that were read."""
    left_out: list[str]
    """Of those that are no rolls."""


def holds_rolls(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays of an .npz file are piano rolls and not inputs and targets of other tasks."""
    if any(name in arrays for name in (*INPUTS, *TARGETS)):
        return False
    found = _content(arrays)
    named = any(name.lower() in ROLLS for name in found)
    return named or (bool(found) and all(is_roll(array, (2, 3)) for array in found.values()))


def pieces_of_npz(data: bytes, path: Path) -> Pieces:
    """The pieces of an .npz file.

    An array [T, K] is a piece; an array [N, T, K] is N pieces, which `lengths` or NAME_lengths [N] cuts. `split` [N]
    names the part of each; else the names of the arrays may, such as train_1 and test_1. `keys` [K] are MIDI numbers.

    Raises InputError for arrays of other shapes and values.
    """
    arrays = load(data, path)
    content = _content(arrays)
    found: list[tuple[str, np.ndarray]] = []
    for name, array in content.items():
        if array.ndim == 3:
            lengths = _lengths(arrays, name, array, path, alone=len(content) == 1)
            found += [(name, roll_of(roll[:n], f"the array {name}", path)) for roll, n in zip(array, lengths)]
        else:
            found.append((name, roll_of(array, f"the array {name}", path)))
    pieces = _pieces(found, [], path)
    if "split" in arrays:
        split = vector(arrays["split"], "split", len(found), path)
        pieces = Pieces(pieces.rolls, [str(part).lower() for part in split], pieces.keys, pieces.names, [])
    if "keys" in arrays:
        pieces = Pieces(pieces.rolls, pieces.parts, _midi_keys(arrays["keys"], pieces, path), pieces.names, [])
    return pieces


def pieces_of_mat(data: bytes, path: Path) -> Pieces:
    """The pieces of a .mat file of MATLAB 4 to 7.2: each array [T, K] of 0 and 1, and those in its cell arrays.

    Raises InputError for a damaged file, one of MATLAB 7.3, and one without such arrays.
    """
    found: list[tuple[str, np.ndarray]] = []
    left_out = []
    for name, cells in cells_of_mat(data, path).items():
        if not any(is_roll(cell) for cell in cells):
            left_out.append(name)
            continue
        found += [(name, roll_of(cell, f"a piece of {name}", path)) for cell in cells]
    return _pieces(found, left_out, path)


def _content(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays beside those that only describe others."""
    described = {"lengths", "split", "keys", *(f"{name}_lengths" for name in arrays)}
    return {name: array for name, array in arrays.items() if name not in described}


def _pieces(found: list[tuple[str, np.ndarray]], left_out: list[str], path: Path) -> Pieces:
    names = list(dict.fromkeys(name for name, _ in found))
    if not found:
        received = f"the arrays {listed(left_out)}" if left_out else "no array"
        remedy = "Save each piece as an array [T, K] of 0 and 1."
        raise refused(path, "the file", "with a piano roll", received, remedy)
    width = found[0][1].shape[1]
    for name, roll in found:
        if roll.shape[1] != width:
            expected = f"of {width} keys, as those before"
            raise refused(path, f"the array {name}", expected, roll.shape[1], "Give every piece the same keys.")
    parts = {name: match[1].lower() for name in names if (match := PART.fullmatch(name))}
    if parts and len(parts) < len(names):
        others = listed(name for name in names if name not in parts)
        expected = f"named by their part, as {listed(parts, 3)}"
        raise refused(path, "the arrays", expected, others, "Name them such as train_1, or all without a part.")
    of_pieces = [FOLDER_PARTS[parts[name]] for name, _ in found] if parts else None
    return Pieces([roll for _, roll in found], of_pieces, key_names(width), names, left_out)


def _lengths(arrays: Mapping[str, np.ndarray], name: str, array: np.ndarray, path: Path, alone: bool) -> Iterator[int]:
    """[N] frames of the pieces of an array [N, T, K]."""
    own = f"{name}_lengths" if f"{name}_lengths" in arrays else "lengths"
    if own not in arrays or (own == "lengths" and not alone):
        return iter([array.shape[1]] * len(array))
    lengths = vector(arrays[own], own, len(array), path)
    if lengths.dtype.kind not in "iu" or (lengths < 0).any() or (lengths > array.shape[1]).any():
        expected = f"whole numbers from 0 to T = {array.shape[1]}"
        raise refused(path, f"the array {own}", expected, shown(lengths.tolist()), "Count the frames of each piece.")
    return iter(lengths.tolist())


def _midi_keys(keys: Any, pieces: Pieces, path: Path) -> tuple[str, ...]:
    width = len(pieces.keys)
    good = keys.shape == (width,) and keys.dtype.kind in "iu" and bool(((keys >= 0) & (keys < 128)).all())
    if not good or len(set(keys.tolist())) < width:
        received = f"{keys.dtype} {list(keys.shape)}"
        raise refused(path, "the array keys", f"{width} different numbers from 0 to 127", received, "Number the keys.")
    return tuple(str(key) for key in keys.tolist())
