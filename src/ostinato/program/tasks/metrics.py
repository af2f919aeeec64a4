"""The metrics of classes, of several labels a row, and of numbers, as sums over rows; and what a report shows of them.

Letters: N rows, K classes, M sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn import metrics as oracle

from .intervals import Tally, Value, by_unit, ratio

BINS = 15
"""Of the calibration error: C. Guo et al., arXiv 1706.04599, equation (3)."""
_LEAST = 1e-15
"""Probabilities below it count as it in the log loss, as in scikit-learn."""


def tally_of_classes(
    truth: Sequence[str], said: Sequence[str], probabilities: Any, classes: Sequence[str], groups: Sequence[str] | None
) -> Tally:
    """accuracy, macro_f1 and, with probabilities [N, K], log_loss (nats) and calibration_error.

    macro_f1 is the mean F1 of the classes that the rows have; a class of which nothing is right counts 0.
    """
    every = with_unseen(classes, truth, said)
    place = {name: k for k, name in enumerate(every)}
    t = np.array([place[name] for name in truth], np.int64)
    p = np.array([place[name] for name in said], np.int64)
    n, k, right = len(t), len(every), (t == p)
    blocks = [np.stack([np.ones(n), right], 1), _one_hot(t[right], np.flatnonzero(right), n, k)]
    blocks += [_one_hot(p, np.arange(n), n, k), _one_hot(t, np.arange(n), n, k)]
    values: dict[str, tuple[Value, bool]] = {
        "accuracy": (ratio(1, 0), True),
        "macro_f1": (_macro_f1(2, k), True),
    }
    if probabilities is not None:
        column = 2 + 3 * k
        whole = _whole(probabilities, n, k)
        blocks += [log_losses(t, whole)[:, None], *calibration_columns(whole, p, right)]
        values["log_loss"] = (ratio(column, 0), False)
        values["calibration_error"] = (_calibration(column + 1), False)
    return Tally(by_unit(sparse.hstack(blocks, format="csr"), groups), values)


def tally_of_labels(
    truth: Sequence[Sequence[str]],
    said: Sequence[Sequence[str]],
    probabilities: Any,
    classes: Sequence[str],
    groups: Sequence[str] | None,
) -> Tally:
    """micro_f1, macro_f1, exact_match and, with probabilities [N, K], log_loss: nats of all K labels of a row."""
    every = with_unseen(classes, *truth, *said)
    t, p = indicators(truth, every), indicators(said, every)
    n, k = t.shape
    exact = (t == p).all(1)
    blocks: list[Any] = [np.stack([np.ones(n), exact], 1), t & p, p, t]
    values: dict[str, tuple[Value, bool]] = {
        "micro_f1": (_micro_f1(2, k), True),
        "macro_f1": (_macro_f1(2, k), True),
        "exact_match": (ratio(1, 0), True),
    }
    if probabilities is not None:
        whole = np.clip(_whole(probabilities, n, k), _LEAST, 1 - _LEAST)
        blocks.append(-np.where(t, np.log(whole), np.log1p(-whole)).sum(1, keepdims=True))
        values["log_loss"] = (ratio(2 + 3 * k, 0), False)
    return Tally(by_unit(np.concatenate([b.astype(np.float64) for b in blocks], 1), groups), values)


def tally_of_numbers(truth: Sequence[float], said: Sequence[float], groups: Sequence[str] | None) -> Tally:
    """mae and rmse in the target's unit, r2."""
    t, p = np.asarray(truth, np.float64), np.asarray(said, np.float64)
    centre = t.mean() if len(t) else 0.0  # sums of squares about it keep their digits
    e, c = t - p, t - centre
    columns = np.stack([np.ones(len(t)), np.abs(e), e**2, c, c**2], 1)
    values: dict[str, tuple[Value, bool]] = {
        "mae": (ratio(1, 0), False),
        "rmse": (lambda s: np.sqrt(ratio(2, 0)(s)), False),
        "r2": (_r2, True),
    }
    return Tally(by_unit(columns, groups), values)


