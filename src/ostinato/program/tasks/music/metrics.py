"""The metrics of music, as sums over pieces, and what is counted by octave.

Letters: N pieces, T frames of a piece, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.music.rolls import is_midi_key
from ..intervals import Tally, Value, by_unit, ratio

THRESHOLD = 0.5
"""Probability above which a key is said to be down."""
KEYS_OF_OCTAVE = 12


def tally_of_rolls(
    rolls: Sequence[np.ndarray], nats: Sequence[np.ndarray], said: Any, groups: Sequence[str] | None
) -> Tally:
    """nats_per_frame, nats_per_frame_of_pieces and, where a model says which keys are down, frame_accuracy.

    rolls  N arrays [T, K] of 0 and 1
    nats   N arrays [T]: nats of all keys of a frame together
    said   N arrays [T, K] of probabilities, or None
    The first frame of a piece counts for none: it is given, as in the published figures, since no frame is before it.
    nats_per_frame is the mean over all frames, nats_per_frame_of_pieces the mean over pieces of the mean over their
    frames. frame_accuracy is TP / (TP + FP + FN), each summed over all frames and keys: M. Bay, A. Ehmann and
    J. Downie, Evaluation of multiple-F0 estimation and tracking systems, ISMIR 2009.
    """
    columns = np.zeros((len(rolls), 6))
    for row, (roll, found) in enumerate(zip(rolls, nats, strict=True)):
        frames = max(0, len(roll) - 1)
        total = float(np.sum(found[1:]))
        columns[row, :4] = (total, frames, total / frames if frames else 0.0, frames > 0)
        if said is not None:
            true, down = roll[1:] > 0, np.asarray(said[row])[1:] > THRESHOLD
            columns[row, 4:] = ((true & down).sum(), (true | down).sum())
    values: dict[str, tuple[Value, bool]] = {
        "nats_per_frame": (ratio(0, 1), False),
        "nats_per_frame_of_pieces": (ratio(2, 3), False),
    }
    if said is not None:
        values["frame_accuracy"] = (ratio(4, 5), True)
    return Tally(by_unit(columns, groups), values)


def by_octave(rolls: Sequence[np.ndarray], said: Any, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Octave, from C to B → notes (keys down times frames), precision, recall and F1 of its keys.

    Octaves are numbered as MIDI keys are, the C of key 60 is C4. Octaves in which no key is down, in truth or by the
    predictions, are left out. {} where a key's name is no number of MIDI.
    """
    numbers = midi_numbers(keys)
    if numbers is None or said is None:
        return {}
    counts = np.zeros((len(keys), 3))
    for roll, chances in zip(rolls, said, strict=True):
        true, down = roll[1:] > 0, np.asarray(chances)[1:] > THRESHOLD
        counts += np.stack([(true & down).sum(0), down.sum(0), true.sum(0)], 1)
    found = {}
    for octave in np.unique(numbers // KEYS_OF_OCTAVE):
        right, down, true = counts[numbers // KEYS_OF_OCTAVE == octave].sum(0)
        if down or true:
            name = f"C{octave - 1} to B{octave - 1}"
            found[name] = {
                "notes": int(true),
                "precision": float(right / down) if down else 0.0,
                "recall": float(right / true) if true else 0.0,
                "f1": float(2 * right / (down + true)),
            }
    return found


def midi_numbers(keys: Sequence[str]) -> np.ndarray | None:
    """int64 [K] of the names of keys; None where one is no whole number from 0 to 127."""
    if not all(map(is_midi_key, keys)):
        return None
    return np.array([int(name) for name in keys], np.int64)
