"""Counting models of units: interpolated n-grams after Witten and Bell, down to the uniform distribution.

Letters: N training units, T units of a text, V entries, K the order: units of the longest history.
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

    Histories are numbered, a longer one by the number of its beginning and its last unit. Counts are therefore sorted
    arrays of at most N whole numbers for each order, whatever V and K are.
    """

    def __init__(self, order: int, entries: int) -> None:
        if order < 0 or entries < 1:
            raise InputError(phrase("n-gram", "order and entries", "0 and 1 or more", f"{order} and {entries}"))
        self.order, self.entries = order, entries
        self._keys: list[np.ndarray] = []
        self._counts: list[np.ndarray] = []
        self._totals: list[np.ndarray] = []
        self._different: list[np.ndarray] = []

    def fit(self, runs: Sequence[np.ndarray]) -> WittenBell:
        """Counts runs of units, each int [N]; no history reaches from one run into the next."""
        lengths = np.array([len(run) for run in runs if len(run)], np.int64)
        if not len(lengths):
            raise InputError(phrase("n-gram", "the training text", "at least one unit", "none", "Give a longer text."))
        units = np.concatenate([run for run in runs if len(run)]).astype(np.int64)
        place = np.arange(len(units)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        history = np.zeros(len(units), np.int64)
        """The number of the k units before each unit."""
        for k in range(self.order + 1):
            inside = place >= k
            keys, inverse, counts = np.unique(
                history[inside] * self.entries + units[inside], return_inverse=True, return_counts=True
            )
            size = int(history[inside].max(initial=0)) + 1
            before = keys // self.entries
            # Where no run is that long: a key that no history has, so that arrays have an entry to look up.
            self._keys.append(keys if len(keys) else np.array([-1]))
            self._counts.append(counts if len(keys) else np.array([0]))
            self._totals.append(np.bincount(before, counts, size).astype(np.int64))
            self._different.append(np.bincount(before, minlength=size))
            longer = np.zeros(len(units), np.int64)
            longer[inside] = inverse.reshape(-1)
            history = np.roll(longer, 1)
        return self

    def probabilities(self, units: np.ndarray, first: int = 0, base: np.ndarray | None = None) -> np.ndarray:
        """float64 [K + 1, T - first]: of each unit from `first` on after those before it, by every order from 0 to K.

        base  [T - first] what stands below the empty history, instead of the uniform distribution
        """
        units = np.asarray(units, np.int64)
        history = np.zeros(len(units), np.int64)
        found = np.empty((self.order + 1, len(units) - first))
        below = np.full(len(units), 1 / self.entries)
        if base is not None:
            below[first:] = base
        for k in range(self.order + 1):
            keys, totals = self._keys[k], self._totals[k]
            known = (history >= 0) & (history < len(totals)) & (np.arange(len(units)) >= k)
            numbers = np.where(known, history, 0)
            wanted = numbers * self.entries + units
            places = np.searchsorted(keys, wanted)
            hit = known & (keys[np.minimum(places, len(keys) - 1)] == wanted)
            count = np.where(hit, self._counts[k][np.minimum(places, len(keys) - 1)], 0)
            total, different = totals[numbers], self._different[k][numbers]
            seen = known & (total > 0)
            divisor = np.where(seen, total + different, 1)
            below = np.where(seen, (count + different * below) / divisor, below)
            found[k] = below[first:]
            history = np.roll(np.where(hit, places, -1), 1)
        return found
