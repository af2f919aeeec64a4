"""The metrics of tags, as sums over sentences.

Letters: N sentences, T tokens, K tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from sklearn import metrics as oracle

from .intervals import Tally, Value, by_unit, ratio
from .metrics import f1, with_unseen
from .spans import spans_of

Tags = Sequence[Sequence[str]]


def tally_of_tags(
    truth: Tags, said: Tags, tokens: Tags, known: Collection[str], spans: bool, groups: Sequence[str] | None
) -> Tally:
    """tag_accuracy, known_accuracy and unknown_accuracy of tokens the training rows have or lack; span_f1 if `spans`.

    span_f1 counts a span as right where its type and both of its ends are; the first metric is the primary one.
    """
    columns = np.zeros((len(truth), 9))
    for row, (true, tags, words) in enumerate(zip(truth, said, tokens, strict=True)):
        right = [a == b for a, b in zip(true, tags, strict=True)]
        seen = [word in known for word in words]
        hits = sum(r for r, s in zip(right, seen) if s)
        columns[row, :6] = (len(true), sum(right), sum(seen), hits, len(true) - sum(seen), sum(right) - hits)
        if spans:
            a, b = spans_of(true), spans_of(tags)
            columns[row, 6:] = (len(a & b), len(b), len(a))
    values: dict[str, tuple[Value, bool]] = {
        "tag_accuracy": (ratio(1, 0), True),
        "known_accuracy": (ratio(3, 2), True),
        "unknown_accuracy": (ratio(5, 4), True),
    }
    if spans:
        values = {"span_f1": (lambda s: f1(s[..., 6], s[..., 7], s[..., 8]), True), **values}
    return Tally(by_unit(columns, groups), values)


def details_of_tags(truth: Tags, said: Tags, classes: Sequence[str], spans: bool) -> dict[str, Any]:
    """Precision, recall, F1 and tokens of each tag, the confusion matrix, and the same of span types, for a report."""
    t, p = [tag for row in truth for tag in row], [tag for row in said for tag in row]
    every = with_unseen(classes, t, p)
    found = oracle.precision_recall_fscore_support(t, p, labels=every, zero_division=0)
    names = ("precision", "recall", "f1", "rows")
    by_class = {c: {name: float(found[j][k]) for j, name in enumerate(names)} for k, c in enumerate(every)}
    details = {"by_class": by_class, "confusion": oracle.confusion_matrix(t, p, labels=every).tolist()}
    return {**details, "by_span": _by_span(truth, said)} if spans else details


def _by_span(truth: Tags, said: Tags) -> dict[str, dict[str, float]]:
    right, claimed, true = Counter[str](), Counter[str](), Counter[str]()
    for row, tags in zip(truth, said, strict=True):
        a, b = spans_of(row), spans_of(tags)
        right.update(kind for kind, *_ in a & b)
        claimed.update(kind for kind, *_ in b)
        true.update(kind for kind, *_ in a)
    return {
        kind: {
            "precision": right[kind] / max(claimed[kind], 1),
            "recall": right[kind] / max(true[kind], 1),
            "f1": 2 * right[kind] / max(claimed[kind] + true[kind], 1),
            "rows": float(true[kind]),
        }
        for kind in sorted({*claimed, *true})
    }
