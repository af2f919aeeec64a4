"""Baselines that look at no input: the most frequent class, labels that most rows have, the mean, the median.

Letters: N rows, K classes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ...data.examples import Examples
from ..metrics import indicators
from ..scored import targets_of
from ..task import Predictions


class Majority:
    """The most frequent class of the training rows, with the shares of all classes as probabilities."""

    name, note = "majority", ""
    trivial = without_order = True

    def fit(self, train: Examples) -> Majority:
        targets: Any = targets_of(train, self.name)
        self._several = train.target_kind == "labels"
        if self._several:
            self._classes = sorted({name for row in targets for name in row})
            self._shares = indicators(targets, self._classes).mean(0)
        else:
            counts = Counter(targets)
            self._classes = sorted(counts)
            self._shares = np.array([counts[c] for c in self._classes]) / len(targets)
        return self

    def predict(self, examples: Examples) -> Predictions:
        said: Any = self._classes[int(self._shares.argmax())] if not self._several else self._above_half()
        return Predictions([said] * len(examples), np.tile(self._shares, (len(examples), 1)))

    def _above_half(self) -> tuple[str, ...]:
        """The labels that most rows have; where there is none, the most frequent label."""
        most = [c for c, share in zip(self._classes, self._shares) if share > 0.5]
        return tuple(most) or (self._classes[int(self._shares.argmax())],)


class Constant:
    """The mean or the median of the training targets."""

    note = ""
    trivial = without_order = True

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, train: Examples) -> Constant:
        numbers = np.array(targets_of(train, self.name), np.float64)
        self._value = float(numbers.mean() if self.name == "mean" else np.median(numbers))
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([self._value] * len(examples))
