"""The network of translation: an encoder in both directions, a decoder, attention between them, scores of a unit.

Letters: T steps of a source, U units of an output, B rows of the batch, K hypotheses of a row, L layers, M numbers of
a step of the encoder, H of the decoder, E of an embedding, V entries of the target's vocabulary with the mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...options import NetworkOptions
from ..networks import output_width, recurrent
from ..pooling import last_output
from ..stepping import Core, Steps, as_state, steps_of
from .attention import Attention
from .scores import Read, Scores


@dataclass(frozen=True)
class Memory:
    """What the encoder has read of B sources."""

    steps: Tensor
    """[T, B, M]"""
    keys: Tensor | None
    """[T, B, A] for the scores of attention; None without it."""
    outside: Tensor
    """bool [T, B]: True past the end of a source."""
    whole: Tensor | None
    """[B, M]: the last outputs of both directions, which the decoder reads at every step where it has no attention."""

    def of(self, rows: Tensor) -> Memory:
        """The same of some rows, int64 [R]."""
        parts = (self.steps, self.keys, self.outside)
        steps, keys, outside = (None if part is None else part.index_select(1, rows) for part in parts)
        assert steps is not None and outside is not None
        return Memory(steps, keys, outside, None if self.whole is None else self.whole.index_select(0, rows))


@dataclass(frozen=True)
class Translated:
    """What the network gives of a batch."""

    network: TranslationNetwork
    memory: Memory
    start: Sequence[Tensor]
    """The decoder's first state: [L, B, ·] of each of its parts."""
    read: Read | None
    """What scores of the units of the targets are computed from, in pieces; None of sources without targets."""

    def of(self, rows: Tensor) -> Translated:
        """The same of some rows, int64 [R], without targets."""
        rows = rows.to(self.memory.steps.device)
        start = [part.index_select(1, rows) for part in self.start]
        return Translated(self.network, self.memory.of(rows), start, None)

    def weights(self, units: Tensor, steps: Tensor) -> Tensor | None:
        """[U, T, B] the weight of each step of the sources for each of units [U, B], of which rows have `steps` [B];
        None without attention."""
        return self.network.weights(units.to(self.memory.steps.device), steps, self.memory, self.start)


