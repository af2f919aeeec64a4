"""Frames → a MIDI file of format 1: a track with the tempo, and one of notes that a piano plays.

Letters: T frames, K keys.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from ..libraries import needed
from ..refusals import listed, refused
from .midi import TEMPO
from .rolls import MIDI_KEYS, is_midi_key

TICKS, MOST_TICKS = 480, 32_767
"""Of a beat, about, and at most as the header of a file holds them."""
VELOCITY = 80


def midi_of(roll: np.ndarray, keys: Sequence[str], grid: int, where: str, tempo: int = TEMPO) -> bytes:
    """The bytes of a MIDI file; frames of a key without a gap are one note.

    roll   uint8 [T, K]: 1 where a key sounds
    keys   [K]: MIDI numbers as text
    grid   frames of a beat
    tempo  microseconds of a beat

    Raises InputError for keys that are no MIDI numbers, and for a grid that no file can have.
    """
    numbers = keys_to_write(keys, where)
    if grid > MOST_TICKS:
        raise refused(where, "--grid", f"at most {MOST_TICKS:,} to write a MIDI file", f"{grid:,}", "Train anew.")
    ticks = max(1, TICKS // grid)
    mido = needed("mido", "writing a MIDI file")
    head = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo), mido.MetaMessage("end_of_track")])
    track = mido.MidiTrack([mido.Message("program_change", program=0)])
    before = 0
    for frame, begins, key in sorted(_changes(roll, numbers)):
        velocity = VELOCITY if begins else 0
        kind = "note_on" if begins else "note_off"
        track.append(mido.Message(kind, note=key, velocity=velocity, time=(frame - before) * ticks))
        before = frame
    track.append(mido.MetaMessage("end_of_track", time=(len(roll) - before) * ticks))
    file = io.BytesIO()
    mido.MidiFile(type=1, ticks_per_beat=ticks * grid, tracks=[head, track]).save(file=file)
    return file.getvalue()


def keys_to_write(keys: Sequence[str], where: str) -> list[int]:
    """[K] MIDI numbers of the names of keys. Raises InputError where a name is none."""
    others = [key for key in keys if not is_midi_key(key)]
    if others:
        remedy = "Give the rolls of the training an array `keys` with their MIDI numbers."
        expected = f"whole numbers below {MIDI_KEYS} to write a MIDI file"
        raise refused(where, "the keys of the model", expected, listed(others, 3), remedy)
    return [int(key) for key in keys]


def _changes(roll: np.ndarray, numbers: Sequence[int]) -> list[tuple[int, bool, int]]:
    """(frame, whether a note begins, its key) of every beginning and end."""
    found = []
    for number, sounds in zip(numbers, np.asarray(roll).T):
        frame = 0
        for down, run in groupby(sounds.tolist()):
            length = len(list(run))
            if down:
                found += [(frame, True, number), (frame + length, False, number)]
            frame += length
    return found
