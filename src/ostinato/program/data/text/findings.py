"""What is odd about a text, counted while it is read, and what its parts have in common."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from ..examples import Examples, Split
from ..findings import Finding, many
from ..refusals import listed

MOST_LINES = 2_000_000
"""Different lines that are kept; those after them are not compared."""
LONG = 20
"""Characters from which on a line that occurs again is no accident."""
REPEATED = 0.05
"""The share of lines that occur again from which on a text is said to repeat itself."""


class TextCounts:
    """Counts of one text, which comes in pieces."""

    def __init__(self) -> None:
        self.characters = self.visible = self.bytes = self.carriage_returns = self.unended = 0
        self._codes = np.zeros(0x110000, np.int64)
        self._lines: Counter[int] = Counter()
        self._half = ""

    def counted(self, pieces: Iterable[str]) -> Iterator[str]:
        """The same pieces, counted as they pass."""
        for piece in pieces:
            codes = np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), "<u4")
            found, counts = np.unique(codes, return_counts=True)
            self._codes[found] += counts
            self.characters += len(codes)
            self.visible += bool(piece.strip())
            self.bytes += len(piece.encode("utf-8", "surrogatepass"))
            *lines, self._half = (self._half + piece).split("\n")
            self._remember(lines)
            yield piece
        self._remember([self._half])
        self.unended = int(bool(self._half))

    def _remember(self, lines: Iterable[str]) -> None:
        for line in lines:
            key = hash(line)
            if len(line) >= LONG and (key in self._lines or len(self._lines) < MOST_LINES):
                self._lines[key] += 1

    def notes(self, name: str) -> Iterator[str]:
        """The size of the text, and what reading has changed."""
        different = int((self._codes > 0).sum())
        yield f"{name}: {self.characters:,} characters, {different:,} different, {self.bytes:,} bytes in UTF-8."
        if self.carriage_returns:
            yield f"{name}: {many(self.carriage_returns, 'line end')} with a carriage return became line feeds."

    def findings(self, name: str) -> Iterator[Finding]:
        """Control characters, characters that no decoder knew, lines that occur again."""
        present = np.flatnonzero(self._codes)
        control = [c for c in present.tolist() if unicodedata.category(chr(c)) == "Cc" and chr(c) not in "\n\t"]
        if control:
            count = int(self._codes[control].sum())
            which = listed((f"U+{c:04X}" for c in control), 5)
            yield Finding("warning", f"{name} has {many(count, 'control character')}: {which}.", count)
        unknown = int(self._codes[0xFFFD])
        if unknown:
            sentence = (
                f"{name} has {many(unknown, 'character')} U+FFFD, which an earlier conversion wrote in place of "
                "others that it could not read."
            )
            yield Finding("warning", sentence, unknown)
        long = self._lines.total()
        again = long - len(self._lines)
        if long and again > REPEATED * long:
            share = f"{100 * again / long:.0f} %"
            sentence = f"{name} repeats itself: {share} of its lines of {LONG} characters or more occurred before."
            yield Finding("warning", sentence, again)


def shared_passages(examples: Examples, split: Split) -> Iterator[Finding]:
    """Passages of which half or more stands in the training part, line by line."""
    if examples.kind != "passage" or not examples.successive:
        return
    known: set[int] = set()
    for row in split.train:
        known.update(hash(line) for line in _long_lines(examples.inputs[row].text))
        if len(known) > MOST_LINES:
            break
    for name, rows in (("valid", split.valid), ("test", split.test)):
        count = 0
        for row in rows:
            lines = list(_long_lines(examples.inputs[row].text))
            same = sum(len(line) for line in lines if hash(line) in known)
            count += bool(lines) and 2 * same >= sum(map(len, lines))
        if count:
            verb = "has" if count == 1 else "have"
            share = f"{100 * count / len(rows):.1f} %"
            sentence = f"{many(count, 'passage')} of {name} ({share}) {verb} half or more of the lines in train, too."
            yield Finding("warning", sentence, count)


def _long_lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if len(line) >= LONG)
