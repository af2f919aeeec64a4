"""The network that fills gaps: one recurrent stack reads what is before a unit, another what is after it.

Letters: T steps, B rows of the batch, V entries of the vocabulary, J numbers of a joined step, N units that are scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ....errors import InputError, phrase
from ...options import NetworkOptions
from ..networks import output_width, recurrent
from ..task import IGNORED
from .units import UNKNOWN

MOST_SCORES = 1 << 24
"""Numbers of the scores [N, V] that are in memory at a time."""
UNREAD = 0.05
"""The share of units that training reads as the unknown entry: a text with several gaps is read in this way."""


class Head(Protocol):
    """Scores [N, V] of what is read [N, J], such as a linear layer."""

    @property
    def out_features(self) -> int:
        """V"""

    def __call__(self, read: Tensor) -> Tensor: ...


class Joined:
    """What both stacks have read of every unit's contexts [T, B, J], from which scores [N, V] are computed in pieces.

    A training computes the scores of a piece again in its backward pass where there are several pieces.
    """

    def __init__(self, read: Tensor, head: Head, most: int = MOST_SCORES) -> None:
        self.read, self.head = read, head
        self.rows = max(1, most // head.out_features)
        """Units whose scores are in memory at a time."""

    def nats(self, target: Tensor) -> Tensor:
        """[N]: -log p of each unit of int64 [T, B] that is not IGNORED, in the order of rows of the target."""
        found = []
        several = self.read.requires_grad and int((target != IGNORED).sum()) > self.rows
        for read, right in self._pieces(target):
            if several:
                found.append(checkpoint(self._nats, read, right, use_reentrant=False, preserve_rng_state=False))
            else:
                found.append(self._nats(read, right))
        return torch.cat(found)

    def ranks(self, target: Tensor) -> Tensor:
        """int64 [N]: how many units come before the right one by score; of equal scores, the first entry is first."""
        found = []
        for read, right in self._pieces(target):
            scores = self.head(read)
            own = scores.gather(1, right[:, None])
            earlier = torch.arange(scores.shape[1], device=right.device) < right[:, None]
            found.append(((scores > own) | ((scores == own) & earlier)).sum(1))
        return torch.cat(found)

    def at(self, step: int, row: int) -> Tensor:
        """[V] the scores of one unit."""
        return self.head(self.read[step, row])

    def _nats(self, read: Tensor, right: Tensor) -> Tensor:
        return F.cross_entropy(self.head(read), right, reduction="none")

    def _pieces(self, target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        flat = target.flatten()
        chosen = torch.nonzero(flat != IGNORED).flatten()
        for places in chosen.split(self.rows):
            yield self.read.flatten(0, 1).index_select(0, places), flat[places]


class FillNetwork(nn.Module):
    """Scores of every unit of a text from the units before it and those after it, in one pass.

    Called as network(x, lengths) → Joined with x, entry V of which is the edge of a text:
        before  int64 [T, B]: the edge, then the units without the last
        after   int64 [T, B]: the edge, then the units from the last one back, without the first
    The stacks are apart up to the last layer, so the scores of a unit do not depend on the unit itself. A hidden layer
    joins their outputs: a sum of scores from both sides alone could not say that a unit depends on both together.

    units    V
    options  cell, hidden, layers, embedding, dropout and the options of the layers
    """

    def __init__(self, units: int, options: NetworkOptions) -> None:
        super().__init__()
        if not options.both_directions:
            remedy = "Leave --one-direction out: a missing unit is between two contexts."
            raise InputError(phrase("fill", "both_directions", "True", "False", remedy))
        one = replace(options, both_directions=False)
        self.edge, self.unread = units, UNREAD
        self.embedding = nn.Embedding(units + 1, options.embedding)
        nn.init.normal_(self.embedding.weight, 0.0, 0.1)
        self.dropout = nn.Dropout(options.dropout)
        self.before = recurrent(one, options.embedding)
        self.after = recurrent(one, options.embedding)
        self.join = nn.Linear(2 * output_width(self.before), options.hidden)
        self.head = nn.Linear(options.hidden, units)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor) -> Joined:
        before, _ = self.before(self._embedded(x["before"]))
        after, _ = self.after(self._embedded(x["after"]))
        places = (lengths - 1 - torch.arange(after.shape[0])[:, None]).clamp(min=0).to(after.device)
        after = after.gather(0, places[:, :, None].expand(-1, -1, after.shape[2]))
        joined = F.relu(self.join(self.dropout(torch.cat([before, after], -1))))
        return Joined(self.dropout(joined), self.head)

    def _embedded(self, units: Tensor) -> Tensor:
        """[T, B, E]"""
        if self.training:
            unread = torch.rand(units.shape, device=units.device) < self.unread
            units = torch.where(unread & (units != self.edge), UNKNOWN, units)
        return self.dropout(self.embedding(units))
