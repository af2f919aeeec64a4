"""A whole sequence as one node of torch's graph: its backward, and the backward of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from . import plain
from .plain import Found, Gradients, Kept, Tensors
from .saved import check_saved
from .versions import noted, saved


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
    again: Callable[..., Kept] | None = None
    """`forward` as backward runs it once more; None for `forward` itself."""


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


def _rows(state: Tensor) -> Tensor:
    """[B, H]: the short way hands states on as its caller has them, [1, B, H], and only kernels read them so."""
    return state if state.dim() == 2 else state.squeeze(0)


def _reference(
    call: Call,
    inputs: Tensors,
    wanted: Sequence[bool],
    sizes: Tensor | None,
    noise: Tensor | None,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
) -> list[Tensor]:
    """The gradients of those of `inputs` that are wanted, from torch's own operations alone."""
    n, where = len(call.cell.states), call.where
    by_rows = where is not None and where.by_rows
    # The reference reads packed rows, and knows of no others.
    line = None if where is None else where.index(sizes.tolist())  # type: ignore[union-attr]

    def packed(t: Tensor) -> Tensor:
        return t if line is None else t.reshape(-1, t.shape[-1]).index_select(0, line)

    def rows(state: Tensor) -> Tensor:
        return _rows(state).index_select(0, where.whose) if by_rows else _rows(state)

    def results(*given: Tensor) -> list[Tensor]:
        given_or_fixed = iter(given)
        x, *rest = [next(given_or_fixed) if need else t for t, need in zip(inputs, wanted)]
        states, weights = [rows(s) for s in rest[:n]], rest[n:]
        output, finals, every = plain.run(
            call.cell, packed(x), states, weights, sizes, call.reverse, bool(d_histories), noise
        )
        return [output, *finals, *every]

    upstream = [
        None if d_output is None else packed(d_output),
        *[None if d is None else rows(d) for d in d_finals],
        *d_histories,
    ]
    found = plain.pulled_back(results, [t for t, need in zip(inputs, wanted) if need], upstream)
    if by_rows and where.count < where.rows:  # rows without a step end where they began
        at = int(wanted[0])
        for need, d in zip(wanted[1 : 1 + n], d_finals):
            if need and d is not None:
                found[at] = found[at] + torch.where(where.idle[:, None], d, d.new_zeros(()))
            at += need
    return found


def _batched(d: Sequence[Tensor | None]) -> bool:
    """Whether a transform runs this backward, or its upstream gradients are batched: kernels read neither."""
    if _torch_private.functorch_active() or _torch_private.forward_ad_active():
        return True
    return any(t is not None and _torch_private.batched(t) for t in d)


class _Sequence(torch.autograd.Function):
    """Everything that backward reads goes through save_for_backward: torch then notices what was changed in place
    between forward and backward, frees the tensors with the graph, and offers them to saved-tensor hooks.

    A changed input is torch's error. What forward computed may change, as it may where torch.nn's layers keep other
    values: forward then runs again from the inputs."""

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
        ctx.noted = noted([output, *histories] if call.reads_output else [])
        if not call.show_kept:
            return output, *finals, *histories
        ctx.mark_non_differentiable(*kept)
        return output, *finals, *histories, *kept

    @staticmethod
    def backward(ctx: Any, *d: Tensor | None) -> tuple[Tensor | None, ...]:
        call, n, extra = ctx.call, len(ctx.call.cell.states), ctx.extra
        computed = 3 + ctx.parameters + (not call.reads_output)  # the first of what forward made itself
        read, changed = saved(ctx, computed, ctx.noted)
        sizes, noise, x, *rest = read
        states, weights = rest[:n], rest[n : ctx.parameters]
        output, *kept = rest[ctx.parameters :]
        # What was dropped because it changed is made again below, and not read.
        check_saved(call.cell, ctx.read, read[:computed] if changed else read, states, weights)
        d_output, d_finals, d_histories = d[0], d[1 : 1 + n], d[1 + n : 1 + n + extra]
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled() or _batched(d):  # create_graph: what is returned must be differentiable itself
            found = iter(
                _reference(call, [x, *states, *weights], wanted, sizes, noise, d_output, d_finals, d_histories)
            )
            return None, None, None, *[next(found) if need else None for need in wanted]
        if changed:
            output, _, _, kept = (call.again or call.forward)(
                call.cell, x, states, weights, sizes, call.reverse, True, call.histories, **_more(call, noise)
            )
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
