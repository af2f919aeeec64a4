"""What the reading of MIDI files has changed or left out, counted, and the sentences that say it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..findings import many
from .rolls import HIGHEST, LOWEST


@dataclass(frozen=True)
class Counts:
    """Counts of one or several files."""

    notes: int = 0
    """Those that are read."""
    drums: int = 0
    """Notes of channel 10."""
    pedals: int = 0
    """Presses of the sustain pedal."""
    moved: int = 0
    """Notes outside the keys of a piano."""
    off_grid: int = 0
    """Notes that begin between two steps."""
    shortened: int = 0
    """Notes whose last frame is silent, because the key is struck again in the next."""
    joined: int = 0
    """Notes that are struck again in the frame after the beginning of the one before."""
    unended: int = 0
    """Notes that no message ends."""
    silent: int = 0
    """Frames between the last note and the end of the file."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)))

    def sentences(self, grid: int) -> list[str]:
        """What is to be said of files that were read with `grid` steps of a beat."""
        found = []
        if self.off_grid:
            begin, move = ("begins", "is moved") if self.off_grid == 1 else ("begin", "are moved")
            found.append(
                f"{self.off_grid:,} of {many(self.notes, 'note')} {begin} between two steps of the grid of "
                f"{many(grid, 'step')} a beat, and {move} to the nearer one."
            )
        if self.shortened:
            noun = "note ends" if self.shortened == 1 else "notes end"
            found.append(
                f"{self.shortened:,} {noun} one frame early, because the key is struck again in the next frame."
            )
        if self.joined:
            noun = "note is" if self.joined == 1 else "notes are"
            found.append(
                f"{self.joined:,} {noun} joined with one that began a frame before on the same key; a larger --grid "
                "keeps them apart."
            )
        if self.moved:
            noun = "note is" if self.moved == 1 else "notes are"
            found.append(f"{self.moved:,} {noun} moved by octaves into the keys {LOWEST} to {HIGHEST}.")
        if self.drums:
            notes = many(self.drums, "note")
            found.append(f"{notes} of channel 10, which is for drums, {_are(self.drums)} left out.")
        if self.pedals:
            noun = many(self.pedals, "press", "presses")
            ends = "a note ends where its key is released"
            found.append(f"{noun} of the sustain pedal {_are(self.pedals)} ignored: {ends}.")
        if self.unended:
            last = "lasts" if self.unended == 1 else "last"
            found.append(f"{many(self.unended, 'note')} without an end {last} until the end of the track.")
        if self.silent:
            frames = many(self.silent, "silent frame")
            found.append(f"{frames} after the last note of a file {_are(self.silent)} left out.")
        return found


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
