"""Baselines of transcripts: nothing, the most frequent one, that of the nearest training row, and the input itself.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ...data.examples import Examples, InputKind
from ..scored import targets_of
from ..task import Baseline, Predictions
from .extract import LONGEST, Bag, Extractor, Resampled, Weighed, letters, words

MOST_NEIGHBOURS = 5_000
"""Training rows that the nearest neighbour is looked for in."""
MOST_NUMBERS = 20_000_000
"""Numbers of their features, of which long recordings with many channels have many."""
LONGEST_RUN = 3
"""Symbols of the runs by which rows of symbols are compared."""


def for_transcripts(kind: InputKind) -> list[Baseline]:
    """The baselines of rows of `kind`, unfitted, the trivial ones first."""
    trivial: list[Baseline] = [Empty(), MostFrequent()]
    if kind == "text":
        return [*trivial, Copy(), Nearest("nearest text", Weighed(Bag(letters, LONGEST_RUN, joint="")))]
    if kind == "tokens":
        return [*trivial, Copy(), Nearest("nearest row", Weighed(Bag(words, LONGEST_RUN)))]
    return [*trivial, Nearest("nearest series", Resampled())]


class Empty:
    """The empty transcript: every character is missing, an error rate of 1."""

    name, note = "empty transcript", ""
    trivial = without_order = True

    def fit(self, train: Examples) -> Empty:
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([""] * len(examples))


class MostFrequent:
    """The most frequent transcript of the training rows, of equal counts the first."""

    name, note = "most frequent transcript", ""
    trivial = without_order = True

    def fit(self, train: Examples) -> MostFrequent:
        self._text = Counter(map(str, targets_of(train, self.name))).most_common(1)[0][0]
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([self._text] * len(examples))


class Copy:
    """The input itself: a text, or symbols with spaces between."""

    name, note = "copy of the input", ""
    trivial = without_order = False

    def fit(self, train: Examples) -> Copy:
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([row if isinstance(row, str) else " ".join(row) for row in examples.inputs])


class Nearest:
    """The transcript of the training row at the least Euclidean distance by the features of an extractor.

    Series are drawn to one length and scaled; symbols are counted in runs of 1 to 3, rare ones weighing more.
    """

    trivial = without_order = False

    def __init__(self, name: str, extractor: Extractor) -> None:
        self.name, self.note, self._extractor = name, "", extractor

    def fit(self, train: Examples) -> Nearest:
        texts = [str(text) for text in targets_of(train, self.name)]
        most = max(1, min(MOST_NEIGHBOURS, MOST_NUMBERS // _numbers(train)))
        if len(train) > most:
            self.note = f"{self.name}: among {most:,} of {len(train):,} training rows, evenly spaced."
            chosen = np.linspace(0, len(train) - 1, most).astype(np.int64)
            train, texts = train.take(chosen), [texts[k] for k in chosen]
        self._texts = texts
        self._model = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(self._extractor.fit_transform(train))
        return self

    def predict(self, examples: Examples) -> Predictions:
        if not len(examples):
            return Predictions([])
        found: Any = self._model.kneighbors(self._extractor.transform(examples), return_distance=False)
        return Predictions([self._texts[k] for k in found[:, 0]])


def _numbers(train: Examples) -> int:
    """Numbers of a row's features, where they are many."""
    if train.kind != "series":
        return 1
    return max(1, max(min(len(row), LONGEST) * row.shape[1] for row in train.inputs))
