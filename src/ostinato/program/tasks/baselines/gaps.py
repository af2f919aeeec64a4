"""Baselines of filled gaps: how often units are, an n-gram of what is before, and the product of n-grams of both sides.

Letters: T units of a passage, V entries, P pieces' units whose probabilities are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...data.examples import Examples
from ..task import Predictions
from ..texts.passage_units import PassageUnits
from ..texts.units import TextUnits
from .ngrams import WittenBell
from .texts import best_order, runs_of

MOST = 1 << 22
"""Probabilities [P, V] that are in memory at a time."""


class GapBaseline:
    """What the baselines share: the probability and the rank of every unit of passages."""

    name = ""
    trivial, without_order = False, False

    def __init__(self, units: TextUnits, most: int) -> None:
        self.units, self.most, self.note = units, most, ""

    def fit(self, train: Examples) -> GapBaseline:
        runs, note = runs_of(train, self.units, self.name)
        said = self.count(runs)
        self.note = " ".join(filter(None, [said, note]))
        return self

    def count(self, runs: list[np.ndarray]) -> str:
        """Counts runs of training units, each [N]; returns what there is to say of it."""
        raise NotImplementedError

    def logarithms(self, units: np.ndarray) -> Iterator[np.ndarray]:
        """float64 [P, V]: log p of every entry at each place of a passage [T], in pieces."""
        raise NotImplementedError

    def predict(self, examples: Examples) -> Predictions:
        nats, ranks = [], []
        for row in PassageUnits(self.units).encoded(examples.inputs).rows:
            found = [_scored(logs, right) for logs, right in self._pieces(row.own)]
            nats.append(np.concatenate([n for n, _ in found]))
            ranks.append(np.concatenate([r for _, r in found]))
        return Predictions(nats, ranks=ranks)

    def _pieces(self, own: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        first = 0
        for logs in self.logarithms(own):
            yield logs, own[first : first + len(logs)]
            first += len(logs)

    def places(self, count: int) -> Iterator[slice]:
        """So many units as slices of P."""
        rows = max(1, MOST // len(self.units))
        return (slice(first, first + rows) for first in range(0, count, rows))


class GapUnigram(GapBaseline):
    """The share of each unit in the training passages."""

    name, trivial, without_order = "unigram", True, True

    def count(self, runs: list[np.ndarray]) -> str:
        self._logs = np.log(_alone(WittenBell(0, len(self.units)).fit(runs)))
        return ""

    def logarithms(self, units: np.ndarray) -> Iterator[np.ndarray]:
        for place in self.places(len(units)):
            yield np.broadcast_to(self._logs, (len(units[place]), len(self._logs)))


class GapNGram(GapBaseline):
    """p(unit | those before it): an n-gram, whose order is chosen as that of a language model."""

    name = "n-gram from the left"

    def count(self, runs: list[np.ndarray]) -> str:
        self._left = _counted(runs, self.most, len(self.units))
        return f"Witten-Bell, units before: up to {self._left.order}."

    def logarithms(self, units: np.ndarray) -> Iterator[np.ndarray]:
        histories = self._left.histories(units)
        for place in self.places(len(units)):
            yield np.log(self._left.distributions(histories[:, place]))


class GapProduct(GapBaseline):
    """The product of n-grams of both sides: p(u | left, right) = p(u | left) p(u | right) / p(u), normalised over u.

    It is exact where the sides are independent given the unit.
    """

    name = "n-grams from both sides"

    def count(self, runs: list[np.ndarray]) -> str:
        entries = len(self.units)
        self._left = _counted(runs, self.most, entries)
        self._right = _counted([run[::-1] for run in runs], self.most, entries)
        self._alone = np.log(_alone(self._left))
        return (
            f"p(u | left) p(u | right) / p(u), normalised over u; Witten-Bell, units before: up to {self._left.order}, "
            f"after: up to {self._right.order}."
        )

    def logarithms(self, units: np.ndarray) -> Iterator[np.ndarray]:
        left, right = self._left.histories(units), self._right.histories(units[::-1])[:, ::-1]
        for place in self.places(len(units)):
            logs = np.log(self._left.distributions(left[:, place]))
            logs += np.log(self._right.distributions(right[:, place]))
            logs -= self._alone
            logs -= logs.max(1, keepdims=True)
            logs -= np.log(np.exp(logs).sum(1, keepdims=True))
            yield logs


def _counted(runs: list[np.ndarray], most: int, entries: int) -> WittenBell:
    return WittenBell(best_order(runs, most, entries), entries).fit(runs)


def _alone(model: WittenBell) -> np.ndarray:
    """float64 [V]: p(u)."""
    return model.distributions(np.zeros((1, 1), np.int64))[0]


def _scored(logs: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[P] nats of the right units, and their ranks; of equally probable units, the first entry is first."""
    own = logs[np.arange(len(right)), right][:, None]
    earlier = np.arange(logs.shape[1]) < right[:, None]
    return -own[:, 0], ((logs > own) | ((logs == own) & earlier)).sum(1)
