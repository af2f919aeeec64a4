"""Counting models of units: interpolated n-grams after Witten and Bell, down to the uniform distribution.

Letters: N training units, R runs, T units of a text, P units that are predicted, V entries, K the order: units of the
longest history.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....errors import InputError, phrase


class WittenBell:
    """The probability of a unit after the K units before it.

    p(w | h) = (c(h, w) + t(h) p(w | h')) / (c(h) + t(h)), with c the counts, t(h) the different units seen after h, and
    h' the history without its first unit; below the empty history is the uniform distribution over V entries. Source:
    I. Witten and T. Bell, The zero-frequency problem, 1991, method C, interpolated.

    order    K; 0 looks at no unit before
    entries  V
    read     units at the beginning of each run that are part of histories alone: they are never predicted

    Histories are numbered, a longer one by the number of its beginning and its last unit. Counts are therefore sorted
    arrays of at most N whole numbers for each order, whatever V and K are.
    """

    def __init__(self, order: int, entries: int, read: int = 0) -> None:
        if order < 0 or entries < 1:
            raise InputError(phrase("n-gram", "order and entries", "0 and 1 or more", f"{order} and {entries}"))
        self.order, self.entries, self.read = order, entries, read
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._totals: list[np.ndarray] = []
        self._different: list[np.ndarray] = []

    def fit(self, runs: Sequence[np.ndarray], starts: Sequence[int] | None = None) -> WittenBell:
        """Counts R runs of units, each int [N]; no history reaches from one run into the next.

        starts  [R] a number of each run, 0 or more: runs of different numbers share no history, not even the empty one
        """
        units, place, history = _joined(runs, starts)
        if not len(units):
            raise InputError(phrase("n-gram", "the training text", "at least one unit", "none", "Give a longer text."))
        for k in range(self.order + 1):
            inside = place >= k
            keys, inverse = np.unique(history[inside] * self.entries + units[inside], return_inverse=True)
            inverse = inverse.reshape(-1)
            counts = np.bincount(inverse, place[inside] >= self.read, len(keys)).astype(np.int64)
            size = int(history[inside].max(initial=0)) + 1
            before = keys // self.entries
            # Where no run is that long: a key that no history has, so that arrays have an entry to look up.
            self._keys.append(keys if len(keys) else np.array([-1]))
            self._counts.append(counts if len(keys) else np.array([0]))
            self._totals.append(np.bincount(before, counts, size).astype(np.int64))
            self._different.append(np.bincount(before, counts > 0, size).astype(np.int64))
            longer = np.zeros(len(units), np.int64)
            longer[inside] = inverse
            history = np.roll(longer, 1)
        return self

    def probabilities(self, units: np.ndarray, first: int = 0) -> np.ndarray:
        """float64 [K + 1, T - first]: of the units of one run from `first` on, by every order from 0 to K."""
        return self.of_runs([units])[:, first:]

    def of_runs(
        self, runs: Sequence[np.ndarray], starts: Sequence[int] | None = None, base: np.ndarray | None = None
    ) -> np.ndarray:
        """float64 [K + 1, P]: of each predicted unit of R runs, one after the other, by every order from 0 to K.

        starts  [R] as in `fit`; of a number that no training run has, all probabilities are those of `base`
        base    [P] what is below the empty history, instead of the uniform distribution
        """
        units, place, history = _joined(runs, starts)
        predicted = place >= self.read
        found = np.empty((self.order + 1, int(predicted.sum())))
        below = np.full(len(units), 1 / self.entries)
        if base is not None:
            below[predicted] = base
        for k in range(self.order + 1):
            keys, totals = self._keys[k], self._totals[k]
            if not len(keys):  # all training runs are shorter
                found[k:] = below[predicted]
                break
            known = (history >= 0) & (history < len(totals)) & (place >= k)
            numbers = np.where(known, history, 0)
            wanted = numbers * self.entries + units
            places = np.searchsorted(keys, wanted)
            hit = known & (keys[np.minimum(places, len(keys) - 1)] == wanted)
            count = np.where(hit, self._counts[k][np.minimum(places, len(keys) - 1)], 0)
            total, different = totals[numbers], self._different[k][numbers]
            seen = known & (total > 0)
            divisor = np.where(seen, total + different, 1)
            below = np.where(seen, (count + different * below) / divisor, below)
            found[k] = below[predicted]
            history = np.roll(np.where(hit, places, -1), 1)
        return found

    def histories(self, units: np.ndarray) -> np.ndarray:
        """int64 [K + 1, T]: the number of the 0 to K units before each place; -1 of what no training text has."""
        units = np.asarray(units, np.int64)
        history = np.zeros(len(units), np.int64)
        found = np.empty((self.order + 1, len(units)), np.int64)
        for k in range(self.order + 1):
            keys = self._keys[k]
            if not len(keys):  # all training runs are shorter
                found[k:] = -1
                break
            known = (history >= 0) & (history < len(self._totals[k])) & (np.arange(len(units)) >= k)
            found[k] = np.where(known, history, -1)
            wanted = np.where(known, history, 0) * self.entries + units
            places = np.searchsorted(keys, wanted)
            hit = known & (keys[np.minimum(places, len(keys) - 1)] == wanted)
            history = np.roll(np.where(hit, places, -1), 1)
        return found

    def distributions(self, histories: np.ndarray) -> np.ndarray:
        """float64 [P, V]: the probability of every entry after each of P histories, int64 [K + 1, P].

        The probability of a unit is that of `probabilities`, but for rounding.
        """
        alone = np.full((1, self.entries), 1 / self.entries)
        self._mix(alone, 0, np.zeros(1, np.int64))
        found = np.repeat(alone, histories.shape[1], 0)
        for k in range(1, len(histories)):
            self._mix(found, k, histories[k])
        return found

    def _mix(self, found: np.ndarray, k: int, history: np.ndarray) -> None:
        """Replaces probabilities [P, V] after shorter histories by those after k units, where these were seen."""
        rows = np.flatnonzero(history >= 0)
        rows = rows[self._totals[k][history[rows]] > 0]
        history = history[rows]
        different = self._different[k][history]
        divisor = self._totals[k][history] + different
        found[rows] *= (different / divisor)[:, None]
        first = np.searchsorted(self._keys[k], history * self.entries)
        places = np.arange(different.sum()) + np.repeat(first - (np.cumsum(different) - different), different)
        entry = self._keys[k][places] % self.entries
        found[np.repeat(rows, different), entry] += self._counts[k][places] / np.repeat(divisor, different)


def _joined(runs: Sequence[np.ndarray], starts: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64 each, of all units of the runs: the unit, its place in its run, and the number of its run."""
    lengths = np.array([len(run) for run in runs], np.int64)
    units = np.concatenate([np.zeros(0, np.int64), *runs]).astype(np.int64)
    place = np.arange(len(units)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return units, place, np.repeat(np.asarray(starts or [0] * len(runs), np.int64), lengths)
