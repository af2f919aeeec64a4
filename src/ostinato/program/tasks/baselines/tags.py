"""Baselines of taggers: the most frequent tag, that of each word, and a window of five words.

Letters: T tokens, K tags.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import SGDClassifier

from ...data.examples import Examples
from ..scored import targets_of
from ..task import Predictions

MOST_TOKENS = 200_000
"""Training tokens that the window reads at most."""


class MajorityTag:
    """The most frequent tag of the training tokens, everywhere."""

    name, note = "majority", ""
    trivial = without_order = True

    def fit(self, train: Examples) -> MajorityTag:
        self._tag = Counter(tag for tags in _tags(train, self.name) for tag in tags).most_common(1)[0][0]
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([[self._tag] * len(tokens) for tokens in examples.inputs])


class MostFrequentTag:
    """Of each word its most frequent tag in the training rows, of equal counts the first seen.

    unknown  the tag of words that the training rows lack; None: the most frequent tag of words that occur once there
    """

    name, note, trivial, without_order = "most frequent tag of the word", "", False, True

    def __init__(self, unknown: str | None = None) -> None:
        self._given = unknown

    def fit(self, train: Examples) -> MostFrequentTag:
        counts: dict[str, Counter[str]] = {}
        tags = _tags(train, self.name)
        for words, row in zip(train.inputs, tags, strict=True):
            for word, tag in zip(words, row, strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        self._of = {word: found.most_common(1)[0][0] for word, found in counts.items()}
        once = Counter(self._of[word] for word, found in counts.items() if found.total() == 1)
        everywhere = once or Counter(tag for row in tags for tag in row)
        self._unknown = everywhere.most_common(1)[0][0] if self._given is None else self._given
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([[self._of.get(word, self._unknown) for word in words] for words in examples.inputs])


class WindowOfWords:
    """Logistic regression on the word, two words on either side, and the ending and capital of the word itself."""

    name, trivial, without_order = "window of 5 words", False, False

    def __init__(self) -> None:
        self.note = ""

    def fit(self, train: Examples) -> WindowOfWords:
        tags = _tags(train, self.name)
        before = np.cumsum([0, *(len(words) for words in train.inputs[:-1])])
        rows = int((before < MOST_TOKENS).sum())
        if rows < len(train):
            self.note = f"{self.name}: fitted on the first {rows:,} of {len(train):,} training sentences."
        y = [tag for row in tags[:rows] for tag in row]
        self._classes = sorted(set(y))
        self._hasher = FeatureHasher(2**17, input_type="string", alternate_sign=False)
        self._model = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=3, tol=None, random_state=0)
        if len(self._classes) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # three passes are the bound, whether they are enough or not
                self._model.fit(self._hashed(train.inputs[:rows]), y)
        return self

    def predict(self, examples: Examples) -> Predictions:
        lengths = [len(words) for words in examples.inputs]
        if not sum(lengths) or len(self._classes) == 1:
            return Predictions([[self._classes[0]] * length for length in lengths])
        found = self._model.predict_proba(self._hashed(examples.inputs))
        parts = np.split(found, np.cumsum(lengths)[:-1])
        names: Sequence[str] = self._model.classes_
        return Predictions([[str(names[k]) for k in part.argmax(1)] for part in parts], parts)

    def _hashed(self, sentences: Sequence[Sequence[str]]) -> Any:
        return self._hasher.transform(features for words in sentences for features in _windows(words))


def _windows(words: Sequence[str]) -> Iterator[list[str]]:
    low = ["", "", *(word.lower() for word in words), "", ""]
    for k, word in enumerate(words):
        around = [f"{j}:{low[k + j]}" for j in range(5)]
        yield [*around, f"end:{low[k + 2][-3:]}", f"end2:{low[k + 2][-2:]}", f"shape:{_shape(word)}"]


def _shape(word: str) -> str:
    digits = any(c.isdigit() for c in word)
    return f"{word[:1].isupper():d}{word.isupper():d}{digits:d}{word.isalpha():d}"


def _tags(train: Examples, where: str) -> Sequence[Sequence[str]]:
    found: Any = targets_of(train, where)
    return found
