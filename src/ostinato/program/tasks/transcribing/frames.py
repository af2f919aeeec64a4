"""Frames: neighbouring steps of a series that are read as one, so that long recordings have fewer.

Letters: T steps, C channels, F frames, N rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_STACKED = 3
"""Steps of a frame at most."""
LEAST_FRAMES = 2.0
"""Frames that the median training row has for each frame that its transcript needs."""


def stacked(row: np.ndarray, steps: int) -> np.ndarray:
    """[F, steps·C] of a row [T, C]: `steps` neighbours side by side, zeros after the last."""
    if steps == 1:
        return row
    count = -(-len(row) // steps)
    whole = np.zeros((count * steps, row.shape[1]), row.dtype)
    whole[: len(row)] = row
    return whole.reshape(count, steps * row.shape[1])


def steps_of_frame(lengths: Sequence[int], needed: Sequence[int]) -> int:
    """How many steps a frame has: the most that leave every transcript of N training rows possible that is possible
    by single steps, and half of the rows twice the frames that their transcripts need.

    lengths  [N] steps
    needed   [N] frames that the transcripts need
    """
    steps, least = np.asarray(lengths, np.int64), np.asarray(needed, np.int64)
    fits = (steps >= least) & (least > 0)
    if not fits.any():
        return 1
    for most in range(MOST_STACKED, 1, -1):
        frames = -(-steps[fits] // most)
        if (frames >= least[fits]).all() and np.median(frames / least[fits]) >= LEAST_FRAMES:
            return most
    return 1
