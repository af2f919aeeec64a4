"""`DispatchPlan`: how the sequences of a call run. `plan_call` makes it by the rules of `routing`, for `execute`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..cells import Cell
from ..sequence import ForwardResult, SequenceCall
from . import backends, custom_op, reference_backend
from .autograd import SequenceNode, differentiable
from .checkpoint import Checkpoint, CheckpointedBackend, segment_steps
from .observer import ObservedBackend, SequenceObserver
from .routing import KERNELS, NATIVE, OPERATOR, REFERENCE, choose_backend, number_types, under_functional_transform

if TYPE_CHECKING:
    from ..kernels import PreparedCall

REQUIRES_GRAD = attrgetter("requires_grad")


@dataclass(slots=True)
class DispatchPlan:
    """How all sequences of one call run. Shared between calls of one kind, and never written to."""

    backend: str
    """KERNELS, OPERATOR or REFERENCE."""
    dtype: torch.dtype
    """The number type of the computation."""
    returned: tuple[torch.dtype, ...]
    """The number types to return: of the output, then of each state; () for `dtype`."""
    direct: bool
    """Whether kernels run on the call's own tensors, contiguous ones as they are."""
    wraps: bool
    """Whether a checkpoint or an observer can run the call: not inside a registered operator or a transform."""


def plan_call(cell: Cell, tensors: Sequence[Tensor], packed: bool) -> DispatchPlan:
    """The plan of a call with these tensors: x, a tensor of each state, then the weights of all its sequences.

    packed  whether the sequences have rows of different lengths
    Raises InputError for a mixture of number types or devices, and for number types that nothing computes in.
    """
    dtype, returned = number_types(cell, tensors, packed)
    backend = choose_backend(tensors, dtype)
    if backend == KERNELS and not returned:
        return _DIRECT[dtype]
    wraps = backend == KERNELS or (backend == REFERENCE and not under_functional_transform())
    return DispatchPlan(backend, dtype, returned, False, wraps)


_DIRECT = {dtype: DispatchPlan(KERNELS, dtype, (), True, True) for dtype in NATIVE}
"""Number type → the plan of the calls that kernels run on the caller's own tensors."""


def run(
    call: SequenceCall,
    histories: bool = False,
    checkpoint: Checkpoint | None = None,
    observer: SequenceObserver | None = None,
) -> ForwardResult:
    """`execute` of a call by itself; its tensors may be of any number types and strides that torch.nn takes."""
    plan = plan_call(call.cell, [call.x, *call.states, *call.weights], call.batch_sizes is not None)
    return execute(plan, converted(plan, call), histories, checkpoint, observer)


def converted(plan: DispatchPlan, call: SequenceCall) -> SequenceCall:
    """The call with contiguous tensors of the plan's number type; themselves where they are so already."""
    n, dtype = len(call.states), plan.dtype
    x, *rest = [custom_op.contiguous_as(t, dtype) for t in (call.x, *call.states, *call.weights)]
    return replace(call, x=x, states=rest[:n], weights=rest[n:])


def execute(
    plan: DispatchPlan,
    call: SequenceCall,
    histories: bool = False,
    checkpoint: Checkpoint | None = None,
    observer: SequenceObserver | None = None,
) -> ForwardResult:
    """Runs a `converted` call differentiably, as its plan says.

    checkpoint  what is saved where gradients are recorded: all that backward reads, or the states at segment boundaries
    observer    observes the call; it changes no bit
    `call.rows` is for kernels alone, as `layers.stack_call.try_in_place` says. The result holds no saved tensors.
    """
    if plan.direct and checkpoint is None and observer is None:
        return execute_direct(call, histories)
    cell, steps, observed = call.cell, 0, None
    records = torch.is_grad_enabled() and requires_grad((call.x, *call.states, *call.weights))
    if checkpoint is not None and records and plan.wraps:
        steps = segment_steps(checkpoint, call)
    if observer is not None:
        if plan.wraps:
            observed = ObservedBackend(observer)
        else:
            observer.not_observed("a tracer, a dispatch mode, a tensor subclass or torch.func saw it instead")
    node: SequenceNode | None = None
    if steps:
        node = SequenceNode(CheckpointedBackend(steps, observed), cell, call.reverse, histories, reads_output=False)
    elif observed is not None:
        if not records:
            return _cast(plan, cell, observed.forward(call, False, histories))
        node = SequenceNode(observed, cell, call.reverse, histories, recompute=observed.recompute)
    elif plan.backend == REFERENCE:
        if plan.wraps and not backends.compiled(call.x):
            backends.without_kernels(call.x)
        return _cast(plan, cell, reference_backend.run(call, histories))
    elif plan.backend == OPERATOR:
        return _cast(plan, cell, custom_op.run(call, histories))
    else:
        return _cast(plan, cell, execute_direct(call, histories))
    result = differentiable(node, call.x, call.states, call.weights, call.batch_sizes, call.random_state)
    return _cast(plan, cell, result)


def execute_direct(call: SequenceCall, histories: bool = False) -> ForwardResult:
    """`execute` on the kernels, without a checkpoint or an observer, in the number type of the call."""
    kernels = backends.kernels()
    if not torch.is_grad_enabled() or not requires_grad((call.x, *call.states, *call.weights)):
        return kernels.forward(call, False, histories)
    node = SequenceNode(kernels, call.cell, call.reverse, histories, rows=call.rows, on_kernels=True)
    return differentiable(node, call.x, call.states, call.weights, call.batch_sizes, call.random_state)


def prepare_call(call: SequenceCall, records: bool) -> tuple[PreparedCall | None, SequenceNode | None]:
    """For calls of the kind of this one, which has just run on the kernels: its plans, or None where a tensor was not
    read as it is; and its node in the autograd graph if it `records` gradients."""
    prepared = backends.prepared(call)
    if prepared is None or not records:
        return prepared, None
    # Backward may run forward again, on what a user's saved-tensor hooks return.
    again = backends.kernels().forward
    return prepared, SequenceNode(prepared, call.cell, call.reverse, False, recompute=again, on_kernels=True)


def requires_grad(tensors: Sequence[Tensor]) -> bool:
    """Whether one of the tensors requires a gradient."""
    if torch.compiler.is_dynamo_compiling():
        return any(t.requires_grad for t in tensors)
    return any(map(REQUIRES_GRAD, tensors))


def _cast(plan: DispatchPlan, cell: Cell, result: ForwardResult) -> ForwardResult:
    """The result in the number types to return."""
    if not plan.returned:
        return result
    output, *states = plan.returned
    others = [s for k, s in enumerate(states) if k != cell.output_state]
    return ForwardResult(
        result.output.to(output),
        [s.to(kind) for s, kind in zip(result.final_states, states)],
        [h.to(kind) for h, kind in zip(result.histories, others)],
    )
