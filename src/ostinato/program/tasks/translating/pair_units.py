"""The units of both sides of a translation, and how long an output can be for a source of some length.

Letters: N rows, T units of a source, U of a target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...data.spaces import plain_spaces
from ...options import NetworkOptions
from ..texts.units import TextUnits
from ..vocabulary import few_words

SOURCE = "source_"
"""Before the names of the files of the source's units."""
MANY_PAIRS, MANY_UNITS = 50_000, "bpe:8000"
"""From so many pairs on words are divided into parts; below, they are whole."""
LEAST_OFTEN = 2
"""Occurrences in the training rows from which on a word has an entry; others teach the unknown entry."""
LONGEST = 1000
"""Units of a side that are read; a longer one is cut, which is counted and said."""
MOST_MEAN = 1e5
"""Units of a target, and of a target over those of a source, at most in a folder that is opened."""
MEASURED = 2000
"""Texts whose units are counted for the mean length of a side."""


@dataclass(frozen=True)
class PairUnits:
    """The units of sources and targets, each with a vocabulary of its own."""

    source: TextUnits
    target: TextUnits
    per_unit: float
    """Mean units of a target over mean units of a source, of training rows."""
    mean: float
    """Units of a target, of training rows."""

    @classmethod
    def of(cls, sources: Sequence[str], targets: Sequence[str], options: NetworkOptions) -> PairUnits:
        """From training rows.

        Raises MissingPackageError for sub-word units without the tokenizers package.
        """
        sides = []
        for texts in (sources, targets):
            side = replace(options, unit=usual_unit(texts) if options.unit == "auto" else options.unit)
            least = LEAST_OFTEN if side.unit == "word" else 1
            sides.append(TextUnits.of(map(plain_spaces, texts), side, least))
        source, target = sides
        lengths = [_mean_length(units, texts) for units, texts in zip(sides, (sources, targets))]
        return cls(source, target, lengths[1] / max(lengths[0], 1.0), lengths[1])

    def limit(self, steps: int) -> int:
        """Units of an output at most, its end included, for a source of T units: twice what is usual, and ten more."""
        return 10 + math.ceil(2 * max(self.per_unit * steps, self.mean))

    def notes(self) -> list[str]:
        """Which units they are, a sentence."""
        if self.source.noun == self.target.noun:
            sizes = f"{len(self.source):,} of the source and {len(self.target):,} of the target"
            return [f"Texts are read by {self.source.noun}s: {sizes}."]
        own = f"{len(self.source):,} {self.source.noun}s", f"{len(self.target):,} {self.target.noun}s"
        return [f"Sources are read by {own[0]}, targets by {own[1]}."]

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        """The files of a model folder: the target's units, the source's, and lengths."""
        lengths = {"per_unit": self.per_unit, "mean": self.mean}
        own = {self.target.file: self.target.to_json(), SOURCE + self.source.file: self.source.to_json()}
        return {**own, "lengths.json": lengths}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> PairUnits:
        """What `to_json` gave. Raises ValueError for mean lengths that no texts have: they bound a search."""
        target, source = (
            TextUnits.from_json(files.get(f"{side}tokenizer.json") or files[f"{side}vocabulary.json"])
            for side in ("", SOURCE)
        )
        lengths = files["lengths.json"]
        per_unit, mean = float(lengths["per_unit"]), float(lengths["mean"])
        if not (0 <= per_unit <= MOST_MEAN and 0 <= mean <= MOST_MEAN):
            raise ValueError(f"mean lengths of {per_unit:g} and {mean:g} units")
        return cls(source, target, per_unit, mean)


def _mean_length(units: TextUnits, texts: Sequence[str]) -> float:
    """Units of a text, of as many as are needed, evenly spaced."""
    few = texts[:: -(-len(texts) // MEASURED)]
    return float(np.mean([len(units.encode(plain_spaces(text))) for text in few]))


def usual_unit(texts: Sequence[str]) -> str:
    """char for texts of which most have at most two words, such as names; parts of words where there are many rows."""
    if few_words(texts):
        return "char"
    return "word" if len(texts) < MANY_PAIRS else MANY_UNITS
