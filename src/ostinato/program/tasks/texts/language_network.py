"""The network of a language model: an embedding, recurrent layers in one direction, and scores of the next unit.

Letters: T steps, B rows of the batch, V entries of the vocabulary, E numbers of an embedding, G of a condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ....errors import InputError, phrase
from ...options import NetworkOptions
from ..networks import output_width, recurrent
from ..stepping import Core, steps_of


class LanguageNetwork(nn.Module):
    """Scores of the unit after each step.

    Called as network(x) → [T, B, V] with x:
        units  int64 [T, B]
        given  float32 [B, G]: the condition of each row, beside the embedding at every step; absent where G is 0
    Every score depends on the steps up to its own alone, so what stands past a row's length changes none of the others.

    units    V
    options  cell, hidden, layers, embedding, dropout and the options of the layers
    given    G
    """

    def __init__(self, units: int, options: NetworkOptions, given: int = 0) -> None:
        super().__init__()
        if options.both_directions:
            remedy = "Leave --both-directions out: a unit is predicted from those before it alone."
            raise InputError(phrase("language model", "both_directions", "False", "True", remedy))
        self.given = given
        self.embedding = nn.Embedding(units, options.embedding)
        nn.init.normal_(self.embedding.weight, 0.0, 0.1)
        self.dropout = nn.Dropout(options.dropout)
        self.layers = recurrent(replace(options, both_directions=False), options.embedding + given)
        self.head = nn.Linear(output_width(self.layers), units)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor | None = None) -> Tensor:
        """[T, B, V]; `lengths` is taken as all networks take it, and changes nothing."""
        read = self._read(x["units"], x.get("given"))
        y, _ = self.layers(read)
        return self.head(self.dropout(y))

    def core(self) -> Core:
        """What runs step by step: the scores [T, B, V] after entries int64 [T, B], or where G is not 0 after the
        embeddings with the conditions beside them [T, B, E + G]."""
        return Core(self.layers, None if self.given else self.embedding, self.head)

    def reader(self, rows: int) -> Reader:
        """Scores unit by unit, of B rows at their beginning, with the weights that the network has now."""
        return Reader(self, rows)

    def go_on(self, units: Tensor, state: Any = None, given: Tensor | None = None) -> tuple[Tensor, Any]:
        """The scores [T, B, V] after each of T more units of each row, int64 [T, B], and the state to go on with."""
        y, state = self.layers(self._read(units, given), state)
        return self.head(self.dropout(y)), state

    def _read(self, units: Tensor, given: Tensor | None) -> Tensor:
        """[T, B, E + G]"""
        embedded = self.dropout(self.embedding(units))
        if not self.given:
            return embedded
        assert given is not None  # the task of a conditional text gives it with every batch
        return torch.cat([embedded, given.to(embedded).expand(units.shape[0], -1, -1)], -1)


class Reader:
    """A language network in the middle of B texts, in evaluation."""

    def __init__(self, network: LanguageNetwork, rows: int) -> None:
        self._steps = steps_of(network.core(), rows)
        self._embedding = network.embedding if network.given else None
        self._given: Tensor | None = None

    def fork(self, given: Tensor | None = None) -> Self:
        """The same texts once more, which go on independently of these; of a condition [B, G] where there is one."""
        other = type(self).__new__(type(self))
        other._steps, other._embedding, other._given = self._steps.fork(), self._embedding, given
        return other

    def step(self, units: Tensor) -> Tensor:
        """The scores [B, V] after one more unit of each row, int64 [B]."""
        if self._embedding is None:
            return self._steps.step(units)
        assert self._given is not None  # the task of a conditional text gives it with every fork
        with torch.no_grad():
            embedded = self._embedding(units.to(self._embedding.weight.device))
            return self._steps.step(torch.cat([embedded, self._given.to(embedded)], -1))
