"""Attention: for every step of a decoder a weighted mean of what the encoder has read of the source.

All steps of the decoder are computed at once, after its recurrence, which does not read the contexts: M. Luong et al.,
Effective approaches to attention-based neural machine translation, arXiv 1508.04025.

Letters: T steps of a source, U steps of the decoder, B rows of the batch, M numbers of a step of the source, H of a
step of the decoder, A of a score.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

MOST_NUMBERS = 1 << 23
"""Numbers [U, T, B, A] of additive scores that are in memory at a time."""


class Attention(nn.Module):
    """Weights over the steps of the source, and the contexts that they make.

    kind    additive: v·tanh(W d + K m) of a step d of the decoder and m of the source (D. Bahdanau et al., arXiv
            1409.0473, section A.1.2); multiplicative: d·(K m) (Luong et al., `general`)
    source  M
    steps   H
    """

    def __init__(self, kind: str, source: int, steps: int) -> None:
        super().__init__()
        self.key = nn.Linear(source, steps, bias=False)
        self.query = nn.Linear(steps, steps) if kind == "additive" else None
        self.score = nn.Linear(steps, 1, bias=False) if kind == "additive" else None

    def keys(self, memory: Tensor) -> Tensor:
        """[T, B, A] of what the encoder has read [T, B, M]; computed once for a source."""
        return self.key(memory)

    def forward(self, steps: Tensor, memory: Tensor, keys: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
        """(contexts [U, B, M], weights [U, T, B]) of steps [U, B, H] of the decoder.

        outside  bool [T, B]: True past the end of a source, where weights are 0
        """
        scores = self._additive(steps, keys) if self.score is not None else torch.einsum("ubh,tbh->utb", steps, keys)
        weights = torch.softmax(scores.masked_fill(outside, float("-inf")), 1)
        return torch.einsum("utb,tbm->ubm", weights, memory), weights

    def _additive(self, steps: Tensor, keys: Tensor) -> Tensor:
        """[U, T, B]; a training computes a piece again in its backward pass where there are several pieces."""
        assert self.query is not None
        queries = self.query(steps)
        if torch.compiler.is_compiling():  # the sizes that the pieces depend on are not known in an exported network
            return self._scores(queries, keys)
        most = max(1, MOST_NUMBERS // max(1, keys.numel()))
        if len(queries) <= most:
            return self._scores(queries, keys)
        if not queries.requires_grad:
            return torch.cat([self._scores(piece, keys) for piece in queries.split(most)])
        pieces = [
            checkpoint(self._scores, piece, keys, use_reentrant=False, preserve_rng_state=False)
            for piece in queries.split(most)
        ]
        return torch.cat(pieces)

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        assert self.score is not None
        return self.score(torch.tanh(queries[:, None] + keys[None]))[..., 0]
