"""The metrics of a language model, as sums over passages.

Letters: P passages, T units of a passage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from ...data.text.passages import Passage
from ..intervals import Tally, Value, ratio

PLACES = (0, 10, 50, 200, 1000)
"""Where the parts of a passage begin whose nats `evaluate` compares."""


def metric_named(name: str, noun: str) -> str:
    """nats_per_character: a metric of a unit by name."""
    return f"{name}_per_{noun.replace('-', '_').replace(' ', '_')}"


def tally_of_nats(passages: Sequence[Passage], nats: Sequence[np.ndarray], noun: str) -> Tally:
    """Nats and perplexity (e to the nats) of a unit, bits of a character and of a byte of UTF-8.

    nats  P arrays [T]
    """
    texts = [passage.text for passage in passages]
    columns = [
        [float(np.sum(found)) for found in nats],
        [len(found) for found in nats],
        [len(text) for text in texts],
        [len(text.encode("utf-8", "surrogatepass")) for text in texts],
    ]
    unit, character, byte = (ratio(0, place) for place in (1, 2, 3))
    values: dict[str, tuple[Value, bool]] = {
        metric_named("nats", noun): (unit, False),
        "bits_per_character": (lambda s: character(s) / math.log(2), False),
        "bits_per_byte": (lambda s: byte(s) / math.log(2), False),
        metric_named("perplexity", noun): (lambda s: np.exp(unit(s)), False),
    }
    return Tally(sparse.csr_matrix(np.array(columns, np.float64).T.reshape(-1, 4)), values)


def by_position(nats: Sequence[np.ndarray], metric: str) -> dict[str, dict[str, Any]]:
    """The mean nats of the units at places of a passage, counted from 0."""
    found = {}
    for low, high in zip(PLACES, (*PLACES[1:], None)):
        inside = [row[low:high] for row in nats if len(row) > low]
        if inside:
            together = np.concatenate(inside)
            words = f"{low} to {high - 1}" if high is not None else f"{low} on"
            found[words] = {"units": len(together), metric: float(together.mean())}
    return found
