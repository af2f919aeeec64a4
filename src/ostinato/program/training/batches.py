"""Batches by length. Which rows an update reads is a function of the seed and the number of the update alone.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...errors import InputError, phrase
from .seeds import derived

POOL = 50
"""Batches whose rows are sorted by length together: more of them waste less time, fewer of them mix rows better."""


LEAST_ROWS, MOST_ROWS = 32, 256
"""Rows of an update where the user gives no number."""
STEPS_OF_BATCH = 2000
"""Steps of a batch below which the cost of calls outweighs that of arithmetic, so that more rows cost little."""
LEAST_BATCHES = 64
"""Updates of an epoch that larger batches must leave."""


def usual_batch(lengths: np.ndarray) -> int:
    """Rows of an update for rows of such lengths: 32, or twice or more of that where rows are short and many."""
    rows, mean = LEAST_ROWS, float(np.mean(lengths)) if len(lengths) else 0.0
    while rows < MOST_ROWS and rows * mean < STEPS_OF_BATCH and len(lengths) >= 2 * rows * LEAST_BATCHES:
        rows *= 2
    return rows


def shuffled(count: int, seed: int) -> np.ndarray:
    """int64 [count]: 0 … count - 1 in an order that the seed alone decides, the same with every version of NumPy."""
    return np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable")


class Batches:
    """The batches of N rows, epoch after epoch.

    In each epoch every row is read once. The rows are shuffled and divided into pools of whole batches; the rows of a
    pool are sorted by length and cut into batches; the batches are shuffled. One batch of an epoch may be smaller.
    """

    def __init__(self, lengths: np.ndarray, batch: int, seed: int) -> None:
        if batch < 1:
            raise InputError(phrase("fit", "batch", "at least 1", batch, "Write --batch 32, say."))
        if not len(lengths):
            raise InputError(phrase("fit", "the training rows", "at least one", "none", "Check the split."))
        self.lengths, self.batch, self.seed = np.asarray(lengths), batch, seed
        self.per_epoch = -(-len(lengths) // batch)
        self._epoch, self._order = -1, [np.arange(0)]

    def rows(self, update: int) -> np.ndarray:
        """int64: the rows that an update reads, which is counted from 0."""
        epoch, place = divmod(update, self.per_epoch)
        if epoch != self._epoch:  # one epoch is kept; any other is computed again
            self._epoch, self._order = epoch, self._batches(epoch)
        return self._order[place]

    def _batches(self, epoch: int) -> list[np.ndarray]:
        order = shuffled(len(self.lengths), derived(self.seed, "rows", epoch))
        # At least four pools where there are batches enough: rows of one length otherwise are always read together.
        pool = self.batch * max(1, min(POOL, self.per_epoch // 4))
        found = []
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            found += list(by_length(self.lengths, rows, self.batch))
        return [found[place] for place in shuffled(len(found), derived(self.seed, "batches", epoch))]


def by_length(lengths: np.ndarray, rows: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """int64: the given rows, the longest first, in batches of which the last may be smaller."""
    rows = rows[np.argsort(-np.asarray(lengths)[rows], kind="stable")]
    for start in range(0, len(rows), batch):
        yield rows[start : start + batch]
