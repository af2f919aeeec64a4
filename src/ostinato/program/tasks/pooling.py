"""One vector of a sequence: mean and maximum over its own steps beside its last output.

Letters: T steps, B rows of the batch, D directions, H units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def pool(y: Tensor, lengths: Tensor, directions: int = 1) -> Tensor:
    """[B, 3·D·H] of a layer's output y [T, B, D·H] and lengths int64 [B]: mean, maximum, last output.

    What y holds past a row's length is never read: NaN there changes nothing, and its gradient is 0. A row without
    steps gives zeros. Of equal maxima, one step receives the gradient.
    """
    return _Pool.apply(y, lengths.to(y.device), directions)


def last_output(y: Tensor, lengths: Tensor, directions: int = 1) -> Tensor:
    """[B, D·H]: the output of each row's own last step; of the second direction, which reads from the end, at step 0.

    Zeros for a row without steps; what stands past a row's length is never read.
    """
    return _Last.apply(y, lengths.to(y.device), directions)


class _Pool(torch.autograd.Function):
    """As one node, because a chain of torch's operations passes over y [T, B, D·H] a dozen times."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, known: Tensor, directions: int) -> Tensor:
        if not y.shape[0]:
            ctx.save_for_backward(known, known.new_zeros(0))
            ctx.shape, ctx.directions = y.shape, directions
            return y.new_zeros(y.shape[1], 3 * y.shape[2])
        outside = _outside(y, known)
        mean = y.masked_fill(outside, 0.0).sum(0) / _divisor(known, y)
        largest, place = y.masked_fill(outside, float("-inf")).max(0)
        largest.masked_fill_((known == 0).unsqueeze(-1), 0.0)
        ctx.save_for_backward(known, place)
        ctx.shape, ctx.directions = y.shape, directions
        return torch.cat([mean, largest, _picked(y, known, directions)], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor, None, None]:
        known, place = ctx.saved_tensors
        of_mean, of_largest, of_last = adjoint.chunk(3, -1)
        if not ctx.shape[0]:
            return adjoint.new_zeros(ctx.shape), None, None
        whole = (of_mean / _divisor(known, adjoint)).expand(ctx.shape).clone()
        whole.masked_fill_(_outside(whole, known), 0.0)
        there = (known > 0).unsqueeze(-1).to(adjoint.dtype)
        whole.scatter_add_(0, place.unsqueeze(0), (of_largest * there).unsqueeze(0))
        return _add_to_last(whole, of_last * there, known, ctx.directions), None, None


class _Last(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, known: Tensor, directions: int) -> Tensor:
        ctx.save_for_backward(known)
        ctx.shape, ctx.directions = y.shape, directions
        return _picked(y, known, directions)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, adjoint: Tensor) -> tuple[Tensor, None, None]:
        (known,) = ctx.saved_tensors
        there = (known > 0).unsqueeze(-1).to(adjoint.dtype)
        whole = adjoint.new_zeros(ctx.shape)
        return _add_to_last(whole, adjoint * there, known, ctx.directions), None, None


def _picked(y: Tensor, known: Tensor, directions: int) -> Tensor:
    """[B, D·H]: each row's last step, of the second direction step 0; zeros for a row without steps."""
    if not y.shape[0]:
        return y.new_zeros(y.shape[1:])
    width = y.shape[-1] // directions
    # known.shape[0] and not len(known), which would be a constant of an exported network.
    found = y[(known - 1).clamp(min=0), torch.arange(known.shape[0], device=y.device)]
    if directions == 2:
        found[:, width:] = y[0, :, width:]
    return found.masked_fill_((known == 0).unsqueeze(-1), 0.0)


def _add_to_last(whole: Tensor, adjoint: Tensor, known: Tensor, directions: int) -> Tensor:
    """Adds the adjoint [B, D·H] of what `_picked` gave to `whole` [T, B, D·H], in place."""
    if not whole.shape[0]:
        return whole
    width = whole.shape[-1] // directions
    ends, rows = (known - 1).clamp(min=0), torch.arange(len(known), device=whole.device)
    whole[ends, rows, :width] += adjoint[:, :width]  # every (end, row) occurs once, so nothing is lost
    if directions == 2:
        whole[0, :, width:] += adjoint[:, width:]
    return whole


def _divisor(known: Tensor, like: Tensor) -> Tensor:
    """[B, 1]: the lengths, 1 for a row without steps."""
    return known.clamp(min=1).unsqueeze(-1).to(like.dtype)


def _outside(y: Tensor, known: Tensor) -> Tensor:
    """bool [T, B, 1]: the steps past the lengths."""
    return (torch.arange(y.shape[0], device=y.device)[:, None] >= known).unsqueeze(-1)
