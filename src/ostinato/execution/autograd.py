"""A whole sequence as one node of the autograd graph, with its backward and double backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..ragged_layout import RaggedLayout
from ..sequence import Backend, ForwardResult, Needs, SequenceCall, Upstream
from . import reference_backend
from .output_versions import noted, saved
from .reference_backend import Tensors
from .saved_tensors import check_saved


class SequenceNode(NamedTuple):
    """A call as one node of torch's graph: what it is besides its tensors."""

    backend: Backend
    cell: Cell
    reverse: bool
    histories: bool
    show_saved: bool = False
    """Whether `differentiable` returns the saved tensors."""
    reads_output: bool = True
    """Whether the backward pass reads the output; an output that it does not read is not kept alive for it."""
    rows: RaggedLayout | None = None
    """As `SequenceCall.rows`."""
    recompute: Callable[[SequenceCall, bool, bool], ForwardResult] | None = None
    """`backend.forward` as backward runs it once more; None for `backend.forward` itself."""
    on_kernels: bool = False
    """Whether forward ran on the kernels alone, which check every tensor that they read against x."""

    def call(
        self, x: Tensor, states: Tensors, weights: Tensors, sizes: Tensor | None, random_state: Tensor | None
    ) -> SequenceCall:
        """The call with its tensors."""
        return SequenceCall(self.cell, x, states, weights, sizes, self.reverse, random_state, self.rows)


def differentiable(
    node: SequenceNode,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    random_state: Tensor | None = None,
) -> ForwardResult:
    """The backend's forward pass with gradients; without saved tensors unless `node.show_saved`."""
    found, n = _Sequence.apply(node, sizes, random_state, x, *states, *weights), len(states)
    if len(found) == 1 + n:
        return ForwardResult(found[0], list(found[1:]), [], [])
    flat = iter(found)
    extra = n - (node.cell.output_state is not None) if node.histories else 0
    return ForwardResult(next(flat), list(islice(flat, n)), list(islice(flat, extra)), list(flat))


def differentiable_plain(
    node: SequenceNode, x: Tensor, states: Tensors, weights: Tensors
) -> tuple[Tensor, list[Tensor]]:
    """(output, final states) as `differentiable` gives them, of a dense call outside of torch.func."""
    output, *finals = _apply_plain(node, None, None, x, *states, *weights)
    return output, finals


def _rows(state: Tensor) -> Tensor:
    """[B, H]: a direct call passes states as its caller gave them, [1, B, H], which only kernels read."""
    return state if state.dim() == 2 else state.squeeze(0)


def _reference(call: SequenceCall, wanted: Sequence[bool], upstream: Upstream) -> list[Tensor]:
    """The gradients of those of (x, states, weights) that are needed, by torch's own operations alone."""
    inputs, n, where = [call.x, *call.states, *call.weights], len(call.states), call.rows
    # The reference reads packed rows only.
    line = None if where is None else torch.from_numpy(where.index)
    source_row = torch.from_numpy(where.source_row) if where is not None and where.by_rows else None

    def packed(t: Tensor) -> Tensor:
        return t if line is None else t.reshape(-1, t.shape[-1]).index_select(0, line)

    def rows(state: Tensor) -> Tensor:
        return _rows(state) if source_row is None else _rows(state).index_select(0, source_row)

    def results(*given: Tensor) -> list[Tensor]:
        given_or_fixed = iter(given)
        x, *rest = [next(given_or_fixed) if need else t for t, need in zip(inputs, wanted)]
        packed_call = replace(call, x=packed(x), states=[rows(s) for s in rest[:n]], weights=rest[n:], rows=None)
        result = reference_backend.run(packed_call, bool(upstream.histories))
        return [result.output, *result.final_states, *result.histories]

    entering = [
        None if upstream.output is None else packed(upstream.output),
        *[None if d is None else rows(d) for d in upstream.final_states],
        *upstream.histories,
    ]
    found = reference_backend.pulled_back(results, [t for t, need in zip(inputs, wanted) if need], entering)
    if (
        where is not None and where.by_rows and where.count < where.rows
    ):  # the final state of a row without a step is its initial state
        at, empty_rows = int(wanted[0]), torch.from_numpy(where.lengths == 0)[:, None]
        for need, d in zip(wanted[1 : 1 + n], upstream.final_states):
            if need and d is not None:
                found[at] = found[at] + torch.where(empty_rows, d, d.new_zeros(()))
            at += need
    return found


class _Sequence(torch.autograd.Function):
    """Every tensor that backward reads is saved by save_for_backward: torch then detects changes in place between
    forward and backward, frees the tensors with the graph, and passes them to saved-tensor hooks.

    A changed input raises torch's error. A result of forward may be changed, as the output of torch.nn's layers may:
    backward then runs forward again from the inputs."""

    @staticmethod
    def forward(
        ctx: Any, node: SequenceNode, sizes: Tensor | None, random_state: Tensor | None, x: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        n = len(node.cell.states)
        call = node.call(x, tensors[:n], tensors[n:], sizes, random_state)
        result = node.backend.forward(call, True, node.histories)
        output, histories, kept = result.output, result.histories, result.saved
        ctx.node, ctx.parameters, ctx.extra = node, len(tensors), len(histories)
        ctx.read, ctx.results_changed = (x.shape, x.dtype), False
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(sizes, random_state, x, *tensors, output if node.reads_output else None, *kept)
        hooked = node.reads_output and _torch_private.saved_tensor_hooks_active()
        ctx.noted = noted([output, *histories]) if hooked else []
        if not node.show_saved:
            return output, *result.final_states, *histories
        ctx.mark_non_differentiable(*kept)
        return output, *result.final_states, *histories, *kept

    @staticmethod
    def backward(ctx: Any, *d: Tensor | None) -> tuple[Tensor | None, ...]:
        node, n, extra = ctx.node, len(ctx.node.cell.states), ctx.extra
        computed = 3 + ctx.parameters + (not node.reads_output)  # the first of what forward computed itself
        read, changed = saved(ctx, computed, ctx.noted)
        sizes, random_state, x, *rest = read
        call = node.call(x, rest[:n], rest[n : ctx.parameters], sizes, random_state)
        output, *kept = rest[ctx.parameters :]
        # Results that changed in place were dropped; they are recomputed below.
        # With create_graph the gradients must be differentiable; kernels compute no transforms.
        by_reference = torch.is_grad_enabled() or _torch_private.transformed(d)
        shape, kind = ctx.read
        as_saved = x.shape == shape and x.dtype is kind and x.is_cpu
        if by_reference or not (node.on_kernels and as_saved):
            check_saved(call, ctx.read, read[:computed] if changed else read)
        upstream = Upstream(d[0], d[1 : 1 + n], d[1 + n : 1 + n + extra])
        wanted = ctx.needs_input_grad[3:]
        if by_reference:
            found = iter(_reference(call, wanted, upstream))
            return None, None, None, *[next(found) if need else None for need in wanted]
        result = ForwardResult(output, [], [], kept)
        if changed:
            result = (node.recompute or node.backend.forward)(call, True, node.histories)
        needs = Needs(wanted[0], any(wanted[1 : 1 + n]), any(wanted[1 + n :]))
        gradients = node.backend.backward(call, result, upstream, needs)
        weights = gradients.weights or [None] * len(call.weights)
        return None, None, None, gradients.x, *(gradients.states or [None] * n), *weights


_apply_plain = _torch_private.plain_apply(_Sequence)
