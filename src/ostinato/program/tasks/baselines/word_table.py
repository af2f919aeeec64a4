"""The best target word of each source word, by IBM Model 1, and how target words are joined to a text.

The best one has the largest product of p(target word | source word) and p(source word | target word), both from the
counts that the model expects.

Source: P. F. Brown et al., The Mathematics of Statistical Machine Translation, Computational Linguistics 19(2), 1993,
section 4.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..vocabulary import units_of

MOST_CELLS = 8_000_000
"""Pairs of a source word and a target word of one row that are counted; of more, those of the first rows."""
ROUNDS = 5
"""Steps of expectation and maximisation."""
_NONE = 0
"""The empty source word, from which target words without a counterpart come."""


class WordTable:
    """The best target word of each source word.

    source_unit, target_unit  word or char
    """

    def __init__(self, source_unit: str, target_unit: str) -> None:
        self.source_unit, self.target_unit, self.note = source_unit, target_unit, ""

    def fit(self, sources: Sequence[str], targets: Sequence[str]) -> WordTable:
        source_rows = [units_of(text, self.source_unit, False) for text in sources]
        target_rows = [units_of(text, self.target_unit, False) for text in targets]
        cells = np.cumsum([(len(a) + 1) * len(b) for a, b in zip(source_rows, target_rows)])
        kept = max(1, int(np.searchsorted(cells, MOST_CELLS, side="right")))
        if kept < len(cells):
            self.note = f"counted in the first {kept:,} of {len(cells):,} training rows"
        self._spaces(targets[:kept])
        names, said = self._entries(source_rows[:kept]), self._entries(target_rows[:kept])
        pairs, place, into = self._cells(source_rows[:kept], target_rows[:kept], names, said)
        probability = np.full(len(pairs), 1.0)
        of_source = pairs // max(len(said), 1)
        for _ in range(ROUNDS):
            share = probability[place]
            share /= np.bincount(into, share)[into]
            counts = np.bincount(place, share, len(pairs))
            probability = counts / np.bincount(of_source, counts)[of_source]
        # A frequent sign is probable after every word: what it came from has to be probable, too.
        of_target = pairs % max(len(said), 1)
        both = probability * counts / np.bincount(of_target, counts)[of_target]
        # The last of a rising order is kept: the most probable; of equal ones the target word that was seen first.
        order = np.lexsort((-of_target, both, of_source))
        best = {int(of_source[k]): int(pairs[k] % len(said)) for k in order}
        texts = list(said)
        self._best = {word: texts[best[k]] for word, k in names.items() if k in best}
        return self

    def translated(self, source: str) -> str:
        """The text of the best target words; words that the training rows lack are copied."""
        units = units_of(source, self.source_unit, False)
        return self._joined([self._best.get(unit) or self._best.get(unit.lower()) or unit for unit in units])

    def _entries(self, rows: Sequence[Sequence[str]]) -> dict[str, int]:
        """Word → number in the order of appearance; of sources and targets from 1, so that 0 is the empty word."""
        found: dict[str, int] = {"": _NONE}
        for row in rows:
            for unit in row:
                found.setdefault(unit, len(found))
        return found

    def _cells(
        self,
        sources: Sequence[Sequence[str]],
        targets: Sequence[Sequence[str]],
        names: dict[str, int],
        said: dict[str, int],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(the different pairs of words, which of them each cell is, to which target word of all rows it belongs)."""
        found, into, before = [], [], 0
        for source, target in zip(sources, targets):
            first = np.array([_NONE, *(names[unit] for unit in source)], np.int64)
            second = np.array([said[unit] for unit in target], np.int64)
            found.append((first[:, None] * len(said) + second).ravel())
            into.append(np.tile(np.arange(before, before + len(target)), len(first)))
            before += len(target)
        pairs, place = np.unique(np.concatenate(found), return_inverse=True)
        return pairs, place, np.concatenate(into).astype(np.int64)

    def _spaces(self, targets: Sequence[str]) -> None:
        """Counts at which signs there is a space: before a sign, and between a sign, or a word, and a word after it."""
        spaces: Counter[tuple[bool, str]] = Counter()
        for text in targets:
            at, previous = 0, ""
            for unit in units_of(text, self.target_unit, False):
                start = text.find(unit, at)
                if start < 0:  # a text that is not in composed form
                    break
                if previous:
                    spaces[_side(previous, unit)] += 1 if start > at else -1
                at, previous = start + len(unit), unit
        self._glued = {side for side, more in spaces.items() if more < 0}

    def _joined(self, units: Sequence[str]) -> str:
        if self.target_unit == "char":
            return "".join(units)
        text = "".join(units[:1])
        for previous, unit in zip(units, units[1:]):
            text += unit if _side(previous, unit) in self._glued else " " + unit
        return text


def _side(previous: str, unit: str) -> tuple[bool, str]:
    """Which of two neighbours decides about the space between them: (whether it is the first, the unit)."""
    word = unit[:1].isalnum()
    return word, previous if word else unit
