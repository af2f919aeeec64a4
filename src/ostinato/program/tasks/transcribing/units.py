"""Transcripts as the labels that a network writes: characters or words; label 0 is the blank.

Letters: U labels of a transcript, V labels without the blank.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ....errors import InputError, phrase
from ...options import NetworkOptions
from ..texts.units import normal
from ..vocabulary import check_unit

BLANK = 0
"""The label that writes nothing, as torch.nn.functional.ctc_loss has it."""


@dataclass(frozen=True)
class TranscriptUnits:
    """The labels of the training transcripts, and how a text is divided into them."""

    unit: str
    """char or word."""
    lowercase: bool
    entries: Sequence[str]
    """Label k + 1 is the k-th of these, the most frequent first."""

    @classmethod
    def of(cls, texts: Iterable[str], options: NetworkOptions) -> TranscriptUnits:
        """From training transcripts; `auto` is characters. Raises InputError where they have no unit at all."""
        unit = "char" if options.unit == "auto" else options.unit
        check_unit(unit, "--unit")
        bare = cls(unit, options.lowercase, ())
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(bare.divide(text))
        if not counts:
            remedy = "Name the column of transcripts by --target."
            raise InputError(phrase("transcribe", "the training rows", "transcripts", "empty texts alone", remedy))
        order = sorted(counts, key=lambda entry: (-counts[entry], entry))
        return cls(unit, options.lowercase, tuple(order[: options.vocabulary]))

    def __len__(self) -> int:
        """V + 1: the labels, the blank among them."""
        return 1 + len(self.entries)

    @property
    def noun(self) -> str:
        """A unit in words."""
        return {"char": "character"}.get(self.unit, self.unit)

    def normal(self, text: str) -> str:
        """The text as it is compared: in Unicode's composed form, without white space at its ends, and small letters
        where it is so read."""
        return normal(text, self.lowercase).strip()

    def divide(self, text: str) -> list[str]:
        """Its units."""
        text = self.normal(text)
        return list(text) if self.unit == "char" else text.split()

    def encode(self, text: str) -> np.ndarray:
        """int64 [U]: the label of each unit; units that the training transcripts lack have none and are left out."""
        places = self._places
        return np.array([places[unit] for unit in self.divide(text) if unit in places], np.int64)

    def decode(self, labels: Iterable[int]) -> str:
        """The text of labels."""
        return ("" if self.unit == "char" else " ").join(self.entries[int(label) - 1] for label in labels)

    def unknown(self, text: str) -> int:
        """Units of a text without a label."""
        return sum(unit not in self._places for unit in self.divide(text))

    def to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "lowercase": self.lowercase, "entries": list(self.entries)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TranscriptUnits:
        entries = tuple(str(entry) for entry in content["entries"])
        return cls(str(content["unit"]), bool(content["lowercase"]), entries)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {entry: k for k, entry in enumerate(self.entries, 1)}
