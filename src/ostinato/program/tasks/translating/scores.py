"""Scores of the units of a target, and the nats of the right ones, in few passes over the scores.

Letters: N units that are scored, E numbers of an embedding, V entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..texts.fill_network import Joined


@dataclass(frozen=True)
class Scores:
    """Scores of the units from what is read: their weights are the embeddings of the units, O. Press and L. Wolf, Using
    the output embedding to improve language models, arXiv 1608.05859."""

    weight: Tensor
    """[V, E]"""
    bias: Tensor
    """[V]"""

    @property
    def out_features(self) -> int:
        """V"""
        return len(self.bias)

    def __call__(self, read: Tensor) -> Tensor:
        """[..., V] of [..., E]."""
        return F.linear(read, self.weight, self.bias)


class Read(Joined):
    """What is read of each unit's place [U, B, E], from which `nats` computes the scores in pieces."""

    def __init__(self, read: Tensor, scores: Scores) -> None:
        super().__init__(read, scores)
        self.scores = scores

    def _nats(self, read: Tensor, right: Tensor) -> Tensor:
        return _Nats.apply(read, self.scores.weight, self.scores.bias, right)


class _Nats(torch.autograd.Function):
    """float [N]: -log p of the right entries int64 [N], of read [N, E].

    As one node: with e the exponentials of the scores and s their sums, the gradient of the scores is e/s less 1 at the
    right entry. Its products with the weights and with what is read need e alone, so that the backward pass makes no
    further [N, V].
    """

    @staticmethod
    def forward(ctx: Any, read: Tensor, weight: Tensor, bias: Tensor, right: Tensor) -> Tensor:
        scores = torch.addmm(bias, read, weight.T)
        scores.sub_(scores.amax(1, keepdim=True))
        own = scores.gather(1, right[:, None])[:, 0]
        exponentials = scores.exp_()
        sums = exponentials.sum(1)
        ctx.save_for_backward(read, weight, right, exponentials, sums)
        return sums.log() - own

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        read, weight, right, exponentials, sums = ctx.saved_tensors
        share = (adjoint / sums)[:, None]
        of_read = (exponentials @ weight).mul_(share).sub_(weight.index_select(0, right) * adjoint[:, None])
        of_weight = exponentials.T @ (read * share)
        of_weight.index_add_(0, right, read * adjoint[:, None], alpha=-1)
        of_bias = torch.mv(exponentials.T, share[:, 0]).index_add_(0, right, adjoint, alpha=-1)
        return of_read, of_weight, of_bias, None
