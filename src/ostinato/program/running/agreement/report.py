"""The report on agreement: shares of right verbs by distance and by misleading nouns, beside rules and an n-gram."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...commands.closing import text_table
from ...data.findings import many
from .pairs import Pair, Pairs

DISTANCES = ((1, 1), (2, 2), (3, 3), (4, 6), (7, 10), (11, 20), (21, None))
"""Words from the subject to the verb that are counted together; None: no end."""
MISLEADING = ((0, 0), (1, 1), (2, 2), (3, None))
"""Misleading nouns that are counted together."""
NETWORK, NGRAM = "network", "n-gram"
Z = 1.959963984540054
"""The normal distribution's 97.5th percentile."""


@dataclass(frozen=True)
class Share:
    """How many of n pairs a model has right, with the ends of the 95 % interval of the share."""

    right: int
    n: int

    @property
    def value(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """E. Wilson's score interval, 1927, which holds near 0 and 1, and with few pairs."""
        n, p = self.n, self.value
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def text(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"

    def content(self) -> dict[str, Any]:
        low, high = self.interval
        return {"value": self.value, "low": low, "high": high, "right": self.right, "n": self.n}


@dataclass(frozen=True)
class Row:
    """Some of the pairs."""

    name: str
    """Distances or misleading nouns, as `4 to 6`."""
    shares: Mapping[str, Share]
    """By model, the network first."""
    reach: float
    """The median share of the gradient at the subject."""


@dataclass(frozen=True)
class Agreement:
    """What was found."""

    source: str
    whole: Row
    by_distance: Sequence[Row]
    by_misleading: Sequence[Row]
    notes: Sequence[str]

    def text(self) -> str:
        """Two tables and what there is to say about them."""
        tables = [
            _table("words to the verb", [*self.by_distance, self.whole]),
            _table("misleading nouns", self.by_misleading),
        ]
        head = f"Verbs in the right number on {self.whole.shares[NETWORK].n} pairs of {self.source}."
        return "\n\n".join([head, *tables, "\n".join(self.notes)])

    def content(self) -> dict[str, Any]:
        """The same for --json."""
        return {
            "source": self.source,
            "all": _content(self.whole),
            "by_distance": [_content(row) for row in self.by_distance],
            "by_misleading": [_content(row) for row in self.by_misleading],
            "notes": list(self.notes),
        }


def by_rules(pairs: Sequence[Pair]) -> dict[str, np.ndarray]:
    """bool [N] of each rule that looks at the nouns before the verb alone: whether the verb has its number."""
    plural = np.array([pair.plural for pair in pairs], bool)
    return {
        "last noun": np.array([pair.nouns[-1] for pair in pairs], bool) == plural,
        "first noun": np.array([pair.nouns[0] for pair in pairs], bool) == plural,
        "always singular": ~plural,
    }


def agreement_of(found: Pairs, right: Mapping[str, np.ndarray], reach: np.ndarray, notes: Sequence[str]) -> Agreement:
    """The report.

    right  model → bool [N] whether each pair is right, the network first
    reach  float64 [N]: the share of the gradient at the subject
    """
    pairs = found.pairs
    distances = np.array([pair.distance for pair in pairs])
    misleading = np.array([pair.misleading for pair in pairs])

    def rows(values: np.ndarray, bounds: Sequence[tuple[int, int | None]]) -> list[Row]:
        made = [(_named(*b), (values >= b[0]) & (values <= (b[1] if b[1] is not None else values))) for b in bounds]
        return [_row(name, inside, right, reach) for name, inside in made if inside.any()]

    whole = _row("all", np.ones(len(pairs), bool), right, reach)
    return Agreement(
        found.source, whole, rows(distances, DISTANCES), rows(misleading, MISLEADING), [*found.notes, *notes, LEGEND]
    )


LEGEND = (
    "Shares have 95 % intervals by Wilson. The last column is the gradient of the log-odds of the two forms at the "
    "state that has just read the subject, over its largest value from there to the verb: the median of the pairs."
)


def _row(name: str, inside: np.ndarray, right: Mapping[str, np.ndarray], reach: np.ndarray) -> Row:
    shares = {model: Share(int(hits[inside].sum()), int(inside.sum())) for model, hits in right.items()}
    return Row(name, shares, float(np.median(reach[inside])))


def _named(low: int, high: int | None) -> str:
    return f"{low} or more" if high is None else str(low) if low == high else f"{low} to {high}"


def _table(heading: str, rows: Sequence[Row]) -> str:
    models = list(rows[0].shares)
    headings = [heading, "pairs", *models, "gradient at the subject"]
    body = [
        [row.name, str(row.shares[NETWORK].n), *(row.shares[m].text() for m in models), f"{row.reach:.2g}"]
        for row in rows
    ]
    return text_table(headings, body)


def _content(row: Row) -> dict[str, Any]:
    shares = {model: share.content() for model, share in row.shares.items()}
    return {"name": row.name, **shares, "gradient_at_the_subject": row.reach}


def counted(left: int, of: int) -> str:
    """The note about pairs whose forms the vocabulary lacks; empty where there are none."""
    are = "is" if left == 1 else "are"
    return f"{many(left, 'pair')} of {of} {are} left out, as the vocabulary lacks a form of the verb." if left else ""
