"""How much of composed music is in the training pieces: the longest run of frames that one of them has, too.

Letters: N pieces, T frames of a piece, F new frames of a sample, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Repeated:
    """The longest run of new frames that a training piece has in the same order."""

    frames: int
    """Of the run; 0 where no new frame is in a training piece."""
    of: int
    """F of the sample in which it is."""
    piece: str
    """Where the training piece came from."""
    share: float
    """New frames of all samples, silent ones left out, that some training piece has, by their number."""

    def sentence(self) -> str:
        """What was found, in words."""
        if not self.frames:
            return "No new frame with a note is in a training piece."
        run = f"The longest run of new frames that a training piece has, too, is {self.frames:,} of {self.of:,}"
        return f"{run} ({self.piece}); {100 * self.share:.0f} % of the new frames with notes are in training pieces."

    def content(self) -> dict[str, Any]:
        """The same for --json."""
        return {"longest_run": self.frames, "of_frames": self.of, "piece": self.piece, "share_of_frames": self.share}


def longest_repeated(samples: Sequence[np.ndarray], pieces: Sequence[np.ndarray], names: Sequence[str]) -> Repeated:
    """Compares the new frames of samples, uint8 [F, K] each, with those of N training pieces [T, K].

    Runs do not cross from one piece to the next, and those of silence alone do not count.
    """
    numbers: dict[bytes, int] = {}
    known = [np.array([_number(frame, numbers) for frame in piece], np.int64) for piece in pieces]
    train = np.concatenate([np.append(piece, -1) for piece in known]) if known else np.zeros(0, np.int64)
    ends = np.cumsum([len(piece) + 1 for piece in known])
    in_training = len(numbers)
    best, place, of, heard, found = 0, 0, 0, 0, 0
    for sample in samples:
        run, notes = np.zeros(len(train), np.int64), np.zeros(len(train), bool)
        for frame in sample:
            number = _number(frame, numbers)
            sounds = bool(frame.any())
            heard += sounds
            found += sounds and number < in_training
            same = train == number
            before, had = np.roll(run, 1), np.roll(notes, 1)
            run = np.where(same, before + 1, 0)
            notes = same & (had | sounds)
            longest = np.where(notes, run, 0)
            if len(longest) and longest.max() > best:
                place, of = int(longest.argmax()), len(sample)
                best = int(longest[place])
    piece = names[int(np.searchsorted(ends, place, side="right"))] if best else ""
    return Repeated(best, of, piece, found / heard if heard else 0.0)


def _number(frame: np.ndarray, numbers: dict[bytes, int]) -> int:
    """The number of a frame, the same for equal ones; a new one is added."""
    return numbers.setdefault(np.packbits(frame).tobytes(), len(numbers))
