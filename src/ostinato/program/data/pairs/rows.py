"""Rows of pairs of texts as they are trained on: with plain spaces, and without rows of which a side is empty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..findings import Finding, many
from ..refusals import listed, refused
from ..rows import Rows
from ..spaces import plain_spaces


def tidied(rows: Rows) -> Rows:
    """The same with both sides' spaces of fixed width as plain ones, and none at their ends.

    Rows of which a side is empty are left out, unless the rows have no targets. All of it is counted in the notes.

    Raises InputError where every row has an empty side.
    """
    counted = sum(text != plain_spaces(text) for text in (*rows.inputs, *(rows.targets or ())) if text)
    sources = [plain_spaces(text).strip() for text in rows.inputs]
    notes = list(rows.notes)
    if counted:
        texts = many(counted, "text")
        notes.append(f"Spaces of fixed width (U+00A0, U+2007, U+202F) of {texts} are read as plain spaces.")
    if rows.targets is None:
        return replace(rows, inputs=sources, notes=notes)
    targets = [plain_spaces(text or "").strip() for text in rows.targets]
    kept = [row for row, pair in enumerate(zip(sources, targets)) if all(pair)]
    both = sum(not (source or target) for source, target in zip(sources, targets))
    one = len(rows) - len(kept) - both
    tidy = replace(rows, inputs=sources, targets=targets, notes=notes)
    if not kept:
        file = listed(dict.fromkeys(source.path.name for source in rows.sources))
        remedy = "Check that the files, or the columns, are the right ones."
        raise refused(file, "the pairs", "at least one with a text on both sides", "none", remedy)
    if len(kept) == len(rows):
        return tidy
    sentences = [f"{many(both, 'pair')} left out, of which both sides are empty."] if both else []
    sentences += [f"{many(one, 'pair')} left out, of which one side is empty."] if one else []
    findings = [Finding("warning", text, count) for text, count in zip(sentences, [n for n in (both, one) if n])]

    def pick(values: Any) -> Any:
        return values if values is None or not len(values) else [values[row] for row in kept]

    return replace(
        tidy,
        inputs=pick(sources),
        targets=pick(targets),
        origins=pick(rows.origins),
        groups=pick(rows.groups),
        parts=pick(rows.parts),
        notes=[*notes, *sentences],
        findings=[*rows.findings, *findings],
    )
