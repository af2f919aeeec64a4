"""Passages of documents as units: rows of an evaluation with their context, and the streams of a training.

Letters: N units of all passages, T units of a passage, C of its context, P passages, D documents.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.text.passages import SLACK, Passage
from ..task import Stream
from .units import TextUnits

CONTEXT = 256
"""Units before a passage that are read and not scored."""
IN_MEMORY = 64_000_000
"""Units from which on they are kept in a temporary file, 4 bytes each."""
FIRST = "\n"
"""What is read before the first passage of a document: a document begins as a line does."""


@dataclass(frozen=True)
class UnitsOfPassage:
    """A passage as a row; both are views of the units of all passages where these have them."""

    before: np.ndarray
    """int32 [C], C at least 1: the context."""
    own: np.ndarray
    """int32 [T]"""

    @property
    def steps(self) -> int:
        """Steps of the network: the last unit is predicted and not read."""
        return len(self.before) + len(self.own) - 1

    def read(self) -> np.ndarray:
        """int32 [C + T]: the context and the passage."""
        return np.concatenate([self.before, self.own])


@dataclass(frozen=True)
class EncodedPassages:
    """All passages, encoded."""

    rows: Sequence[UnitsOfPassage]
    """[P]"""
    stream: Stream


class PassageUnits:
    """Encodes passages."""

    def __init__(self, units: TextUnits, in_memory: int = IN_MEMORY) -> None:
        self.units, self.in_memory = units, in_memory

    def encoded(self, passages: Sequence[Passage]) -> EncodedPassages:
        """Every passage once. A passage that follows the one before it goes on with its stream; others begin one."""
        whole, lengths = self._all(passages)
        ends = np.cumsum(lengths)
        starts = ends - lengths
        first, whole_part = 0, False
        begins = [k for k, passage in enumerate(passages) if k == 0 or not passage.follows(passages[k - 1])]
        fresh = set(begins)
        rows = []
        for k, (passage, start, end) in enumerate(zip(passages, starts.tolist(), ends.tolist())):
            if k in fresh:
                first, whole_part = start, passage.start == passage.begin
            known = whole[max(first, start - CONTEXT) : start]
            enough = len(known) == CONTEXT or (whole_part and len(known))
            rows.append(UnitsOfPassage(known if enough else context_of(passage, self.units), whole[start:end]))
        places = np.unique(starts[begins]) if begins else np.zeros(0, np.int64)
        return EncodedPassages(rows, Stream(whole, places))

    def _all(self, passages: Sequence[Passage]) -> tuple[np.ndarray, np.ndarray]:
        """int32 [N] the units of all passages, a memory map where they are many, and int64 [P] how many each has."""
        held: list[np.ndarray] = []
        lengths, size, file = [], 0, None
        for passage in passages:
            found = self.units.encode(passage.text)
            held.append(found)
            lengths.append(len(found))
            size += len(found)
            if file is None and size > self.in_memory:
                file = tempfile.TemporaryFile()
            if file is not None:
                file.write(np.concatenate(held).tobytes())
                held = []
        counts = np.array(lengths, np.int64)
        if file is None:
            return np.concatenate(held) if held else np.zeros(0, np.int32), counts
        file.flush()
        with file:  # the map keeps the content, which has no name
            return np.memmap(file, np.int32, "r", shape=(size,)), counts


def context_of(passage: Passage, units: TextUnits, most: int = CONTEXT) -> np.ndarray:
    """int32 [C]: at most so many units before a passage in its part, those of a line break where there are none."""
    characters, longest = most + SLACK, passage.start - passage.begin
    found = units.encode(passage.context(characters))
    while len(found) < most and characters < longest:
        characters *= 4
        found = units.encode(passage.context(characters))
    return found[-most:] if len(found) else units.encode(FIRST)
