"""The other form of an English verb: of `is` are, of `runs` run, and the other way round."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_SAME = (("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"))
IRREGULAR = {**dict(_SAME), **{plural: singular for singular, plural in _SAME}}
CLITICS = {("be", "s"): "re", ("be", "re"): "s", ("have", "s"): "ve", ("have", "ve"): "s"}
"""(lemma, letters after the apostrophe) → letters of the other form: the dog's gone, the dogs've gone."""
AUXILIARIES = ("be", "have", "do")
"""Lemmas whose forms are those above alone: ain't has no other number."""
PAST = ("was", "were")


class VerbForms:
    """Forms by lemma and number, as a treebank has them; a rule where it has none."""

    def __init__(self, seen: Sequence[tuple[str, str, bool]]) -> None:
        """
        seen  (form, lemma, whether it is a plural) of every verb in the present
        """
        self._counts: dict[tuple[str, bool], Counter[str]] = {}
        for form, lemma, plural in seen:
            if form.isalpha():
                self._counts.setdefault((lemma.lower(), plural), Counter())[form.lower()] += 1

    def other(self, form: str, lemma: str, plural: bool) -> tuple[str, bool] | None:
        """(the form of the other number in the same case of letters, whether the treebank has it); None: there is none.

        plural  whether `form` is a plural
        """
        lemma = lemma.lower()
        if form[:1] in "'’":
            letters = CLITICS.get((lemma, form[1:].lower()))
            return None if letters is None else (form[0] + letters, False)
        small = form.lower()
        if small in IRREGULAR and (lemma in AUXILIARIES or lemma == "_"):
            return _cased(IRREGULAR[small], form), False
        if lemma in AUXILIARIES or not form.isalpha():
            return None
        known = self._counts.get((lemma, not plural))
        found = max(known, key=lambda f: (known[f], f)) if known else _by_rule(small, plural)
        return None if found == small or not found else (_cased(found, form), known is not None)


def _by_rule(form: str, plural: bool) -> str:
    """The other form of a regular verb; empty where there is none."""
    if plural:
        if re.search(r"[^aeiou]y$", form):
            return form[:-1] + "ies"
        return form + ("es" if re.search(r"(s|x|z|ch|sh|o)$", form) else "s")
    if not form.endswith("s") or form.endswith("ss"):
        return ""
    if re.search(r"..ies$", form):
        return form[:-3] + "y"
    return form[:-2] if re.search(r"(ss|x|zz|ch|sh|o)es$", form) else form[:-1]


def _cased(found: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return found.upper()
    return found.capitalize() if like[:1].isupper() else found
