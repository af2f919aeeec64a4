"""Documents, and passages of them: what a language model reads.

Letters: N characters of a document.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .pieces import CUT

IN_MEMORY = 16_000_000
"""Characters from which on a document is kept in a temporary file instead of in memory; 4 bytes each."""
PASSAGE = 2_000
"""Characters of a passage, about."""
SLACK = 500
"""Characters by which a passage may be shorter or longer, so that it ends at white space."""
PIECE = 1 << 20
"""Characters that are read from a document at a time."""


@dataclass(frozen=True, eq=False)
class Document:
    """One text, as the code points of its characters."""

    name: str
    codes: np.ndarray
    """[N] uint32; a memory map of a temporary file where the text is long."""

    def __len__(self) -> int:
        return len(self.codes)

    def text(self, start: int, stop: int) -> str:
        """The characters from `start` to before `stop`."""
        return self.codes[start:stop].tobytes().decode("utf-32-le", "surrogatepass")

    def texts(self, size: int = PIECE) -> Iterator[str]:
        """The whole text, some characters at a time, divided where a text may be."""
        start = 0
        while start < len(self):
            end = start + size
            stop = len(self) if end >= len(self) else divided(self, max(start, end - SLACK), end)
            yield self.text(start, stop)
            start = stop

    @classmethod
    def of(cls, name: str, pieces: Iterable[str], in_memory: int = IN_MEMORY) -> Document:
        """Of a text that comes in pieces; at most `in_memory` characters and one piece are in memory at a time.

        The temporary file has no name, so the system removes it when the process ends, however that happens.
        """
        held: list[np.ndarray] = []
        size, file = 0, None
        for piece in pieces:
            codes = np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), "<u4")
            held.append(codes)
            size += len(codes)
            if file is None and size > in_memory:
                file = tempfile.TemporaryFile()
            if file is not None:
                for part in held:
                    file.write(part.tobytes())
                held = []
        if file is None:
            return cls(name, np.concatenate(held) if held else np.zeros(0, "<u4"))
        file.flush()
        with file:  # the map keeps the content, which has no name
            return cls(name, np.memmap(file, "<u4", "r", shape=(size,)))


@dataclass(frozen=True, eq=False)
class Passage:
    """Some characters of a document, with those before them in the same part of the split."""

    document: Document
    start: int
    stop: int
    begin: int
    """Where the passage's part of the document begins: no context reaches before it."""

    @property
    def text(self) -> str:
        return self.document.text(self.start, self.stop)

    def context(self, characters: int) -> str:
        """About so many characters before the passage, or as many as its part has; they begin at white space."""
        if self.start - self.begin <= characters:
            return self.document.text(self.begin, self.start)
        text = self.document.text(self.start - characters, self.start)
        first = CUT.search(text, 1, SLACK)
        return text[first.start() :] if first else text

    def follows(self, other: Passage) -> bool:
        """Whether it begins where the other one ends, in the same part."""
        same = self.document is other.document and self.begin == other.begin
        return same and self.start == other.stop

    def sha256(self) -> bytes:
        """Of the text."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(b"passage\0" + self.text.encode("utf-8", "surrogatepass")).digest()


def passages(document: Document, start: int, stop: int, size: int = PASSAGE, slack: int = SLACK) -> Iterator[Passage]:
    """The characters from `start` to before `stop` as passages that end where a text may be divided."""
    begin = start
    while start < stop:
        end = stop if stop - start <= size + slack else divided(document, start + size - slack, start + size)
        yield Passage(document, start, end, begin)
        start = end


def divided(document: Document, low: int, high: int, first: bool = False) -> int:
    """The last place after `low`, and not after `high`, at which the text may be divided; or the first from `low` on.

    `high` where there is none, or with `first` `low`.
    """
    # A character before, and two after: a line's end is seen from behind, and a space is single where another
    # character follows it.
    begin = max(0, low - 1)
    text = document.text(begin, min(high + 2, len(document)))
    places = [begin + match.start() for match in CUT.finditer(text) if match.start() <= high - begin]
    if first:
        return next((place for place in places if place >= low), low)
    return next((place for place in reversed(places) if place > low), high)
