"""Baselines of translations: the source itself, the translation of the nearest training source, and word by word.

Letters: N training sources, B sources of a block, F frequent entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.examples import Examples
from ...data.spaces import plain_spaces
from ...one_thread import one_thread
from ..scored import targets_of
from ..task import Baseline, Predictions
from ..vocabulary import few_words
from .extract import Bag, Weighed, letters, words
from .word_table import WordTable

MOST_SOURCES = 120_000
"""Training sources among which the nearest is looked for."""
BLOCK, FREQUENT = 128, 64
"""Sources at a time, and entries that so many training sources have that dense products are faster."""


class CopySource:
    """The source as it is."""

    name, note, trivial, without_order = "copy of the source", "", True, False

    def fit(self, train: Examples) -> CopySource:
        targets_of(train, self.name)
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([str(source) for source in examples.inputs])


class NearestSource:
    """The most frequent translation of the training source with the largest cosine of tf-idf weights.

    The entries are words; of short texts they are runs of up to three characters. A source that shares nothing with
    the training sources has the most frequent translation of all.
    """

    name, trivial, without_order = "nearest training source", False, True

    def __init__(self) -> None:
        self.note = ""

    def fit(self, train: Examples) -> NearestSource:
        found: dict[str, Counter[str]] = {}
        targets = [str(target) for target in targets_of(train, self.name)]
        for source, target in zip(train.inputs, targets):
            found.setdefault(plain_spaces(str(source)), Counter())[target] += 1
        kept = list(found)[:MOST_SOURCES]
        if len(kept) < len(found):
            self.note = f"looked for in the first {len(kept):,} of {len(found):,} training sources"
        self._targets = [found[source].most_common(1)[0][0] for source in kept]
        self._usual = Counter(targets).most_common(1)[0][0]
        self._places = {source: place for place, source in enumerate(kept)}
        short = few_words(kept)
        self._weighed = Weighed(Bag(letters, 3, joint="") if short else Bag(words))
        whole = self._weighed.fit_transform(_rows(kept)).tocsc()
        order = np.argsort(-np.diff(whole.indptr), kind="stable")
        self._frequent, self._rare = order[:FREQUENT], order[FREQUENT:]
        self._dense = torch.from_numpy(whole[:, self._frequent].toarray().astype(np.float32)).T.contiguous()
        self._sparse = whole[:, self._rare].T.tocsr()
        return self

    def predict(self, examples: Examples) -> Predictions:
        sources = [plain_spaces(str(source)) for source in examples.inputs]
        different = list(dict.fromkeys(sources))
        said: dict[str, str] = {}
        for begin in range(0, len(different), BLOCK):
            block = different[begin : begin + BLOCK]
            for source, (place, score) in zip(block, self._nearest(block)):
                said[source] = self._targets[place] if score > 0 else self._usual
        return Predictions([said[source] for source in sources])

    def _nearest(self, block: Sequence[str]) -> list[tuple[int, float]]:
        """(place of the nearest training source, cosine) of B sources; of equal ones the first."""
        rows = self._weighed.transform(_rows(block)).tocsc()
        dense = torch.from_numpy(rows[:, self._frequent].toarray().astype(np.float32))
        with one_thread():
            scores = (dense @ self._dense).numpy()
        rest = (rows[:, self._rare].tocsr() @ self._sparse).tocoo()
        scores[rest.row, rest.col] += rest.data.astype(np.float32)
        places = scores.argmax(1)
        for row, source in enumerate(block):  # an equal source is the nearest, whatever order rounding gives
            places[row] = self._places.get(source, places[row])
        return [(int(place), float(scores[row, place])) for row, place in enumerate(places)]


class WordByWord:
    """Of each source word its best translation by IBM Model 1, in the order of the source; unknown words are copied."""

    name, trivial, without_order = "word by word", False, False

    def __init__(self) -> None:
        self.note = ""

    def fit(self, train: Examples) -> WordByWord:
        targets = [str(target) for target in targets_of(train, self.name)]
        sources = [plain_spaces(str(source)) for source in train.inputs]
        targets = [plain_spaces(target) for target in targets]
        units = tuple("char" if few_words(side) else "word" for side in (sources, targets))
        self._table = WordTable(*units).fit(sources, targets)
        self.note = self._table.note
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([self._table.translated(plain_spaces(str(source))) for source in examples.inputs])


def for_translations() -> list[Baseline]:
    """Unfitted, the trivial one first."""
    found: list[Any] = [CopySource(), NearestSource(), WordByWord()]
    return found


def _rows(sources: Sequence[str]) -> Examples:
    return Examples("text", sources, "translation", None)
