"""MIDI files → their notes, and a piece of frames: the keys that sound in each step of a grid that divides the beat.

Letters: T frames, K = 88 keys.
"""

from __future__ import annotations

import io
import struct
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..libraries import needed
from ..refusals import refused, shown
from .counts import Counts
from .notes import Note, painted, step_of
from .rolls import MOST_FRAMES

HEADER = struct.Struct(">4sIHHH")
"""Of a file: its name, the size of what follows, the format, the tracks, and the ticks of a beat."""
MOST_BYTES = 8 << 20
"""Of a file: a long opera has less than 1 MB."""
MOST_HIGH = 20_000
"""Bytes of 128 or more that may follow each other: a number that such bytes encode grows with them."""
DRUMS, PEDAL, TEMPO = 9, 64, 500_000
"""The channel of drums, counted from 0; the controller of the sustain pedal; microseconds of a beat by default."""


@dataclass(frozen=True)
class Piece:
    """A file that was read."""

    roll: np.ndarray
    """uint8 [T, 88]"""
    tempo: int
    """Microseconds of a beat, the first of the file."""
    counts: Counts


def piece_of(data: bytes, path: Path, grid: int) -> Piece:
    """The frames of a MIDI file, from its beginning to the end of its last note.

    A note sounds from the step nearest to its beginning to the one nearest to its end, in one frame at least. Where a
    key is struck again at the end of a note, or while it sounds, that note's last frame before is silent.

    grid  steps of a beat

    Raises InputError for a file that is damaged, has no notes, is not in beats, or is too long.
    """
    ticks = _ticks_of_beat(data, path)
    tracks = _tracks(data, path)
    notes = [note for track in tracks for note in _notes(track)]
    messages = [message for track in tracks for message in track]
    drums = sum(_begins(m) and m.channel == DRUMS for m in messages)
    if not notes:
        received = f"none but {drums:,} of channel 10, which is for drums" if drums else "none"
        raise refused(path, "the file", "with notes", received, "Leave it out.")
    end = max(sum(message.time for message in track) for track in tracks)
    for name, last in (("the last note", max(note.start for note in notes)), ("the end", end)):
        if step_of(last, grid, ticks) >= MOST_FRAMES:
            expected = f"within {MOST_FRAMES:,} steps of the grid"
            received = f"at step {step_of(last, grid, ticks):,}"
            raise refused(path, name, expected, received, "Correct the times of the file, or give a smaller --grid.")
    roll, counts = painted(notes, grid, ticks)
    others = Counts(
        drums=drums,
        pedals=_presses(messages),
        unended=sum(not note.ended for note in notes),
        silent=max(0, step_of(end, grid, ticks) - len(roll)),
    )
    tempo = next((m.tempo for m in messages if m.type == "set_tempo" and m.tempo), TEMPO)
    return Piece(roll, tempo, counts + others)


def _ticks_of_beat(data: bytes, path: Path) -> int:
    """The ticks of a beat, from the header of the file."""
    if not data:
        raise refused(path, "the file", "a MIDI file", "an empty file", "Check that it is the right file.")
    if len(data) > MOST_BYTES:
        raise refused(path, "the file", f"of at most {MOST_BYTES:,} bytes", f"{len(data):,}", "Divide the piece.")
    if len(data) < HEADER.size or data[:4] != b"MThd":
        remedy = "Check that it is the right file."
        raise refused(path, "the file", "a MIDI file, which begins with MThd", shown(data[:8]), remedy)
    _, _, form, _, ticks = HEADER.unpack_from(data)
    if form not in (0, 1):
        expected = "0 or 1, whose tracks sound together"
        raise refused(path, "the MIDI format", expected, form, "Write each of its tracks to a file.")
    if ticks & 0x8000:
        remedy = "Write the file with ticks of a beat."
        raise refused(path, "the times", "in ticks of a beat", "in frames of film (SMPTE)", remedy)
    if not ticks:
        raise refused(path, "the ticks of a beat", "1 or more", 0, "Write the file again.")
    return int(ticks)


class _Guarded(io.BytesIO):
    """The bytes of a file; it ends the reading of a number without an end, whose size would grow with each byte."""

    high = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.high = self.high + 1 if len(found) == 1 and found >= b"\x80" else 0
        if self.high > MOST_HIGH:
            raise OSError("a number without an end")
        return found


def _tracks(data: bytes, path: Path) -> list[list[Any]]:
    """The messages of each track, each with its ticks after the one before."""
    mido = needed("mido", "reading a MIDI file")
    try:
        return [list(track) for track in mido.MidiFile(file=_Guarded(data)).tracks]
    except EOFError as error:
        received = "one that ends within a track"
        raise refused(path, "the file", "a whole MIDI file", received, "Copy it again.") from error
    except Exception as error:  # mido raises errors of many kinds for messages that are none
        received = f"one that cannot be read ({' '.join(str(error).split())[:80]})"
        raise refused(path, "the file", "a whole MIDI file", received, "Write it again.") from error


def _begins(message: Any) -> bool:
    """Whether a message begins a note; velocity 0 ends one."""
    return bool(message.type == "note_on" and message.velocity)


def _presses(messages: Iterable[Any]) -> int:
    """How often the sustain pedal is pressed; half of its range and more is down."""
    down, count = set(), 0
    for message in messages:
        if message.type == "control_change" and message.control == PEDAL:
            if message.value >= 64 and message.channel not in down:
                down.add(message.channel)
                count += 1
            elif message.value < 64:
                down.discard(message.channel)
    return count


def _notes(track: Iterable[Any]) -> Iterator[Note]:
    """The notes of a track. Of several that sound on one key of one channel, the first that began ends first.

    A note that no message ends lasts until the last end of its key after its beginning, else until the track's.
    """
    sounding: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    ends: dict[tuple[int, int], int] = {}
    now = 0
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        place = (message.channel, message.note)
        if _begins(message):
            sounding[place].append(now)
        elif sounding[place]:
            yield Note(message.note, sounding[place].popleft(), now, True)
            ends[place] = now
    for place, starts in sounding.items():
        for start in starts:
            end = ends.get(place, -1)
            yield Note(place[1], start, end if end >= start else now, end >= start)
