"""Spans of tags: B-X begins a span, I-X continues it, E-X ends it, S-X is a span of one token, O is none.

An I-X or E-X that continues nothing begins a span, as in conlleval and nervaluate. nervaluate reads no E- and S-, and
gives no counts by sentence, which intervals need; the tests hold this file to it on B- and I-.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_TAG = re.compile(r"(?:O|[BIES]-.+)")


def are_spans(tags: Iterable[str]) -> bool:
    """Whether tags name spans: each is O or begins with B-, I-, E- or S-, and one of them begins a span."""
    known = set(tags)
    return all(_TAG.fullmatch(tag) for tag in known) and any(tag[:2] in ("B-", "S-") for tag in known)


def spans_of(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first token, last token) of each span of a sentence."""
    found: set[tuple[str, int, int]] = set()
    kind, first = "", 0
    for k, tag in enumerate([*tags, "O"]):
        mark, name = ("O", "") if tag == "O" else (tag[0], tag[2:])
        if kind and (mark in "OBS" or name != kind):
            found.add((kind, first, k - 1))
            kind = ""
        if mark != "O" and not kind:
            kind, first = name, k
        if kind and mark in "ES":
            found.add((kind, first, k))
            kind = ""
    return found
