"""The metrics of filled gaps, as sums over passages.

Letters: P passages, T units of a passage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ..intervals import Tally, Value, ratio
from .metrics import metric_named

FIRST = 5
"""Places of a list of the most probable units, within which the right one may be."""


def fill_metric(name: str, noun: str) -> str:
    """nats_per_missing_word: a metric of a missing unit by name."""
    return metric_named(name, f"missing {noun}")


def tally_of_gaps(nats: Sequence[np.ndarray], ranks: Sequence[np.ndarray], noun: str) -> Tally:
    """Nats and perplexity (e to the nats) of a missing unit, and the shares of units named first and within five.

    nats   P arrays [T]
    ranks  P arrays int [T]: how many units are more probable than the right one
    """
    columns = [
        [float(np.sum(found)) for found in nats],
        [len(found) for found in nats],
        [int((found == 0).sum()) for found in ranks],
        [int((found < FIRST).sum()) for found in ranks],
    ]
    unit = ratio(0, 1)
    values: dict[str, tuple[Value, bool]] = {
        fill_metric("nats", noun): (unit, False),
        "accuracy": (ratio(2, 1), True),
        "accuracy_within_five": (ratio(3, 1), True),
        fill_metric("perplexity", noun): (lambda s: np.exp(unit(s)), False),
    }
    return Tally(sparse.csr_matrix(np.array(columns, np.float64).T.reshape(-1, 4)), values)
