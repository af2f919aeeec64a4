"""Refusals of a file or of an option: one message of four parts, with what the user wrote cut to a readable length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...errors import InputError, phrase


def refused(where: Path | str, name: str, expected: str, received: object, remedy: str = "") -> InputError:
    """The error to raise; `where` is a file or a step of the program."""
    place = where.name or str(where) if isinstance(where, Path) else where
    return InputError(phrase(place, name, expected, received, remedy))


def shown(value: object, width: int = 60) -> str:
    """A value as a message shows it: quoted, on one line, cut."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def those(names: Sequence[object]) -> str:
    """The pronoun of one name or of several: what was given of options that must be left out."""
    return "it" if len(names) == 1 else "them"


def listed(names: Iterable[object], most: int = 12) -> str:
    """`a, b, c`; of more than `most` names the first, and how many follow."""
    texts = [str(name) for name in names]
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
