"""Drawing the next unit from a network's scores: temperature, the k most probable units, the nucleus of share p.

Letters: B rows, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ....errors import InputError, phrase


@dataclass(frozen=True)
class Sampling:
    """How a unit is drawn."""

    temperature: float = 1.0
    """By which the scores are divided; 0: always the most probable unit, of equal ones the first."""
    top_k: int | None = None
    """Units that stay: the most probable ones, of equal ones the first."""
    top_p: float | None = None
    """Share: the fewest most probable units stay whose probabilities, at this temperature, add up to it. A. Holtzman et
    al., The curious case of neural text degeneration, arXiv 1904.09751, section 3.1."""

    def checked(self, where: str) -> Sampling:
        """The same. Raises InputError for values by which nothing can be drawn."""
        if not is_number(self.temperature) or not 0 <= self.temperature < float("inf"):
            remedy = "0 takes the most probable unit each time, 1 follows the model's probabilities."
            raise InputError(phrase(where, "--temperature", "a number of 0 or more", repr(self.temperature), remedy))
        if self.top_k is not None and not is_count(self.top_k):
            remedy = "Leave it out to draw from all units."
            raise InputError(phrase(where, "--top-k", "a whole number of 1 or more", repr(self.top_k), remedy))
        if self.top_p is not None and not (is_number(self.top_p) and 0 < self.top_p <= 1):
            remedy = "Leave it out to draw from all units."
            raise InputError(phrase(where, "--top-p", "a share above 0 and up to 1", repr(self.top_p), remedy))
        return self


def is_number(value: Any) -> bool:
    """Whether a value is a whole or a broken number, and no truth value."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Whether a value is a whole number of 1 or more."""
    return is_whole(value) and bool(value >= 1)


def check_seed(where: str, seed: Any) -> None:
    """Raises InputError for what is no whole number."""
    if not is_whole(seed):
        raise InputError(phrase(where, "seed", "a whole number", repr(seed), "The same seed gives the same draws."))


def probabilities(scores: np.ndarray, how: Sampling, barred: Sequence[int] = ()) -> np.ndarray:
    """float64 [B, V] of scores [B, V] in nats: what is drawn from; 0 for the entries that are barred.

    top_k and top_p, where both are given, are taken one after the other.
    """
    s = np.array(scores, np.float64)
    s[:, list(barred)] = -np.inf
    if how.temperature == 0:
        found = np.zeros_like(s)
        found[np.arange(len(s)), s.argmax(1)] = 1.0
        return found
    p = np.exp((s - s.max(1, keepdims=True)) / how.temperature)
    p /= p.sum(1, keepdims=True)
    if how.top_k is not None:
        p = _kept(p, np.arange(p.shape[1])[None, :] < how.top_k)
    if how.top_p is not None:
        ordered = -np.sort(-p, axis=1, kind="stable")
        before = np.cumsum(ordered, axis=1) - ordered
        p = _kept(p, before < how.top_p)
    return p


def _kept(p: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The probabilities [B, V] at some places of their order from large to small, of sum 1 again; 0 elsewhere."""
    order = np.argsort(-p, axis=1, kind="stable")
    stays = np.zeros(p.shape, bool)
    np.put_along_axis(stays, order, np.broadcast_to(places, p.shape), axis=1)
    kept = np.where(stays, p, 0.0)
    return kept / kept.sum(1, keepdims=True)


def drawn(p: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """int64 [B]: an entry of each row of probabilities [B, V], from one number of the generator each.

    The number is compared with sums over the entries in their order, so that it decides alone which entry it is.
    """
    u = torch.rand(len(p), generator=generator, dtype=torch.float64).numpy()
    sums = np.cumsum(p, axis=1)
    places = (sums <= (u * sums[:, -1])[:, None]).sum(1)
    last = p.shape[1] - 1 - (p[:, ::-1] > 0).argmax(1)  # the last entry that can be drawn, where u rounds to the end
    return np.minimum(places, last)
