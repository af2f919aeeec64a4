"""What is asked of a model of music: how much to write after which prompt, and to which files.

Letters: P frames of the prompt, F new frames, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError, phrase
from ..data import bounded
from ..data.music.midi import TEMPO, piece_of
from ..data.music.rolls import LOWEST, MOST_FRAMES
from ..tasks.texts.sampling import Sampling

WHERE = "ostinato generate"
ENDS = (".mid", ".midi")


@dataclass(frozen=True)
class MusicRequest:
    """What is to be written."""

    prompt: Path | None = None
    """A MIDI file, or one that is compressed as .gz."""
    out: Path | None = None
    """A new MIDI file; None: a name is chosen."""
    length: int = 300
    """F."""
    count: int = 1
    temperature: float = 1.0
    seed: int = 0

    def checked(self) -> MusicRequest:
        """The same. Raises InputError for values by which nothing can be written."""
        Sampling(self.temperature).checked(WHERE)
        for name, value in (("--length", self.length), ("--count", self.count)):
            if not 1 <= value <= MOST_FRAMES:
                expected = f"a whole number from 1 to {MOST_FRAMES:,}"
                raise InputError(phrase(WHERE, name, expected, value))
        if self.out is not None and self.out.suffix.lower() not in ENDS:
            remedy = "Write --out new.mid, say."
            raise InputError(phrase(WHERE, "--out", "a name that ends in .mid, for music", self.out, remedy))
        return self


@dataclass(frozen=True)
class Prompt:
    """The beginning of a piece."""

    roll: np.ndarray
    """uint8 [P, K]"""
    tempo: int = TEMPO
    notes: Sequence[str] = ()
    """What was changed or left out of it, a sentence each."""


def prompt_of(path: Path | None, keys: Sequence[str], grid: int) -> Prompt:
    """The prompt of a file in the keys of a model; without a file it has no frame.

    Raises InputError for another file than MIDI, and where a note has no key in the model.
    """
    if path is None:
        return Prompt(np.zeros((0, len(keys)), np.uint8))
    if bounded.ending(path) not in ENDS:
        remedy = "Write --prompt start.mid, say."
        raise InputError(phrase(WHERE, "--prompt", "a MIDI file, for music", repr(str(path)), remedy))
    piece = piece_of(bounded.read_bytes(path)[0], path, grid)
    place = {int(key): k for k, key in enumerate(keys)}
    roll = np.zeros((len(piece.roll), len(keys)), np.uint8)
    missing = []
    for key in np.flatnonzero(piece.roll.any(axis=0)).tolist():
        if key + LOWEST in place:
            roll[:, place[key + LOWEST]] = piece.roll[:, key]
        else:
            missing.append(str(key + LOWEST))
    if missing:
        expected = f"with keys that the model has, {keys[0]} to {keys[-1]}"
        raise InputError(phrase(WHERE, "--prompt", expected, f"{path.name} with {', '.join(missing[:5])}"))
    return Prompt(roll, piece.tempo, [f"{path.name}: {note}" for note in piece.counts.sentences(grid)])


def names_of(request: MusicRequest, folder: Path) -> list[Path]:
    """The files to write: --out, or NAME-1.mid, NAME-2.mid, … of several; without --out the first that are not there.

    Raises InputError where a file of --out is there already.
    """
    if request.out is None:
        name = folder.resolve().name.removesuffix("-model")
        numbered = (Path(f"{name}-{number}.mid") for number in range(1, MOST_FRAMES * 2))
        free = (path for path in numbered if not path.exists())
        return [next(free) for _ in range(request.count)]
    out = request.out
    several = [out.with_name(f"{out.stem}-{number}{out.suffix}") for number in range(1, request.count + 1)]
    files = [out] if request.count == 1 else several
    there = [path for path in files if path.exists()]
    if there:
        remedy = "Name another with --out."
        raise InputError(phrase(WHERE, "--out", "a file that is not there yet", there[0], remedy))
    if not out.parent.is_dir():
        raise InputError(phrase(WHERE, "--out", "in a folder that is there", out, "Make the folder first."))
    return files
