"""Texts as numbers: words or characters, the vocabulary of the training rows, and word vectors from a file.

Letters: V entries of the vocabulary, E numbers of a vector.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, phrase

UNITS = ("word", "char")
UNKNOWN = 0
"""The entry that all units outside the vocabulary share."""
FEW_WORDS = 2
"""Texts of at most so many words are read by their characters, because most of their words are new in other rows."""
WORD = re.compile(r"</?\w[^<>]{0,200}>|\w+(?:['’]\w+)*|[^\w\s]")
"""A mark-up tag, a word with inner apostrophes, or one sign of punctuation."""


def units_of(text: str, unit: str, lowercase: bool) -> list[str]:
    """The words or the characters of a text, in Unicode's composed form."""
    text = unicodedata.normalize("NFC", text)
    if lowercase:
        text = text.lower()
    return list(text) if unit == "char" else WORD.findall(text)


def few_words(texts: Sequence[str]) -> bool:
    """Whether more than half of the texts have at most two words, as names have."""
    return 2 * sum(len(text.split()) <= FEW_WORDS for text in texts) > len(texts)


def check_unit(unit: str, where: str) -> None:
    """Refuses a unit that no text can be divided into."""
    if unit not in UNITS:
        raise InputError(phrase(where, "unit", "word or char", repr(unit), "Write --unit word or --unit char."))


@dataclass(frozen=True)
class Vocabulary:
    """The units of the training rows that have an entry of their own, the most frequent first."""

    entries: Sequence[str]
    """Entry k + 1 is the k-th of these; entry 0 stands for all others."""
    seen_once: int
    """Entries from this number on occur once in the training rows: the network learns its unknown entry on them."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[str]], largest: int, least: int = 1) -> Vocabulary:
        """At most `largest` units that occur at least `least` times; of equal counts the first seen comes first."""
        counts: Counter[str] = Counter()
        for row in rows:
            counts.update(row)
        kept = [(word, count) for word, count in counts.most_common(largest) if count >= least]
        once = next((k for k, (_, count) in enumerate(kept) if count == 1), len(kept))
        return cls([word for word, _ in kept], once + 1)

    def __len__(self) -> int:
        return len(self.entries) + 1

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Unit → entry."""
        return {word: k for k, word in enumerate(self.entries, 1)}

    def numbers(self, row: Sequence[str]) -> np.ndarray:
        """int64 [T]: the entry of each unit."""
        return np.fromiter(map(self.places.get, row, repeat(UNKNOWN)), np.int64, len(row))

    def to_json(self) -> dict[str, Any]:
        return {"entries": list(self.entries), "seen_once": self.seen_once}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Vocabulary:
        return cls([str(word) for word in content["entries"]], int(content["seen_once"]))


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the words of a vocabulary that a file of vectors has."""

    places: np.ndarray
    """int64: entries of the vocabulary."""
    values: np.ndarray
    """float32 [found, E]"""

    @property
    def width(self) -> int:
        return int(self.values.shape[1])


def read_vectors(path: Path, vocabulary: Vocabulary) -> WordVectors:
    """Reads `word number number …` lines, with or without the first line `count width` that some files have.

    A word that the vocabulary has takes its vector from the line of the same letters, else from that of its lower
    case. Source of the format: word2vec, GloVe and fastText's .vec. Raises InputError for lines of unequal width, for
    what is no number, for a file that cannot be read, and where no word of the vocabulary is in the file.
    """
    lower: dict[str, list[int]] = {}
    for word, place in vocabulary.places.items():
        lower.setdefault(word.lower(), []).append(place)
    found: dict[int, np.ndarray] = {}
    exact: set[int] = set()
    width = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                word, *numbers = line.rstrip(" \r\n").rsplit(" ", width or -1)  # a word may hold spaces
                if number == 1 and len(numbers) == 1 and word.isdigit():
                    continue
                width = width or len(numbers)
                vector = _vector(path, number, numbers, width)
                own = vocabulary.places.get(word)
                for place in lower.get(word, []):
                    if place not in exact:
                        found[place] = vector
                if own is not None:
                    found[own] = vector
                    exact.add(own)
    except (OSError, UnicodeDecodeError) as error:
        remedy = "Give the path of a text file: a word and its numbers on each line."
        raise InputError(phrase("--vectors", "the file", "readable UTF-8 text", str(error), remedy)) from error
    if not found:
        remedy = "Check that the vectors are of the same language, and that --unit is word."
        raise InputError(phrase("--vectors", str(path), "vectors of words in the training rows", "none", remedy))
    places = sorted(found)
    return WordVectors(np.array(places, np.int64), np.stack([found[place] for place in places]))


def _vector(path: Path, line: int, numbers: Sequence[str], width: int) -> np.ndarray:
    remedy = "Every line is a word and as many numbers as the first line has, divided by single spaces."
    if len(numbers) != width or not width:
        raise InputError(
            phrase("--vectors", f"{path}, line {line}", f"{width or 'some'} numbers", len(numbers), remedy)
        )
    try:
        vector = np.array(numbers, np.float32)
    except ValueError as error:
        raise InputError(phrase("--vectors", f"{path}, line {line}", "numbers", str(error), remedy)) from error
    if not np.isfinite(vector).all():
        raise InputError(phrase("--vectors", f"{path}, line {line}", "finite numbers", "NaN or infinity", remedy))
    return vector
