"""Where in the input a transcript's labels are: sums over the paths of the transcript, forwards and backwards.

Letters: F frames, B rows of a batch, V labels without the blank, U labels of a transcript, S = 2·U + 1 states: the
labels with a blank before, between and after them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MOST_CELLS = 1 << 16
"""U·F of an alignment that is kept; a longer one has no rows."""
_AT_ONCE = 1 << 21
"""Frames times states of the rows that are read together."""


def needed_frames(target: Tensor, padding: int) -> Tensor:
    """int64 [B]: the frames that transcripts [B, U] need: one a label, and a blank between two that are equal."""
    there = target != padding
    repeated = (target[:, 1:] == target[:, :-1]) & there[:, 1:]
    return there.sum(1) + repeated.sum(1)


def frames_of(labels: np.ndarray) -> int:
    """The same of one transcript [U]."""
    return int(needed_frames(torch.from_numpy(labels)[None], -1)[0])


def aligned(logs: np.ndarray, lengths: np.ndarray, labels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """(float32 [U, F] of each row, float64 [B] log of the probability of its transcript).

    logs    float64 [F, B, V + 1]: log-probabilities of each frame
    labels  int64 [U] of each row, which its frames can hold
    An entry is the share, between 0 and 1, of the transcript's probability whose paths are at this label in this frame;
    what a frame lacks to 1 is the blank's. A. Graves et al. 2006, equations (5) to (11), in logarithms.
    """
    found: list[np.ndarray] = []
    log_p = np.zeros(len(labels))
    states = 2 * max((len(row) for row in labels), default=0) + 1
    most = max(1, _AT_ONCE // max(1, len(logs) * states))
    for start in range(0, len(labels), most):
        part = slice(start, start + most)
        rows, log_p[part] = _some(logs[: lengths[part].max(initial=0), part], lengths[part], labels[part])
        found += rows
    return found, log_p


def _some(logs: np.ndarray, lengths: np.ndarray, labels: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    backwards = np.zeros_like(logs)
    for b, n in enumerate(lengths.tolist()):
        backwards[:n, b] = logs[:n, b][::-1]
    before, emitted = _forward(logs, labels)
    after, _ = _forward(backwards, [row[::-1] for row in labels])
    found, log_p = [], np.zeros(len(labels))
    for b, (n, row) in enumerate(zip(lengths.tolist(), labels, strict=True)):
        states = 2 * len(row) + 1
        if n:
            log_p[b] = np.logaddexp.reduce(before[n - 1, b, max(0, states - 2) : states])
        shape = (len(row), n)
        if len(row) * n > MOST_CELLS or not len(row):
            found.append(np.zeros((0, n), np.float32))
            continue
        both = before[:n, b, 1:states:2] + after[:n, b, :states][::-1, ::-1][:, 1::2] - emitted[:n, b, 1:states:2]
        found.append(np.exp(both - log_p[b]).T.astype(np.float32).reshape(shape))
    return found, log_p


def _forward(logs: np.ndarray, labels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """[F, B, S] twice: log of the sum over the beginnings of paths that are at a state in a frame, and of the state's
    own probability there."""
    rows, states = len(labels), 2 * max((len(row) for row in labels), default=0) + 1
    state = np.zeros((rows, states), np.int64)
    for b, row in enumerate(labels):
        state[b, 1 : 2 * len(row) : 2] = row
    emitted = np.take_along_axis(logs, np.broadcast_to(state, (len(logs), rows, states)), 2)
    jump = np.full((rows, states), -np.inf)
    jump[:, 2:][(state[:, 2:] != 0) & (state[:, 2:] != state[:, :-2])] = 0.0  # a blank between two may be left out
    found = np.full(emitted.shape, -np.inf)
    if not len(logs):
        return found, emitted
    found[0, :, :2] = emitted[0, :, :2]
    ways = np.full((3, rows, states), -np.inf)
    with np.errstate(divide="ignore"):  # the logarithm of 0, where no path leads to a state
        for frame in range(1, len(logs)):
            ways[0] = found[frame - 1]
            ways[1, :, 1:] = ways[0, :, :-1]
            ways[2, :, 2:] = ways[0, :, :-2] + jump[:, 2:]
            most = ways.max(0)
            most[most == -np.inf] = 0.0
            found[frame] = np.log(np.exp(ways - most).sum(0)) + most + emitted[frame]
    return found, emitted
