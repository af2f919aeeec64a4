"""A prompt as entries of the vocabulary; one with units that the training texts lack is refused."""

from __future__ import annotations

import unicodedata

import numpy as np

from ....errors import InputError, did_you_mean, phrase
from ...data.refusals import listed, shown
from .units import UNKNOWN, TextUnits, normal


def entries_of_prompt(prompt: str, units: TextUnits, where: str) -> np.ndarray:
    """int32 [N] of a prompt.

    Raises InputError for a unit that is not in the vocabulary: which, where it is, and what to write instead.
    """
    refuse_half_characters(prompt, "--prompt", where)
    entries = units.encode(prompt)
    unknown = np.flatnonzero(entries == UNKNOWN)
    if not len(unknown):
        return entries
    first = int(unknown[0])
    if units.unit == "char":
        wrong = normal(prompt, units.lowercase)[first]
        others = [c for c in _like(wrong) if len(c) == 1 and c in units.entries]
        remedy = f"Write {shown(others[0])} instead." if others else f"Known are {_known(units)}."
    else:
        before = len(units.decode(entries[:first]))
        text = normal(prompt, units.lowercase)
        rest = units.decode(entries[first + 1 :]) if len(unknown) == 1 else ""
        wrong = text[before : len(text) - len(rest)] if len(unknown) == 1 else text[before:].split(maxsplit=1)[0]
        remedy = did_you_mean(wrong.strip(), [e.strip() for e in units.entries]) + "Write words that the training has."
    expected = f"of {units.noun}s that the training texts have"
    raise InputError(phrase(where, "--prompt", expected, f"{shown(wrong)}, {units.noun} {first + 1}", remedy))


def refuse_half_characters(text: str, name: str, where: str) -> None:
    """Refuses surrogates, which stand for bytes of a command line or of standard input that are no UTF-8."""
    wrong = next((c for c in text if "\ud800" <= c <= "\udfff"), None)
    if wrong is not None:
        remedy = "Write it in UTF-8."
        raise InputError(phrase(where, name, "text of UTF-8", f"{wrong!r}, which is no character", remedy))


def _like(character: str) -> list[str]:
    """The same character in the other case, without its accents, and both."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return [character.swapcase(), plain, plain.swapcase()]


def _known(units: TextUnits) -> str:
    plain = [entry if entry.isprintable() and entry not in " ," else shown(entry) for entry in sorted(units.entries)]
    return listed(plain, 80)
