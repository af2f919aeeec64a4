"""Where the batches of a fit come from: rows by length, or windows of parallel streams.

Which batch an update reads is a function of the seed and the number of the update alone. Where several processes share
a fit, each reads its share of that batch: every size-th row or stream.

Letters: N units, B streams, T steps of a window.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from ...errors import InputError, phrase
from ..options import FitOptions
from ..tasks.task import IGNORED, Batch, Encoded, Stream, Task
from .batches import Batches, usual_batch
from .seeds import derived
from .world import Alone, World, share

STREAMS = 64
"""Streams of a text where the user gives no number."""


WHOLE = slice(None)
"""The share of a process alone."""


class Feed(Protocol):
    """The batches of a fit by the number of the update."""

    per_epoch: int
    """Updates that read everything once."""

    def batch(self, update: int) -> Batch | None:
        """This rank's share of the batch of the update with this number, counted from 0; None of an empty share."""

    def steps(self, update: int) -> int:
        """Steps of the whole batch over all rows, to which its cost is about proportional."""


class RowFeed:
    """Batches of rows by length."""

    def __init__(self, task: Task, encoded: Encoded, batch: int, seed: int, share: slice = WHOLE) -> None:
        self.task, self.encoded, self.share = task, encoded, share
        self.batches = Batches(encoded.lengths, batch, derived(seed, "order"))
        self.per_epoch = self.batches.per_epoch

    def batch(self, update: int) -> Batch | None:
        rows = [int(r) for r in self.batches.rows(update)[self.share]]
        return self.task.batch(self.encoded, rows) if rows else None

    def steps(self, update: int) -> int:
        return int(np.sum(self.batches.lengths[self.batches.rows(update)]))


class StreamFeed:
    """Windows of k1 steps of B parallel streams.

    The text is cut into B streams of equal length, which are read side by side: the target of a step is the unit after
    it. In every epoch the text is cut at another place, drawn from the seed, so that windows differ between epochs.
    """

    def __init__(self, stream: Stream, streams: int, k1: int, seed: int, share: slice = WHOLE) -> None:
        most = (len(stream.units) - 1) // 2
        if most < 1:
            remedy = "Give a longer text, or change --valid-share and --test-share."
            received = f"{len(stream.units)} units"
            raise InputError(phrase("fit", "the training text", "of three units or more", received, remedy))
        self.stream, self.seed = stream, seed
        self.streams = min(streams, most)
        self.own = np.arange(self.streams)[share]
        """The streams that this rank reads."""
        self.length = (len(stream.units) - 1) // self.streams
        self.k1 = min(k1, self.length)
        self.per_epoch = -(-self.length // self.k1)

    def batch(self, update: int) -> Batch | None:
        if not len(self.own):
            return None
        epoch, window = divmod(update, self.per_epoch)
        spare = len(self.stream.units) - 1 - self.streams * self.length
        most = min(len(self.stream.units) - 1, spare + self.length)
        shift = derived(self.seed, "streams", epoch) % (most + 1) if epoch else 0
        start, stop = window * self.k1, min((window + 1) * self.k1, self.length)
        # [T, B] places of the text; a stream that passes the end goes on at the beginning.
        places = shift + np.arange(start, stop)[:, None] + self.own[None, :] * self.length
        places %= len(self.stream.units) - 1
        resets = self._begins(places)
        if window == 0:
            resets[0] = True
        units = torch.from_numpy(self.stream.units[places].astype(np.int64))
        # The first unit of a document is not predicted from the one before it, which is another document's.
        target = self.stream.units[places + 1].astype(np.int64)
        target[self._begins(places + 1)] = IGNORED
        lengths = torch.full((len(self.own),), stop - start)
        weight = int((target != IGNORED).sum())
        return Batch({"units": units}, lengths, torch.from_numpy(target), weight, torch.from_numpy(resets), window == 0)

    def _begins(self, places: np.ndarray) -> np.ndarray:
        """bool [T, B]: where a document begins."""
        begins = self.stream.begins
        return begins[np.searchsorted(begins, places).clip(max=len(begins) - 1)] == places

    def steps(self, update: int) -> int:
        window = update % self.per_epoch
        return self.streams * (min((window + 1) * self.k1, self.length) - window * self.k1)


def feed_of(task: Task, encoded: Encoded, options: FitOptions, world: World | None = None) -> Feed:
    """The batches of the training rows, of which a rank of several processes reads its share."""
    own = share(world or Alone())
    if encoded.streams is not None:
        return StreamFeed(encoded.streams, options.batch or STREAMS, options.k1, options.seed, own)
    rows = encoded.training or encoded
    batch = options.batch or usual_batch(rows.lengths)
    return RowFeed(task, rows, batch, options.seed, own)
