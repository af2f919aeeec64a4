"""Notes in ticks → frames: which keys of a piano sound in each step of a grid that divides the beat.

Letters: T frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .counts import Counts
from .rolls import HIGHEST, LOWEST, PIANO


@dataclass(frozen=True)
class Note:
    """A note in ticks from the beginning of the file."""

    key: int
    start: int
    end: int
    ended: bool
    """Whether a message ends it."""


def step_of(tick: int, grid: int, ticks: int) -> int:
    """The step of the grid that is nearest to a tick; the later one in the middle."""
    return (2 * tick * grid + ticks) // (2 * ticks)


def painted(notes: Iterable[Note], grid: int, ticks: int) -> tuple[np.ndarray, Counts]:
    """uint8 [T, 88] of the notes, and what was changed in them."""
    spans = []
    count = moved = off_grid = 0
    for note in notes:
        start = step_of(note.start, grid, ticks)
        end = max(start + 1, step_of(note.end, grid, ticks))
        key = _within(note.key)
        spans.append((start, end, key - LOWEST))
        count += 1
        moved += key != note.key
        off_grid += note.start * grid % ticks != 0
    roll = np.zeros((max(end for _, end, _ in spans), len(PIANO)), np.uint8)
    shortened = joined = 0
    latest: dict[int, int] = {}
    for start, end, key in sorted(spans):
        before = latest.get(key, start)
        if before < start and roll[start - 1, key]:
            if before < start - 1:
                roll[start - 1, key] = 0
                shortened += 1
            else:
                joined += 1
        latest[key] = start
        roll[start:end, key] = 1
    return roll, Counts(notes=count, moved=moved, off_grid=off_grid, shortened=shortened, joined=joined)


def _within(key: int) -> int:
    """The key itself, or the nearest one of the same name that a piano has."""
    if key < LOWEST:
        return key + 12 * -(-(LOWEST - key) // 12)
    return key - 12 * -(-max(0, key - HIGHEST) // 12)
