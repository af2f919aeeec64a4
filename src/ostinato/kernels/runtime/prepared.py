"""`PreparedCall`: a kind of call that has come before, run without the decisions how it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ... import _torch_private
from ...cells import Cell
from ...ragged_layout import RaggedLayout
from ...sequence import ForwardResult, Gradients, Needs, SequenceCall, Upstream
from ..system import memory_pool
from . import api, launch
from .launch_plan import LaunchPlan
from .prepacked import PREPACKED, PackedWeights, packed_weights
from .row_layout import copy_empty_rows
from .team_policy import TEAM
from .tensor_checks import addresses, in_memory

_MAX_PLANS = 4
"""Plans of one kind: for one thread, and for a few numbers of threads."""


class PreparedCall:
    """A call of one layer and direction, of known sizes; the backend of its node in the autograd graph.

    The caller has compared the tensors of a forward pass by `same_kind`. Plans are kept by the number of threads that a
    call may use: a team that loses time runs on one thread for a while.
    """

    __slots__ = ("same_kind", "_backward", "_cell", "_forward", "_output", "_prepacked")

    def __init__(self, same_kind: Callable[..., bool], cell: Cell):
        self.same_kind = same_kind
        """(x, *states, *weights) → whether they are of the kinds of those that were prepared; not of nested tensors."""
        self._cell = cell
        self._output: Tensor | None = None
        self._forward: dict[int, LaunchPlan] = {}
        self._backward: dict[int, LaunchPlan] = {}
        self._prepacked: dict[int, LaunchPlan] = {}

    def infer(self, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(output, final states) of tensors that are of the same kind, without what backward reads.

        `launch.forward` in one function: where a kernel has displaced Python's code from the processor's caches, each
        further function costs about two microseconds.
        """
        packed = packed_weights(weights) if PREPACKED else None
        if packed is not None:
            return self._infer_packed(packed, SequenceCall(self._cell, x, states, weights))
        plan = self._forward.get(TEAM.workers())
        if plan is None:
            result = self.forward(SequenceCall(self._cell, x, states, weights), False, False)
            return result.output, result.final_states
        finals = [*map(torch.empty_like, states)]
        if self._output is None:
            assert plan.output_shape is not None  # of a dense call
            output = memory_pool.empty(plan.output_shape, x.dtype)
            if output.nbytes <= memory_pool.LIKE_BYTES:
                self._output = memory_pool.prototype(plan.output_shape, x.dtype)
        else:
            output = torch.empty_like(self._output)
        c, entries = plan.compiled, plan.entries[:]
        for index, address in zip(c.argument_indices, addresses((x, *states, *finals, *weights))):
            entries[index] = address
        entries[c.output] = output.data_ptr()
        workspace = memory_pool.take_workspace(plan.workspace_bytes)
        entries[c.workspace] = workspace.data_ptr()
        plan.launch(entries, "forward")
        memory_pool.return_workspace(workspace)
        return output, finals

    def infer_rows(
        self, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor, rows: RaggedLayout
    ) -> tuple[Tensor, list[Tensor]]:
        """`infer` of rows of different lengths, which are others in every call: sizes and rows as in `SequenceCall`."""
        call = SequenceCall(self._cell, x, states, weights, sizes, rows=rows)
        packed = packed_weights(weights) if PREPACKED else None
        result = launch.forward(api.forward_plan(call, False, packed is not None), call, False, False, packed)
        copy_empty_rows(rows, states, result.final_states)
        return result.output, result.final_states

    def _infer_packed(self, packed: PackedWeights, call: SequenceCall) -> tuple[Tensor, list[Tensor]]:
        """`infer` where the weights are prepacked."""
        workers = TEAM.workers()
        plan = self._prepacked.get(workers)
        if plan is None:
            plan = _keep(self._prepacked, workers, api.forward_plan(call, False, prepacked=True))
        result = launch.forward(plan, call, False, False, packed)
        return result.output, result.final_states

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        """`Backend.forward` of tensors that are of the same kind."""
        workers = TEAM.workers()
        plan = self._forward.get(workers)
        if plan is None:
            plan = _keep(self._forward, workers, api.forward_plan(call, save))
        return launch.forward(plan, call, save, False)

    def backward(
        self,
        call: SequenceCall,
        result: ForwardResult,
        upstream: Upstream,
        needs: Needs,
        accumulate_into: Sequence[Tensor] = (),
    ) -> Gradients:
        """`Backend.backward`: its tensors are checked, because saved-tensor hooks may return others.

        x has the sizes and the number type that it had in the forward pass.
        """
        workers = TEAM.workers()
        plan = self._backward.get(workers) or api.backward_plan(call)
        found = api.backward_by_plan(plan, call, result, upstream, needs)
        _keep(self._backward, workers, plan)  # now that all tensors were found to have the sizes of x
        return found


def _keep(plans: dict[int, LaunchPlan], workers: int, plan: LaunchPlan) -> LaunchPlan:
    """The plan, which is kept for calls on so many threads; all others are dropped where there are too many."""
    if workers not in plans and len(plans) >= _MAX_PLANS:
        plans.clear()
    plans[workers] = plan
    return plan


def prepared(call: SequenceCall) -> PreparedCall | None:
    """The prepared call of a call that has just run; None where its tensors were not read as they are, and where
    it has so many steps and rows that no cache keeps its plan."""
    tensors = (call.x, *call.states, *call.weights)
    if call.x.shape[0] + call.x.shape[1] > api.MAX_CACHED_ROWS:
        return None
    if any(map(_torch_private.wrapped, tensors)):
        return None
    if not all(in_memory(t, call.x.dtype) and t.is_contiguous() for t in tensors):
        return None
    same_kind = _torch_private.same_kind(tensors)
    return None if same_kind is None else PreparedCall(same_kind, call.cell)
