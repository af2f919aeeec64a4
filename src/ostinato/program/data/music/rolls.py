"""Piano rolls: which keys sound in each frame of a piece.

Letters: T frames, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..refusals import refused

LOWEST, HIGHEST = 21, 108
"""The keys of a piano as MIDI numbers them: A0 and C8; middle C is 60."""
PIANO = tuple(str(key) for key in range(LOWEST, HIGHEST + 1))
"""[88]: the names of the keys of a piano."""
MIDI_KEYS = 128
MOST_FRAMES = 100_000
"""Frames of a piece at most: 16ths at 120 beats a minute would last 3.5 hours."""

GRID_OF_MIDI, GRID_OF_ROLLS = 4, 1
"""Frames of a beat where --grid is not given: of data with MIDI files, and of piano rolls alone."""


def key_names(count: int) -> tuple[str, ...]:
    """[K] names: MIDI numbers where a roll has the 88 keys of a piano or the 128 of MIDI, else key_1, key_2, …"""
    if count == len(PIANO):
        return PIANO
    return tuple(str(key) if count == MIDI_KEYS else f"key_{key + 1}" for key in range(count))


def is_midi_key(name: str) -> bool:
    """Whether the name of a key is a whole number from 0 to 127."""
    return name.isascii() and name.isdecimal() and int(name) < MIDI_KEYS


def bits(roll: Any) -> np.ndarray:
    """uint8 [T, K] of a roll of any numbers: 1 where a key sounds."""
    return (np.asarray(roll) > 0).astype(np.uint8)


def is_roll(array: Any, axes: Sequence[int] = (2,)) -> bool:
    """Whether an array has so many axes, at least one key and no values but 0 and 1."""
    if not isinstance(array, np.ndarray) or array.ndim not in axes or array.dtype.kind not in "biuf":
        return False
    return bool(array.shape[-1] > 0 and ((array == 0) | (array == 1)).all())


def roll_of(array: Any, name: str, where: Path | str) -> np.ndarray:
    """uint8 [T, K]: a piece, 1 where a key sounds.

    Raises InputError for another shape, for other values than 0 and 1, and for more than `MOST_FRAMES` frames.
    """
    found = np.asarray(array)
    if found.ndim != 2 or not found.shape[1]:
        expected, received = "[T, K], K keys of T frames", f"an array of shape {list(found.shape)}"
        raise refused(where, name, expected, received, "Give one array for each piece.")
    if not is_roll(found):
        remedy = "Write 1 where a key sounds, at whatever velocity, and 0 elsewhere."
        raise refused(where, name, "of the numbers 0 and 1", f"other values of {found.dtype}", remedy)
    if len(found) > MOST_FRAMES:
        remedy = "Divide the piece, or take longer frames."
        raise refused(where, name, f"of at most {MOST_FRAMES:,} frames", f"{len(found):,}", remedy)
    return np.ascontiguousarray(found, np.uint8)
