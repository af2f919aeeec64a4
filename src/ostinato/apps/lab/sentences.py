"""Sentences of the task `agreement` as text: "the dogs near the old tower were quiet.", to train on and to judge by.

Letters: B sentences, T words up to the verb.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator

from ostinato.apps.problems.agreement import CLASSES, PLURAL, SINGULAR, WORDS, agreement
from ostinato.errors import InputError, phrase
from ostinato.program.running.agreement.pairs import Pair, Pairs

WHERE = "ostinato lab sentences"
JUDGED_LONGEST, JUDGED_EACH, JUDGED_SEED = 20, 100, 1_000_003
"""Of the pairs that a model is judged by: distances, pairs of each, and a seed that is not that of a training text."""
_NAMES = {*CLASSES["surname"], *CLASSES["first name"]}
_VERBS = ("was", "were")


@dataclass(frozen=True)
class _Made:
    """The words up to the verb, whether the subject, the second of them, is a plural, and the word after the verb."""

    words: list[str]
    plural: bool
    end: str


def _made(distance: int, count: int, generator: Generator) -> Iterator[_Made]:
    examples = agreement.draw(distance, count, generator)
    ids, plural = examples.inputs.argmax(2), examples.targets[-1]
    ends = torch.randint(len(CLASSES["adjective"]), (count,), generator=generator, device="cpu")
    for row in range(count):
        words = [WORDS[k] for k in ids[:, row].tolist()]
        yield _Made(words, bool(plural[row]), CLASSES["adjective"][int(ends[row])])


def write_sentences(out: Path, count: int, longest: int, seed: int) -> None:
    """Writes `count` sentences, one a line, each distance from 1 to `longest` equally often, in a drawn order.

    Raises InputError for a file that exists and for numbers below 1.
    """
    if count < 1 or longest < 1:
        raise InputError(phrase(WHERE, "--count and --longest", "1 or more", f"{count} and {longest}"))
    if out.exists():
        raise InputError(phrase(WHERE, "--out", "a new file", f"{out}, which exists"))
    generator = Generator().manual_seed(seed)
    each = -(-count // longest)
    lines = [
        f"{' '.join(made.words)} {_VERBS[made.plural]} {made.end}.\n"
        for distance in range(1, longest + 1)
        for made in _made(distance, each, generator)
    ]
    order = torch.randperm(len(lines), generator=generator, device="cpu")[:count].tolist()
    out.write_text("".join(lines[k] for k in order), encoding="utf-8")


def made_pairs() -> Pairs:
    """Pairs of fresh sentences, 100 of each distance from 1 to 20 words."""
    generator = Generator().manual_seed(JUDGED_SEED)
    pairs = [
        _pair(made) for distance in range(1, JUDGED_LONGEST + 1) for made in _made(distance, JUDGED_EACH, generator)
    ]
    return Pairs(
        "made sentences", pairs, [f"{JUDGED_EACH} made sentences of each distance from 1 to {JUDGED_LONGEST}."]
    )


def _pair(made: _Made) -> Pair:
    words = made.words
    nouns = [word in PLURAL for word in words if word in PLURAL or word in SINGULAR or word in _NAMES]
    before = f"{' '.join(words)} "
    return Pair(
        before=before,
        right=_VERBS[made.plural],
        wrong=_VERBS[not made.plural],
        plural=made.plural,
        subject_end=len(f"{words[0]} {words[1]}"),
        distance=len(words) - 1,
        misleading=sum(plural != made.plural for plural in nouns[1:]),
        nouns=tuple(nouns),
    )
