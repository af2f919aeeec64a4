"""Networks of the tasks as models that streams and exports read: one input, one output, the same parameters.

The networks themselves take mappings and lengths, which such a network has not.

Letters: T steps, B rows, C channels, E numbers of a word, H units, K outputs, V entries of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...cells import cell
from ...layers import Recurrent
from .networks import RowNetwork, TaggerNetwork, output_width
from .texts.language_network import LanguageNetwork


@cell
def _later(x, h):  # type: ignore[no-untyped-def]
    """0 at the first step, 1 at all others."""
    return h, 1


class RowSteps(nn.Module):
    """Words int64 [T, B], or x float32 [T, B, C] → [B, K]: a `RowNetwork` on rows that all have T steps.

    The last output of a direction that reads from the end is the one of step 0. No network of steps can select that
    one, so it is computed as a maximum over steps in which all others count as -inf: exactly the same number.
    """

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = network.embedding, network.layers, network.head
        self.width = output_width(network.layers)
        self.later = Recurrent(_later, self.width, 1) if network.layers.bidirectional else None

    def forward(self, x: Tensor) -> Tensor:
        read = x if self.embedding is None else self.embedding(x)
        y, _ = self.layers(read)
        last = y[-1]
        if self.later is not None:
            later, _ = self.later(y)
            half = self.width // 2
            first = torch.where(later > 0, float("-inf"), y[:, :, half:]).amax(0)
            last = torch.cat([last[:, :half], first], -1)
        pooled: Tensor = self.head(torch.cat([y.mean(0), y.amax(0), last], -1))
        return pooled


class TaggerSteps(nn.Module):
    """float32 [T, B, E], what `TaggerNetwork.vectors` gives → the scores [T, B, K]."""

    def __init__(self, network: TaggerNetwork) -> None:
        super().__init__()
        self.layers, self.head = network.layers, network.head

    def forward(self, vectors: Tensor) -> Tensor:
        y, _ = self.layers(vectors)
        scores: Tensor = self.head(y)
        return scores


class LanguageSteps(nn.Module):
    """Units int64 [T, B] → the scores of the next unit [T, B, V], of a network without a condition."""

    def __init__(self, network: LanguageNetwork) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = network.embedding, network.layers, network.head

    def forward(self, units: Tensor) -> Tensor:
        y, _ = self.layers(self.embedding(units))
        scores: Tensor = self.head(y)
        return scores
