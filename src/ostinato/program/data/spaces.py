"""Spaces of fixed width that typographers write, such as French ones before ! ? ; as plain spaces."""

from __future__ import annotations

_PLAIN = {0x00A0: " ", 0x2007: " ", 0x202F: " "}


def plain_spaces(text: str) -> str:
    """The text with U+00A0, U+2007 and U+202F, the spaces at which no line is broken, as U+0020."""
    return text.translate(_PLAIN)
