"""The metrics of translations: chrF, BLEU and exact matches, as sums over sources, each against all of its references.

The counts of a sentence are sacrebleu's, and so is every figure on all sources. Both metrics are functions of sums of
these counts, so that a resample of sources is a weighted sum.

Letters: N rows, U different sources.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....caching import bounded_cache
from ...data.libraries import needed
from ...data.spaces import plain_spaces
from ..intervals import Tally, Value, by_unit, ratio

ORDER = 4
"""Words of the longest n-gram of BLEU."""
BETA = 2
"""How much more recall counts than precision in chrF."""
_ROWS, _HITS, _BLEU = 0, 1, 2
_CHRF = _BLEU + 2 + 2 * ORDER
"""Where the counts begin: BLEU has two lengths and two counts of each order, chrF three counts of each order."""
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
"""Scripts without spaces between words, by the beginnings of their characters' names."""


@dataclass(frozen=True)
class Sources:
    """The U different sources of some rows."""

    first: list[int]
    """[U]: the first row of each."""
    references: list[tuple[str, ...]]
    """[U]: the different targets of its rows."""

    @classmethod
    def of(cls, sources: Sequence[str], targets: Sequence[str]) -> Sources:
        """In the order in which they are first seen."""
        first: dict[str, int] = {}
        found: dict[str, dict[str, None]] = {}
        for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
            first.setdefault(source, row)
            found.setdefault(source, {})[alike(target)] = None
        return cls(list(first.values()), [tuple(texts) for texts in found.values()])


def alike(text: str) -> str:
    """A text as both sides are compared: composed characters, plain spaces, none of them at the ends."""
    return unicodedata.normalize("NFC", plain_spaces(text)).strip()


def tally_of_translations(
    sources: Sequence[str], targets: Sequence[str], values: Sequence[str], groups: Sequence[str] | None = None
) -> Tally:
    """chrf and bleu (0 to 100) and exact_match of N rows; all rows of one source are one unit of the resampling.

    values  [N] translations; the first of a source counts
    groups  [N] of rows that are resampled together, instead of those of one source

    Raises MissingPackageError without sacrebleu.
    """
    found = Sources.of(sources, targets)
    tokenize = tokenizer_of(targets)
    columns = np.zeros((len(found.first), _CHRF + 3 * 6))
    for k, (row, references) in enumerate(zip(found.first, found.references)):
        value = alike(values[row])
        columns[k, _ROWS], columns[k, _HITS] = 1, value in references
        columns[k, _BLEU:] = counts_of(value, references, tokenize)
    metrics: dict[str, tuple[Value, bool]] = {
        "chrf": (_chrf, True),
        "bleu": (_bleu, True),
        "exact_match": (ratio(_HITS, _ROWS), True),
    }
    return Tally(by_unit(columns, None if groups is None else [groups[row] for row in found.first]), metrics)


def sentence_chrf(value: str, references: Sequence[str]) -> float:
    """The chrF of one translation against all of its references, 0 to 100."""
    counts = np.concatenate([[1, 0], counts_of(alike(value), tuple(map(alike, references)), "13a")])
    return float(_chrf(counts))


@bounded_cache(64 << 20, size_of=lambda found, value, references, _: 600 + 4 * (len(value) + sum(map(len, references))))
def counts_of(value: str, references: tuple[str, ...], tokenize: str) -> np.ndarray:
    """float64 [28]: the counts of BLEU, then of chrF, of one translation."""
    bleu, chrf = _library(tokenize)
    columns = [[reference] for reference in references]
    found = (metric._extract_corpus_statistics([value], columns)[0] for metric in (bleu, chrf))
    return np.array([count for counts in found for count in counts], np.float64)


def definitions_of(sources: Sequence[str], targets: Sequence[str]) -> Mapping[str, str]:
    """Metric → how it is computed, with the signature by which sacrebleu repeats it."""
    counts = {len(references) for references in Sources.of(sources, targets).references}
    metrics = _library(tokenizer_of(targets))
    for metric in metrics:
        metric.num_refs = min(counts) if len(counts) == 1 else -1  # of unequal numbers sacrebleu says var
    bleu, chrf = (str(metric.get_signature()) for metric in metrics)
    every = "against all references of each source"
    return {
        "chrf": f"as sacrebleu computes it, 0 to 100, {every}; signature {chrf}",
        "bleu": f"as sacrebleu computes it, 0 to 100, {every}; signature {bleu}",
        "exact_match": "the share of sources whose translation equals one of the references",
    }


def details_of_translations(sources: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    """How many sources and references there are, and the definitions of the metrics."""
    found = [len(references) for references in Sources.of(sources, targets).references]
    counted = {"sources": len(found), "references": sum(found), "most_references": max(found, default=0)}
    return {**counted, "definitions": dict(definitions_of(sources, targets))}


def tokenizer_of(targets: Sequence[str]) -> str:
    """How BLEU finds words: sacrebleu's 13a; single characters where most letters are of scripts without spaces."""
    letters = [c for text in targets[:1000] for c in text if c.isalpha() and c > "\u0e00"]
    whole = sum(c.isalpha() for text in targets[:1000] for c in text)
    unspaced = sum(unicodedata.name(c, "").startswith(_UNSPACED) for c in letters)
    return "char" if 2 * unspaced > whole else "13a"


def _library(tokenize: str) -> tuple[Any, Any]:
    metrics = needed("sacrebleu", "translation").metrics
    return metrics.BLEU(tokenize=tokenize, force=True), metrics.CHRF(beta=BETA)


def _bleu(s: np.ndarray) -> np.ndarray:
    """BLEU of sums, with the penalty of short outputs and exponential smoothing, as sacrebleu's `compute_bleu`."""
    said, true = s[..., _BLEU], s[..., _BLEU + 1]
    right = s[..., _BLEU + 2 : _BLEU + 2 + ORDER]
    whole = s[..., _BLEU + 2 + ORDER : _CHRF]
    with np.errstate(divide="ignore", invalid="ignore"):
        short = np.where(said > 0, np.exp(np.minimum(1 - true / said, 0.0)), 0.0)
        halved = 2.0 ** np.cumsum((right == 0) & (whole > 0), -1)
        precision = np.where(right > 0, right / whole, 1 / (halved * whole))
        score = 100 * short * np.exp(np.log(np.where(whole > 0, precision, 0.0)).mean(-1))
    score = np.where(right.any(-1) & (whole > 0).all(-1), score, 0.0)
    return np.where(s[..., _ROWS] > 0, score, np.nan)


def _chrf(s: np.ndarray) -> np.ndarray:
    """chrF of sums: the F-score of the mean precision and recall of the orders that both sides have."""
    said, true, both = (s[..., _CHRF + k :: 3] for k in range(3))
    used = (said > 0) & (true > 0)
    orders = np.maximum(used.sum(-1), 1)
    precision = (np.where(used, both / np.where(said > 0, said, 1), 0).sum(-1)) / orders
    recall = (np.where(used, both / np.where(true > 0, true, 1), 0).sum(-1)) / orders
    weighed = BETA**2 * precision + recall
    score = 100 * (1 + BETA**2) * precision * recall / np.where(weighed > 0, weighed, 1)
    return np.where(s[..., _ROWS] > 0, score, np.nan)
