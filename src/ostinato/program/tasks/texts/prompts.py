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


def _like(character: str) -> list[str]:
    """The same character in the other case, without its accents, and both."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return [character.swapcase(), plain, plain.swapcase()]


def _known(units: TextUnits) -> str:
    return listed((shown(entry) if entry.isspace() else entry for entry in sorted(units.entries)), 80)
