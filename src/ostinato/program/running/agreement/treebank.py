"""Subjects and verbs of an English treebank in CoNLL-U, and the text of its sentences.

A pair is a word with the relation nsubj, or a subtype of it, that is a noun or a proper noun and has the feature
Number, and the first word after it among its head, the head's auxiliaries and its copula that is a present form by its
tag (VBZ, VBP) or is was or were. The number of the nouns between is that of their tag (NN, NNP, NNS, NNPS).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.conllu import cells_of, sentences
from ...data.findings import many
from ...data.libraries import needed
from ...data.read import text_of
from ...data.refusals import refused
from .pairs import Pair, Pairs
from .verb_forms import PAST, VerbForms

NOUNS = {"NN": False, "NNP": False, "NNS": True, "NNPS": True}
"""Tags of nouns → whether they are plurals."""
PRESENT = {"VBZ": False, "VBP": True}


@dataclass(frozen=True, eq=False)
class Word:
    """A word of a sentence, and where it stands in the text."""

    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    head: str
    deprel: str
    start: int
    stop: int
    glued: bool
    """Whether no space follows."""

    @property
    def number(self) -> str | None:
        """Sing, Plur or another value of the feature."""
        return dict(part.split("=", 1) for part in self.feats.split("|") if "=" in part).get("Number")

    @property
    def plural(self) -> bool | None:
        """Of a verb in the present, or of was and were; None of all else."""
        if self.form.lower() in PAST:
            return self.form.lower() == "were"
        return PRESENT.get(self.xpos)


@dataclass(frozen=True)
class Sentence:
    """The words of a sentence, the first with the id 1, and its text."""

    words: Sequence[Word]
    text: str


def pairs_of_treebank(path: Path) -> Pairs:
    """All pairs of a file, .conllu or .conllu.gz.

    Raises InputError for a file that is no treebank and for one without a pair.
    """
    found = list(_sentences(path))
    seen = [(w.form, w.lemma, bool(w.plural)) for s in found for w in s.words if w.xpos in PRESENT]
    forms, pairs = VerbForms(seen), []
    subjects = left = of_file = differ = 0
    for sentence in found:
        for subject, verb in subjects_and_verbs(sentence):
            subjects += 1
            differ += (subject.number == "Plur") != verb.plural
            other = forms.other(verb.form, verb.lemma, bool(verb.plural))
            if other is None:
                left += 1
                continue
            of_file += other[1]
            pairs.append(_pair(sentence, subject, verb, other[0]))
    if not pairs:
        remedy = "Give an English treebank with the tags VBZ and VBP in its fifth column."
        raise refused(path, "--agreement", "a treebank with subjects and verbs in the present", "none", remedy)
    notes = [
        f"{path.name} has {many(subjects, 'pair')} of a subject and its verb; "
        f"in {differ} the verb's number is not the noun's.",
        f"The other form of {of_file} verbs is in the file; of {len(pairs) - of_file} it is known or made by rule; "
        f"{many(left, 'pair')} without one {'is' if left == 1 else 'are'} left out.",
    ]
    return Pairs(path.name, pairs, notes, left)


def subjects_and_verbs(sentence: Sentence) -> Iterator[tuple[Word, Word]]:
    """Every subject with its verb."""
    for place, word in enumerate(sentence.words, 1):
        if word.deprel.split(":")[0] != "nsubj" or word.upos not in ("NOUN", "PROPN"):
            continue
        if word.number not in ("Sing", "Plur"):
            continue
        for k, other in enumerate(sentence.words[place:], place + 1):
            of_head = other.head == word.head and other.deprel.split(":")[0] in ("aux", "cop")
            if (str(k) == word.head or of_head) and other.plural is not None:
                yield word, other
                break


def _pair(sentence: Sentence, subject: Word, verb: Word, other: str) -> Pair:
    words, first, at = sentence.words, _place(sentence, subject), _place(sentence, verb)
    plural = subject.number == "Plur"
    nouns = [w for w in words[:at] if w.xpos in NOUNS or w is subject]
    numbers = [plural if w is subject else NOUNS[w.xpos] for w in nouns]
    end = at
    while words[end].glued and end + 1 < len(words) and _joined(words[end + 1].form):
        end += 1
    rest = sentence.text[verb.stop : words[end].stop]
    return Pair(
        before=sentence.text[: verb.start],
        right=verb.form + rest,
        wrong=other + rest,
        plural=bool(verb.plural),
        subject_end=subject.stop,
        distance=at - first,
        misleading=sum(NOUNS[w.xpos] != plural for w in words[first + 1 : at] if w.xpos in NOUNS),
        nouns=tuple(numbers),
    )


def _joined(form: str) -> bool:
    """Whether a word without a space before it is written together with the one before: n't, but not a comma."""
    return form[:1].isalnum() or form[:1] in "'’"


def _place(sentence: Sentence, word: Word) -> int:
    return next(k for k, other in enumerate(sentence.words) if other is word)


def _sentences(path: Path) -> Iterator[Sentence]:
    """The sentences of a file, with spaces as SpaceAfter=No says; parts of a multi-word token have none between."""
    parser: Any = needed("conllu", "reading CoNLL-U").parser
    file = text_of(path, None)
    for _, lines in sentences(file.text):
        words: list[Word] = []
        text, last, glued_range = "", 0, False
        for line, content in lines:
            cells, number = cells_of(file, line, content, parser)
            glued = "SpaceAfter=No" in cells[9].split("|")
            if not isinstance(number, int):
                if number[1] == "-":
                    last, glued_range = int(number[2]), glued
                continue
            inside = number < last
            glued = inside or (glued_range if number == last else glued)
            form, lemma, upos, xpos, feats, head, deprel = cells[1:8]
            start, stop = len(text), len(text) + len(form)
            words.append(Word(form, lemma, upos, xpos, feats, head, deprel, start, stop, glued))
            text += cells[1] + ("" if glued else " ")
        if words:
            yield Sentence(words, text)
