"""Beam search: the most probable output of a network that is read unit by unit, of several rows at once.

Letters: B rows, K hypotheses of a row, V entries, U units of an output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Reader(Protocol):
    """A network in the middle of K hypotheses of each of B rows. At the beginning there is one of each row."""

    def step(self, units: Tensor) -> Tensor:
        """Scores [K, B, V] of the next unit after one more unit of each hypothesis, int64 [K, B]."""

    def keep(self, rows: Tensor, parents: Tensor) -> None:
        """Goes on with some rows, int64 [R], and of each with the hypotheses int64 [K', R], which may repeat."""


@dataclass(frozen=True)
class Search:
    """How outputs are searched for."""

    mark: int
    """The entry that begins an output, and ends it."""
    barred: Sequence[int] = ()
    """Entries that no output has."""
    beam: int = 1
    """Hypotheses of a row; each that ends leaves one fewer to go on. 1: the most probable unit each time."""
    length_penalty: float = 1.0
    """The logarithm of an output's probability is divided by this power of its length, the mark that ends it included:
    K. Cho et al., On the properties of neural machine translation, arXiv 1409.1259, section 4.2.1, with 1."""


@dataclass(frozen=True)
class Output:
    """What was found for a row."""

    units: list[int]
    """[U], without marks."""
    score: float
    """The divided logarithm of its probability."""
    ended: bool
    """False where no hypothesis ended within the row's limit: the most probable one is cut there."""


def search(reader: Reader, limits: Sequence[int], how: Search) -> list[Output]:
    """The best output of each of B rows of at most `limits` units each, the mark at the end included.

    A row is done once no hypothesis is left, or none can still be better than the best that has ended: a logarithm
    only falls, and is divided by at most the power of the limit. Of equal scores the one that ended first stays. The
    other rows do not change what is found for a row.
    """
    found = [Output([], float("-inf"), False) for _ in limits]
    rows = torch.arange(len(limits))
    most = torch.tensor(limits, dtype=torch.float64)
    best = torch.full((len(limits),), float("-inf"), dtype=torch.float64)
    left = torch.full((len(limits),), how.beam)
    scores = torch.zeros(1, len(limits), dtype=torch.float64)
    written = torch.full((1, 1, len(limits)), how.mark)  # [U, K, B] with the mark at the beginning
    while len(rows):
        length = len(written)
        after, parents, units = _extended(reader.step(written[-1]), scores, how)
        going = (torch.arange(len(after))[:, None] < left) & after.isfinite()
        ended = going & (units == how.mark)
        values = torch.where(ended, after / length**how.length_penalty, float("-inf"))
        value, place = values.max(0)
        for k in torch.nonzero(value > best)[:, 0].tolist():
            chosen = written[1:, parents[place[k], k], k].tolist()
            found[int(rows[k])] = Output(chosen, float(value[k]), True)
        best = torch.maximum(best, value)
        left = left - ended.sum(0)
        live = torch.where(going & ~ended, after, float("-inf"))
        first, lead = live.max(0)
        cut = (most <= length) & (best == float("-inf"))
        for k in torch.nonzero(cut)[:, 0].tolist():
            chosen = [*written[1:, parents[lead[k], k], k].tolist(), int(units[lead[k], k])]
            found[int(rows[k])] = Output(chosen, float(first[k]) / length**how.length_penalty, False)
        goes_on = torch.nonzero((most > length) & (first / most**how.length_penalty > best))[:, 0]
        # The hypotheses that go on, the most probable first.
        count = max(1, int((going & ~ended)[:, goes_on].sum(0).max())) if len(goes_on) else 1
        scores, order = live[:, goes_on].sort(dim=0, descending=True, stable=True)
        scores, order = scores[:count], order[:count]
        parents, units = parents[:, goes_on].gather(0, order), units[:, goes_on].gather(0, order)
        reader.keep(goes_on, parents)
        before = written[:, :, goes_on].gather(1, parents.expand(length, -1, -1))
        written = torch.cat([before, units[None]])
        rows, most, best, left = rows[goes_on], most[goes_on], best[goes_on], left[goes_on]
    return found


def _extended(scores: Tensor, before: Tensor, how: Search) -> tuple[Tensor, Tensor, Tensor]:
    """Of each row the `beam` most probable hypotheses with one more unit: [K', B] their logarithms, parents and units.

    scores  [K, B, V] of the next unit
    before  float64 [K, B]: logarithms so far
    """
    scores = scores.detach()
    nats = scores.logsumexp(-1, keepdim=True)
    scores = scores.index_fill(-1, torch.tensor(list(how.barred), dtype=torch.int64, device=scores.device), -torch.inf)
    top, units = scores.topk(min(how.beam, scores.shape[-1]), -1)  # no row has more of one hypothesis
    nats, top, units = nats.cpu().double(), top.cpu().double(), units.cpu()
    whole = (before[..., None] + (top - nats)).permute(0, 2, 1).flatten(0, 1)  # [K·k, B]
    whole, order = whole.sort(dim=0, descending=True, stable=True)
    whole, order = whole[: how.beam], order[: how.beam]
    parents = order // top.shape[-1]
    return whole, parents, units.permute(0, 2, 1).flatten(0, 1).gather(0, order)
