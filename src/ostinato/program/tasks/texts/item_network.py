"""The network of generated items: a language network that reads a condition beside every unit.

Letters: T steps, B rows of the batch, V entries of the vocabulary with the mark, K columns, E numbers of an embedding,
G of a condition.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...options import NetworkOptions
from ..stepping import Core
from .conditions import UNSEEN, Conditions
from .language_network import LanguageNetwork, Reader

WIDEST = 16
"""Numbers of the embedding of a column's value, where --embedding does not say fewer."""


class ItemNetwork(nn.Module):
    """Scores of the next unit of items.

    Called as network(x, lengths) → [T, B, V] with x:
        units    int64 [T, B]
        columns  int64 [B, K]: the entries of the values that the items are given
        numbers  float32 [B, C + F]: the numbers that they are given
    Each column has an embedding; they, or the numbers, stand beside the embedding of the unit at every step.
    """

    def __init__(self, units: int, conditions: Conditions, options: NetworkOptions) -> None:
        super().__init__()
        width = min(options.embedding, WIDEST)
        columns = [nn.Embedding(len(values) + 1, width, padding_idx=UNSEEN) for values in conditions.values]
        self.columns = nn.ModuleList(columns)
        numbers = 0 if conditions.scaling is None else conditions.scaling.width
        self.language = LanguageNetwork(units, options, width * len(columns) + numbers)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor | None = None) -> Tensor:
        """[T, B, V]; `lengths` changes nothing."""
        given = self.condition(x)
        return self.language({"units": x["units"], **({} if given is None else {"given": given})})

    def condition(self, x: Mapping[str, Tensor]) -> Tensor | None:
        """[B, G]; None where there is no condition."""
        parts = [embedding(x["columns"][:, k]) for k, embedding in enumerate(self.columns)]
        parts += [x["numbers"]] if "numbers" in x else []
        return torch.cat(parts, 1) if parts else None

    def core(self) -> Core:
        """As `LanguageNetwork.core`."""
        return self.language.core()

    def reader(self, rows: int) -> Reader:
        """As `LanguageNetwork.reader`; its forks take what `condition` gives."""
        return self.language.reader(rows)
