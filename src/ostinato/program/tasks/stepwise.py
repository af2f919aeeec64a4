"""Networks of the tasks as models that `ostinato.stream` reads: one input, one output, the same parameters.

The networks themselves take mappings and lengths, which a network that runs step by step has not.

Letters: T steps, B rows, C channels, E numbers of a word, H units, K outputs, V entries of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .networks import RowNetwork, TaggerNetwork
from .texts.language_network import LanguageNetwork


class RowSteps(nn.Module):
    """Words int64 [T, B], or x float32 [T, B, C] → [B, K]: a `RowNetwork` on rows that all have T steps."""

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = network.embedding, network.layers, network.head

    def forward(self, x: Tensor) -> Tensor:
        read = x if self.embedding is None else self.embedding(x)
        y, _ = self.layers(read)
        pooled: Tensor = self.head(torch.cat([y.mean(0), y.amax(0), y[-1]], -1))
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
