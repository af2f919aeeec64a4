"""A whole sequence as one node of torch's graph: its backward, and the backward of that."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..cells import Cell
from . import plain
from .plain import Found, Kept, Tensors
from .saved import check_saved


class Call(NamedTuple):
    """What a call is besides its tensors. `forward` and `backward` are called as those of `engine`."""

    forward: Callable[..., Kept]
    backward: Callable[..., Found]
    cell: Cell
    reverse: bool
    histories: bool
    show_kept: bool = False
    reads_output: bool = True
    """Whether `backward` wants the output; what it does not want is not kept alive for it."""
    where: Any = None
    """`engine.places`, where x and the output are laid out as the caller's x; None where they are packed or dense."""


def differentiable(
    call: Call, x: Tensor, states: Tensors, weights: Tensors, sizes: Tensor | None, noise: Tensor | None = None
) -> Kept:
    """`call.forward` with gradients. What it kept is handed out only with `call.show_kept`."""
    found, n = _Sequence.apply(call, sizes, noise, x, *states, *weights), len(states)
    if len(found) == 1 + n:
        return found[0], list(found[1:]), [], []
    flat = iter(found)
    extra = n - (call.cell.output_state is not None) if call.histories else 0
    return next(flat), list(islice(flat, n)), list(islice(flat, extra)), list(flat)


def _more(call: Call, noise: Tensor | None) -> dict[str, Any]:
    """Most cells draw nothing and most rows are packed, and most functions need not know of either."""
    if noise is None and call.where is None:
        return {}
    found: dict[str, Any] = {} if noise is None else {"noise": noise}
    return found if call.where is None else found | {"where": call.where}


def _packed(call: Call, t: Tensor, sizes: Tensor) -> Tensor:
    """t, laid out as x is, as packed rows [R, ·]. Differentiable any number of times."""
    if call.where is None:
        return t
    return t.flatten(0, -2).index_select(0, call.where.index(sizes.tolist()))


def _rows(state: Tensor) -> Tensor:
    """[B, H]: the short way hands states on as its caller has them, [1, B, H], and only kernels read them so."""
    return state if state.dim() == 2 else state.squeeze(0)


class _Sequence(torch.autograd.Function):
    """Everything that backward reads goes through save_for_backward: torch then notices what was changed in place
    between forward and backward, frees the tensors with the graph, and offers them to saved-tensor hooks."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, sizes: Tensor | None, noise: Tensor | None, x: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        n = len(call.cell.states)
        output, finals, histories, kept = call.forward(
            call.cell, x, tensors[:n], tensors[n:], sizes, call.reverse, True, call.histories, **_more(call, noise)
        )
        ctx.call, ctx.parameters, ctx.extra = call, len(tensors), len(histories)
        ctx.read = x.shape, x.dtype
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(sizes, noise, x, *tensors, output if call.reads_output else None, *kept)
        if not call.show_kept:
            return output, *finals, *histories
        ctx.mark_non_differentiable(*kept)
        return output, *finals, *histories, *kept

    @staticmethod
    def backward(ctx: Any, *d: Tensor | None) -> tuple[Tensor | None, ...]:
        call, n, extra = ctx.call, len(ctx.call.cell.states), ctx.extra
        sizes, noise, x, *rest = saved = ctx.saved_tensors
        states, weights = rest[:n], rest[n : ctx.parameters]
        output, *kept = rest[ctx.parameters :]
        check_saved(call.cell, ctx.read, saved, states, weights)
        d_output, d_finals, d_histories = d[0], d[1 : 1 + n], d[1 + n : 1 + n + extra]
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # create_graph: what is returned must be differentiable itself
            # Views, because one tensor may stand in two places, and each place has a gradient of its own.
            inputs = [t.view_as(t) if need else t for t, need in zip([x, *states, *weights], wanted)]
            found = iter(
                plain.gradients(
                    call.cell,
                    _packed(call, inputs[0], sizes),
                    [_rows(s) for s in inputs[1 : 1 + n]],
                    inputs[1 + n :],
                    sizes,
                    call.reverse,
                    d_output if d_output is None else _packed(call, d_output, sizes),
                    [d if d is None else _rows(d) for d in d_finals],
                    d_histories,
                    [t for t, need in zip(inputs, wanted) if need],
                    create_graph=True,
                    noise=noise,
                )
            )
            return None, None, None, *[next(found) if need else None for need in wanted]
        needs = (wanted[0], any(wanted[1 : 1 + n]), any(wanted[1 + n :]))
        dx, d_states, d_weights = call.backward(
            call.cell,
            x,
            states,
            weights,
            sizes,
            call.reverse,
            output,
            kept,
            d_output,
            d_finals,
            d_histories,
            needs,
            **_more(call, noise),
        )
        return None, None, None, dx, *(d_states or [None] * n), *(d_weights or [None] * len(weights))