def details_of_classes(truth: Sequence[str], said: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Precision, recall, F1 and rows of each class, and the confusion matrix [truth][prediction], for a report."""
    every = with_unseen(classes, truth, said)
    found = oracle.precision_recall_fscore_support(truth, said, labels=every, zero_division=0)
    names = ("precision", "recall", "f1", "rows")
    by_class = {c: {name: float(found[j][k]) for j, name in enumerate(names)} for k, c in enumerate(every)}
    return {"by_class": by_class, "confusion": oracle.confusion_matrix(truth, said, labels=every).tolist()}


def details_of_labels(
    truth: Sequence[Sequence[str]], said: Sequence[Sequence[str]], classes: Sequence[str]
) -> dict[str, Any]:
    """Precision, recall, F1 and rows of each label."""
    every = with_unseen(classes, *truth, *said)
    found = oracle.precision_recall_fscore_support(indicators(truth, every), indicators(said, every), zero_division=0)
    names = ("precision", "recall", "f1", "rows")
    return {"by_class": {c: {name: float(found[j][k]) for j, name in enumerate(names)} for k, c in enumerate(every)}}


def with_unseen(classes: Sequence[str], *named: Sequence[str]) -> list[str]:
    """The classes of the training rows, then others that the rows name, sorted."""
    known = set(classes)
    return [*classes, *sorted({name for names in named for name in names} - known)]


def indicators(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """bool [N, K]: the labels of each row."""
    place = {name: k for k, name in enumerate(classes)}
    found = np.zeros((len(rows), len(classes)), bool)
    for n, row in enumerate(rows):
        for name in row:
            found[n, place[name]] = True
    return found


def log_losses(t: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """[N]: -log p of the true class, in nats; the rows of `probabilities` add up to 1."""
    whole = probabilities / np.maximum(probabilities.sum(1, keepdims=True), _LEAST)
    return -np.log(np.maximum(whole[np.arange(len(t)), t], _LEAST))


def calibration_columns(probabilities: np.ndarray, p: np.ndarray, right: np.ndarray) -> list[Any]:
    """Sums by bin of the probability of what was said: rows, probabilities, hits; [N, BINS] each."""
    n = len(p)
    confidence = probabilities[np.arange(n), p]
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    weights = (np.ones(n), confidence, right.astype(np.float64))
    return [sparse.csr_matrix((w, (np.arange(n), place)), (n, BINS)) for w in weights]


def _one_hot(classes: np.ndarray, rows: np.ndarray, n: int, k: int) -> Any:
    return sparse.csr_matrix((np.ones(len(rows)), (rows, classes)), (n, k))


def _whole(probabilities: Any, n: int, k: int) -> np.ndarray:
    """[N, K] with a column of 0 for every class that training rows did not have."""
    known = np.asarray(probabilities, np.float64).reshape(n, -1)
    return np.concatenate([known, np.zeros((n, k - known.shape[1]))], 1)


def f1(right: np.ndarray, said: np.ndarray, true: np.ndarray) -> np.ndarray:
    """2·right / (said + true), 0 where nothing was said or true."""
    return 2 * right / np.maximum(said + true, 1e-300)


def _macro_f1(first: int, k: int) -> Value:
    def value(s: np.ndarray) -> np.ndarray:
        right, said, true = (s[..., first + j * k : first + (j + 1) * k] for j in range(3))
        there = true > 0
        count = there.sum(-1)
        return np.where(there, f1(right, said, true), 0.0).sum(-1) / np.where(count > 0, count, np.nan)

    return value


def _micro_f1(first: int, k: int) -> Value:
    def value(s: np.ndarray) -> np.ndarray:
        right, said, true = (s[..., first + j * k : first + (j + 1) * k].sum(-1) for j in range(3))
        return f1(right, said, true)

    return value


def _calibration(first: int) -> Value:
    """Σ over bins of |hits - probabilities| / rows."""

    def value(s: np.ndarray) -> np.ndarray:
        rows, confidence, hits = (s[..., first + j * BINS : first + (j + 1) * BINS] for j in range(3))
        return np.abs(hits - confidence).sum(-1) / np.maximum(rows.sum(-1), 1.0)

    return value


def _r2(s: np.ndarray) -> np.ndarray:
    """1 - Σ e² / Σ (t - mean of t)²; NaN where all targets are equal."""
    spread = s[..., 4] - s[..., 3] ** 2 / np.maximum(s[..., 0], 1.0)
    return 1 - s[..., 2] / np.where(spread > 1e-12 * np.maximum(s[..., 4], 1e-300), spread, np.nan)


def share_of(counts: Mapping[str, int]) -> float:
    """The largest class by the median class: above 2 the classes are unbalanced."""
    return max(counts.values()) / float(np.median(list(counts.values())))
