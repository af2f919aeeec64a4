"""How a text is divided into units, in JavaScript, with the same result as in Python; and texts as C has them."""

from __future__ import annotations

from collections.abc import Iterable

from ..tasks import vocabulary
from ..tasks.texts import units
from ..tasks.texts.units import UNKNOWN_TEXT

# \s and \w of Python's `re`, whose sets of characters those of JavaScript are not.
_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_LETTER = r"\p{L}\p{N}_"
_SPACE_BUT_BREAK = _SPACE.replace(r"\t-\r", r"\t\x0b-\r")
SPACED = f"[^{_SPACE}]+"
"""Tokens between white space."""


def pattern_of(unit: str, writes: bool) -> str | None:
    """The regular expression of JavaScript, flag u, that finds the units of a text; None for characters.

    writes  whether the units, joined, are the text, as those of a language model are
    """
    if unit != "word":
        return None
    pattern = (units.WORD if writes else vocabulary.WORD).pattern
    for python, javascript in (
        (r"[^\w\s]", f"[^{_LETTER}{_SPACE}]"),
        (r"[^\S\n]", f"[{_SPACE_BUT_BREAK}]"),
        (r"\w", f"[{_LETTER}]"),
        (r"\S", f"[^{_SPACE}]"),
    ):
        pattern = pattern.replace(python, javascript)
    return pattern


def page_texts(entries: Iterable[str]) -> list[str]:
    """[V] the text of each entry; the unknown one, entry 0, has a text that no other has."""
    found = list(entries)
    unknown = UNKNOWN_TEXT
    while unknown in found:
        unknown += UNKNOWN_TEXT
    return [unknown, *found]


def c_string(text: str) -> str:
    """A string of C with the bytes of UTF-8; what could be read as more than a character of its own is octal."""
    safe = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in safe else f"\\{b:03o}" for b in text.encode("utf-8", "replace")) + '"'
