"""How far transcripts are from what was said: edits of characters and of words, counted by jiwer.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...data.libraries import needed
from ..intervals import Tally, Value, by_unit, ratio

KINDS = {"equal": "right", "substitute": "substituted", "delete": "deleted", "insert": "inserted"}
"""jiwer's name of an edit → ours. Deleted: of the truth, what the transcript lacks."""


def tally_of_transcripts(truth: Sequence[str], said: Sequence[str], groups: Sequence[str] | None) -> Tally:
    """cer, wer and exact_match of N texts in normal form.

    cer: edits of characters (substituted, deleted, inserted; the fewest that there are) over the characters of the
    truth, of all rows together; wer: the same of words, which white space divides. Both may exceed 1. A row whose truth
    is empty adds nothing below and what was written for it, as insertions, above. exact_match: the share of rows
    without an edit of characters.
    """
    columns = np.zeros((len(truth), 6))
    for place, process in enumerate(("process_characters", "process_words")):
        counts = _counts(truth, said, process)
        columns[:, 2 * place] = counts[:, 1:].sum(1)
        columns[:, 2 * place + 1] = counts[:, :3].sum(1)
    columns[:, 4], columns[:, 5] = columns[:, 0] == 0, 1
    values: dict[str, tuple[Value, bool]] = {
        "cer": (ratio(0, 1), False),
        "wer": (ratio(2, 3), False),
        "exact_match": (ratio(4, 5), True),
    }
    return Tally(by_unit(columns, groups), values)


def edits_of_transcripts(truth: Sequence[str], said: Sequence[str]) -> dict[str, dict[str, int]]:
    """{characters, words: {right, substituted, deleted, inserted}} of all rows together."""
    found = {}
    for name in ("characters", "words"):
        counts = _counts(truth, said, f"process_{name}").sum(0)
        found[name] = {kind: int(count) for kind, count in zip(KINDS.values(), counts)}
    return found


def edits_between(truth: str, said: str) -> list[tuple[str, str, str]]:
    """(edit, of the truth, of the transcript): runs of characters in their order."""
    process: Any = needed("jiwer", "transcription").process_characters
    return [
        (KINDS[e.type], truth[e.ref_start_idx : e.ref_end_idx], said[e.hyp_start_idx : e.hyp_end_idx])
        for e in process([truth], [said]).alignments[0]
    ]


def _counts(truth: Sequence[str], said: Sequence[str], process: str) -> np.ndarray:
    """[N, 4]: right, substituted, deleted and inserted units of each row."""
    counts = np.zeros((len(truth), len(KINDS)), np.int64)
    if not len(truth):
        return counts
    place = {kind: k for k, kind in enumerate(KINDS)}
    library: Any = needed("jiwer", "transcription")
    for row, edits in enumerate(getattr(library, process)(list(truth), list(said)).alignments):
        for e in edits:
            count = max(e.ref_end_idx - e.ref_start_idx, e.hyp_end_idx - e.hyp_start_idx)
            counts[row, place[e.type]] += count
    return counts