class TranslationNetwork(nn.Module):
    """Scores of every unit of a target after those before it, given the whole source.

    Called as network(x, lengths) → Translated with lengths [B] of the sources and x:
        source  int64 [T, B]
        units   int64 [U, B]: the mark, then the target without its last unit; absent of sources alone
        steps   int64 [B]: the units of each target
    The decoder's state begins as tanh of a linear function of the encoder's last states, layer by layer and part by
    part. Contexts are computed for all steps after the recurrence, so that each of the encoder and the decoder is one
    call of its layers.

    sources, units  entries of the source's and the target's vocabulary, V
    options         cell, hidden, layers, both_directions of the encoder, embedding, dropout, attention, the options of
                    the layers; beam and length_penalty of the search, which can be set anew
    """

    def __init__(self, sources: int, units: int, options: NetworkOptions) -> None:
        super().__init__()
        self.beam, self.length_penalty = options.beam, options.length_penalty
        self.source = nn.Embedding(sources, options.embedding)
        self.target = nn.Embedding(units, options.embedding)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, 0.0, 0.1)
        self.dropout = nn.Dropout(options.dropout)
        self.encoder = recurrent(options, options.embedding)
        width = output_width(self.encoder)
        self.attention: Attention | None = None
        beside = width if options.attention == "none" else 0
        self.decoder = recurrent(replace(options, both_directions=False), options.embedding + beside)
        height = output_width(self.decoder)
        if options.attention != "none":
            self.attention = Attention(options.attention, width, height)
        widths = self._state_widths()
        directions = 2 if options.both_directions else 1
        self.starts = nn.ModuleList(
            nn.Linear(directions * part, part) for _ in range(options.layers) for part in widths
        )
        self.readout = nn.Linear(height + width, options.embedding)
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor) -> Translated:
        memory, start = self.encode(x["source"], lengths)
        if "units" not in x:
            return Translated(self, memory, start, None)
        steps, _ = self.decoder(self._embedded(x["units"], memory), as_state(start), lengths=x["steps"].cpu())
        return Translated(self, memory, start, Read(self._read(steps, memory), self._scores()))

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, list[Tensor]]:
        """What is read of sources int64 [T, B], and the decoder's first state."""
        steps, final = self.encoder(self.dropout(self.source(source)), lengths=lengths)
        outside = torch.arange(steps.shape[0], device=steps.device)[:, None] >= lengths.to(steps.device)
        keys = None if self.attention is None else self.attention.keys(steps)
        whole = last_output(steps, lengths, 2 if self.encoder.bidirectional else 1) if self.attention is None else None
        return Memory(steps, keys, outside, whole), self._start(final)

    def core(self) -> Core:
        """The decoder as it runs step by step: [T, B, H] after embeddings [T, B, E], without attention with what the
        encoder has read beside them [T, B, E + M]."""
        return Core(self.decoder)

    def step(self, units: Tensor, steps: Steps, memory: Memory) -> Tensor:
        """Scores [K, B, V] after one more unit of K hypotheses of each row, int64 [K, B].

        steps  of `core`, of K·B rows
        """
        y = steps.step(self._embedded(units, memory).flatten(0, 1))
        return self._scores()(self._read(y.unflatten(0, units.shape), memory))

    def aligned_step(self, units: Tensor, state: Any, memory: Memory) -> tuple[Tensor, Tensor | None, Any]:
        """(scores [K, B, V] after one more unit of K hypotheses of each row, int64 [K, B]; the weight [K, T, B] of each
        step of the sources, None without attention; the state to go on with, a tensor [L, K·B, ·] or several)."""
        y, state = self.decoder(self._embedded(units, memory).flatten(0, 1)[None], state)
        steps = y[0].unflatten(0, units.shape)
        contexts, weights = self._contexts(steps, memory)
        return self._scores()(self._joined(steps, contexts)), weights, state

    def weights(self, units: Tensor, steps: Tensor, memory: Memory, start: Sequence[Tensor]) -> Tensor | None:
        """[U, T, B] the weight of each step of the sources for each of units [U, B], of which rows have `steps`; None
        without attention."""
        if self.attention is None or memory.keys is None:
            return None
        y, _ = self.decoder(self._embedded(units, memory), as_state(start), lengths=steps)
        return self.attention(y, memory.steps, memory.keys, memory.outside)[1]

    def _scores(self) -> Scores:
        return Scores(self.target.weight, self.bias)

    def _start(self, final: Any) -> list[Tensor]:
        """[L, B, ·] for each part of the decoder's state, from the last states [D·L, B, ·] of the encoder."""
        parts = [final] if isinstance(final, Tensor) else list(final)
        layers = self.decoder.num_layers
        found: list[list[Tensor]] = [[] for _ in parts]
        for place, linear in enumerate(self.starts):
            layer, part = divmod(place, len(parts))
            both = parts[part].unflatten(0, (layers, -1))[layer]  # [D, B, ·]
            found[part].append(torch.tanh(linear(both.transpose(0, 1).flatten(1))))
        return [torch.stack(part) for part in found]

    def _state_widths(self) -> list[int]:
        """The numbers of each part of the decoder's state."""
        layer = self.decoder
        return [
            (layer.proj_size or layer.hidden_size) if w == "P" else layer.hidden_size for w in layer.cell.state_widths
        ]

    def _embedded(self, units: Tensor, memory: Memory) -> Tensor:
        """[U, B, E], or [U, B, E + M] without attention."""
        embedded = self.dropout(self.target(units))
        if memory.whole is None:
            return embedded
        return torch.cat([embedded, memory.whole.expand(units.shape[0], -1, -1)], -1)

    def _read(self, steps: Tensor, memory: Memory) -> Tensor:
        """[U, B, E] from the decoder's steps [U, B, H] and their contexts."""
        return self._joined(steps, self._contexts(steps, memory)[0])

    def _contexts(self, steps: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """[U, B, M] for each step of the decoder, and the weights [U, T, B]; None without attention."""
        if self.attention is None or memory.keys is None:
            assert memory.whole is not None
            return memory.whole.expand(steps.shape[0], -1, -1), None
        found: tuple[Tensor, Tensor] = self.attention(steps, memory.steps, memory.keys, memory.outside)
        return found

    def _joined(self, steps: Tensor, contexts: Tensor) -> Tensor:
        """[U, B, E]"""
        return self.dropout(torch.tanh(self.readout(self.dropout(torch.cat([steps, contexts], -1)))))


class Hypotheses:
    """A network in the middle of K hypotheses of each of B rows, as `search` reads it."""

    def __init__(self, made: Translated) -> None:
        self.network, self.memory = made.network, made.memory
        self.steps = steps_of(self.network.core(), self.memory.steps.shape[1], made.start)

    def step(self, units: Tensor) -> Tensor:
        """Scores [K, B, V] after one more unit of each hypothesis, int64 [K, B]."""
        return self.network.step(units.to(self.memory.steps.device), self.steps, self.memory)

    def keep(self, rows: Tensor, parents: Tensor) -> None:
        """Goes on with some rows, int64 [R], and hypotheses int64 [K', R] of each."""
        device, count = self.memory.steps.device, self.memory.steps.shape[1]
        self.steps.keep((parents * count + rows).flatten().tolist())
        if len(rows) < count:
            self.memory = self.memory.of(rows.to(device))
