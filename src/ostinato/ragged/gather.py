"""`gather_rows`: rows by index, with a gradient that is a gather by the inverse index.

Letters: N rows of the source, M rows of the result, C numbers of a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import _torch_private
from ..execution.custom_op import register
from ..execution.routing import needs_registered_op, under_functional_transform


def gather_rows(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """rows [N, C], index [M] → [M, C]: row index[m] for each m, zeros where index[m] is N.

    No row is taken twice. `inverse` [N] is the inverse map, M where a row is not taken. With it the gradient is a
    gather too, where torch's own, `index_add`, adds row by row.
    """
    if under_functional_transform():
        # torch.compile cannot trace an autograd.Function inside a transform; it differentiates the gather itself.
        return _gather(rows, index) if torch.compiler.is_compiling() else _GatherRows.apply(rows, index, inverse)
    if needs_registered_op((rows,)):
        return torch.ops.ostinato.pick(rows, index, inverse)
    return _GatherRows.apply(rows, index, inverse)


def _gather(rows: Tensor, index: Tensor, *_: Tensor) -> Tensor:
    count = rows.shape[0]
    if under_functional_transform() or not count or not rows.is_cpu:
        return torch.cat([rows, rows.new_zeros(1, rows.shape[1])]).index_select(0, index)
    # Without a copy of all rows: half of the time, on a device where counting the missing rows is not a wait.
    found = rows.index_select(0, index.clamp(max=count - 1))
    missing = (index == count).nonzero().view(-1)
    return found.index_fill_(0, missing, 0.0) if len(missing) else found


def _gather_fake(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    return rows.new_empty(index.shape[0], rows.shape[1])


def _gather_autograd(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """The operator where gradients may be recorded."""
    if torch.is_grad_enabled() and rows.requires_grad:
        return _GatherRows.apply(rows, index, inverse)
    with _torch_private.below_autograd():
        return torch.ops.ostinato.pick(rows, index, inverse)


class _GatherRows(torch.autograd.Function):
    """Its backward is itself with index and inverse exchanged: differentiable any number of times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        if not under_functional_transform() and needs_registered_op((rows,)):
            return torch.ops.ostinato.pick(rows, index, inverse)
        return _gather(rows, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> tuple[Tensor, None, None]:
        index, inverse = ctx.saved_tensors
        return gather_rows(d[0], inverse, index), None, None

    @staticmethod
    def jvp(ctx: Any, *d: Tensor) -> Tensor:
        index, inverse = ctx.saved_tensors
        return gather_rows(d[0], index, inverse)


register(
    "pick(Tensor rows, Tensor index, Tensor inverse) -> Tensor", _gather, _gather_fake, differentiable=_gather_autograd
)
