"""Recordings → frames of log-mel numbers at one sampling rate, with what was done to them, counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path

import numpy as np

from ...options import DataOptions
from .. import bounded
from ..examples import Source
from ..findings import many
from ..refusals import listed, refused
from .clips import Clip
from .log_mel import Frames, channel_names, log_mel, most_mels
from .signals import HIGHEST, LOWEST, at_rate, refuse_large, signal_of


@dataclass
class RecordingReader:
    """Reads recordings at one rate, that of the first where none is given."""

    rate: int | None
    mels: int
    chosen: bool = False
    """Whether the rate is that of the first recording."""
    mixed: int = 0
    """Recordings of several channels."""
    resampled: Counter[int] = field(default_factory=Counter)
    """Rate of the file → recordings."""
    absolute: int = 0
    """Recordings named by absolute paths."""
    frames: dict[Path, np.ndarray] = field(default_factory=dict)
    """Each file is read once, however many rows name it."""
    digests: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, options: DataOptions) -> RecordingReader:
        """From --rate and --mels. Raises InputError for a rate that no recording is read at."""
        if options.rate is not None and not LOWEST <= options.rate <= HIGHEST:
            expected = f"from {LOWEST:,} to {HIGHEST:,} samples a second"
            raise refused("read", "--rate", expected, f"{options.rate:,}", "Speech needs 8000 to 16000.")
        return cls(options.rate, options.mels)

    def read(self, clip: Clip) -> np.ndarray:
        """[T, M] float32 of a recording.

        Raises InputError, with its place in the user's files, for a recording that cannot be used.
        """
        if clip.path not in self.frames:
            refuse_large(bounded.local(clip.path).stat().st_size, clip.refuse)
            data, digest = bounded.read_bytes(clip.path)
            signal = signal_of(data, clip.refuse)
            if self.rate is None:
                self.rate, self.chosen = signal.rate, True
            if not self.frames:
                self._refuse_many_mels(self.rate)
            self.mixed += signal.channels > 1
            if signal.rate != self.rate:
                self.resampled[signal.rate] += 1
            self.absolute += Path(clip.name).is_absolute()
            samples = at_rate(signal, self.rate)
            _refuse_short(len(samples), self.rate, clip)
            self.frames[clip.path] = log_mel(samples, self.rate, self.mels)
            self.digests[clip.path] = digest
        return self.frames[clip.path]

    def _refuse_many_mels(self, rate: int) -> None:
        most = most_mels(rate, self.mels)
        if most < self.mels:
            expected = f"at most {most} at {rate:,} samples a second, so that every band holds a frequency"
            raise refused("read", "--mels", expected, self.mels, "Speech needs about 40.")

    def channels(self) -> list[str]:
        """[M] names of the bands."""
        return channel_names(self.rate, self.mels) if self.rate is not None else []

    def notes(self) -> list[str]:
        """What was done, a sentence each."""
        found = []
        if self.chosen:
            found.append(f"Recordings are read at {self.rate:,} samples a second, the rate of the first.")
        count = self.resampled.total()
        if count:
            rates = listed(f"{rate:,}" for rate in sorted(self.resampled))
            verb = "is" if count == 1 else "are"
            sentence = f"{many(count, 'recording')} of {rates} samples a second {verb} resampled to {self.rate:,}."
            found.append(sentence)
        if self.mixed:
            found.append(f"{many(self.mixed, 'recording')} of several channels: their mean is read.")
        if self.absolute:
            verb, them = ("is", "its") if self.absolute == 1 else ("are", "their")
            sentence = f"{many(self.absolute, 'recording')} {verb} named by {them} absolute path"
            found.append(f"{sentence}{'' if self.absolute == 1 else 's'}: the table cannot be moved with them.")
        return found

    def source(self, clips: Sequence[Clip], more: Sequence[str] = ()) -> Source:
        """One record of all recordings: a hash of their names and contents, in the order of the rows.

        more   names and digests of other files that belong to it
        """
        lines = [*more, *(f"{clip.name} {self.digests[clip.path]}" for clip in clips)]
        parents = [str(clip.path.absolute().parent) for clip in clips]
        folder = Path(commonpath(parents)) if _one_drive(parents) else Path(parents[0])
        digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        return Source(folder, digest, len(clips), 0, f"{self.rate} samples a second")


def _refuse_short(count: int, rate: int, clip: Clip) -> None:
    """A recording of one frame at its own rate can be some samples shorter at another, as both frames are rounded."""
    least = Frames.at(rate).window
    if count < least:
        expected = f"of at least {least:,} samples at {rate:,} a second, the length of a frame"
        raise clip.refuse(expected, f"{count:,}", "Leave the row out.")


def _one_drive(parents: Sequence[str]) -> bool:
    return len({Path(parent).anchor for parent in parents}) == 1
