"""A subject and its verb in a sentence, with the other form of the verb: what a language model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pair:
    """A sentence up to its verb, and two forms of the verb."""

    before: str
    """The text before the verb, with the space there where there is one."""
    right: str
    """The verb as the sentence has it, with what is written together with it: don't."""
    wrong: str
    """The same with the verb in the other number: doesn't."""
    plural: bool
    """Whether the right form is a plural."""
    subject_end: int
    """Characters of `before` up to the end of the subject."""
    distance: int
    """Words from the subject to the verb; 1 where they stand side by side."""
    misleading: int
    """Nouns between them whose number is not the subject's."""
    nouns: Sequence[bool]
    """Of every noun before the verb, in their order, whether it is a plural; at least the subject."""


@dataclass(frozen=True)
class Pairs:
    """The pairs of a source."""

    source: str
    """A file name, or what else they are from."""
    pairs: Sequence[Pair]
    notes: Sequence[str]
    """What was left out and how other forms were found, a sentence each."""
    left_out: int = 0
    """Subjects with a verb that has no other form."""
