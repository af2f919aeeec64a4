"""Entry points: look up the cached launch plan, check the tensors, launch, then zero tail rows and copy the states of
empty sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...caching import bounded_cache
from ...cells import Cell
from ...errors import InputError, NoKernelsError, ShapeError, phrase
from ...sequence import ForwardResult, Gradients, Needs, OnBlock, RecordedGradients, SequenceCall, Upstream
from ..planning.saved_layout import hidden_sizes, product_columns, saved_shapes
from ..system import memory_pool, openmp
from ..system.target import host
from . import launch
from .compiled_kernel import CompiledKernel
from .launch import Probe, Record
from .launch_plan import LaunchPlan
from .named_tensors import checked, checked_backward
from .plan_template import PlanTemplate
from .prepacked import PREPACKED, packed_weights
from .recipes import backward_recipe, forward_recipe
from .row_layout import check_rows, copy_empty_rows
from .row_partition import RowPartition
from .standalone_kernel import SCALARS
from .team_policy import TEAM

_POOL_THRESHOLD = 1 << 17
"""Minimum size in bytes for which recorded adjoints come from the pool: they are short-lived, and fresh memory costs a
page fault per page at every observed step."""
MAX_CACHED_ROWS = 1 << 13
"""Steps and rows together up to which a launch plan is cached: beyond, making one is cheap beside the call."""


def supported(x: Tensor) -> bool:
    """Whether kernels exist for this tensor: float32 or float64 on a CPU with fused multiply-add."""
    return x.is_cpu and x.dtype in SCALARS and _has_kernels()


@lru_cache(maxsize=1)
def _has_kernels() -> bool:
    try:
        host()
    except NoKernelsError:
        return False
    return True


class RaggedKey(NamedTuple):
    """What the launch plan of a ragged call depends on, beside its kernel."""

    batch_sizes: bytes
    """int64 [T], rows of each step."""
    B: int
    C: int
    H: int
    P: int
    workers: int
    """Threads that the call may use."""
    reverse: bool
    strided_rows: bool
    """Whether the steps of a row are where the caller has them, as a `RaggedLayout` says, and not packed."""
    prepacked: bool = False
    """Whether the weights are packed once for many calls."""


def _clear_plans() -> None:
    """Launch plans keep their kernels alive: when the cache of kernels is cleared, the caches of plans are cleared with
    it. What is left are the plans of prepared calls, a few for each layer."""
    _dense_plan.cache_clear()
    _prepacked_plan.cache_clear()
    _ragged_plan.cache_clear()
    _template.cache_clear()


@bounded_cache(64 << 20, size_of=lambda made, *_: made.nbytes, and_clear=_clear_plans)
def compiled_forward(cell: Cell, scalar: str, save: bool, histories: bool) -> CompiledKernel:
    # After a call with histories it depends on the loss which of two backward kernels is needed.
    ahead = save and not histories and openmp.thread_count() > 1
    meanwhile = backward_recipe(cell, scalar, False, False) if ahead else None
    return CompiledKernel(forward_recipe(cell, scalar, save, histories), meanwhile)


@bounded_cache(64 << 20, size_of=lambda made, *_: made.nbytes, and_clear=_clear_plans)
def compiled_backward(cell: Cell, scalar: str, d_histories: bool, record: bool = False) -> CompiledKernel:
    return CompiledKernel(backward_recipe(cell, scalar, d_histories, record))


@bounded_cache(8 << 20, size_of=lambda made, *_: made.nbytes)
def _template(
    compiled: CompiledKernel, C: int, H: int, P: int, reverse: bool, strided_rows: bool = False
) -> PlanTemplate:
    return PlanTemplate(compiled, C, H, P, reverse, strided_rows)


@bounded_cache(8 << 20, size_of=lambda made, *_: made.nbytes)
def _dense_plan(
    compiled: CompiledKernel, T: int, B: int, C: int, H: int, P: int, workers: int, reverse: bool
) -> LaunchPlan:
    return LaunchPlan(_template(compiled, C, H, P, reverse), RowPartition(T, B, None), workers)


@bounded_cache(2 << 20, size_of=lambda made, *_: made.nbytes)
def _prepacked_plan(
    compiled: CompiledKernel, T: int, B: int, C: int, H: int, P: int, workers: int, reverse: bool
) -> LaunchPlan:
    return LaunchPlan(_template(compiled, C, H, P, reverse), RowPartition(T, B, None), workers, prepacked=True)


@bounded_cache(8 << 20, size_of=lambda plan, compiled, key: plan.nbytes + len(key.batch_sizes))
def _ragged_plan(compiled: CompiledKernel, key: RaggedKey) -> LaunchPlan:
    sizes = np.frombuffer(key.batch_sizes, np.int64)
    partition = RowPartition(len(sizes), key.B, sizes)
    template = _template(compiled, key.C, key.H, key.P, key.reverse, key.strided_rows)
    return LaunchPlan(template, partition, key.workers, key.prepacked)


def _plan(compiled: CompiledKernel, call: SequenceCall, prepacked: bool = False) -> LaunchPlan:
    """The launch plan of these sizes. That the tensors have them is checked by the plan's `guards`."""
    x, states, weights = call.x, call.states, call.weights
    try:
        if compiled.projected:
            H, P = hidden_sizes(compiled.program.cell, states, weights)
        else:
            H = P = states[0].shape[-1]
        B, C = states[0].shape[-2], x.shape[-1]
    except IndexError:
        where, shapes = f"cell {compiled.program.cell.name}", [list(t.shape) for t in (x, *states, *weights)]
        expected = "x [T, B, C] or [R, C], states [B, H] and weights as the cell's parameters are"
        raise ShapeError(phrase(where, "the tensors", expected, shapes, "Give each its dimensions.")) from None
    workers = TEAM.workers()
    if call.batch_sizes is None:
        cached = _prepacked_plan if prepacked else _dense_plan
        dense_plan = cached if x.shape[0] + B <= MAX_CACHED_ROWS else cached.__wrapped__
        return dense_plan(compiled, x.shape[0], B, C, H, P, workers, call.reverse)
    sizes = call.batch_sizes.numpy()
    if not sizes[-1]:
        sizes = sizes[: np.flatnonzero(sizes)[-1] + 1]
    ragged_plan = _ragged_plan if len(sizes) + B <= MAX_CACHED_ROWS else _ragged_plan.__wrapped__
    strided = call.rows is not None
    plan = ragged_plan(compiled, RaggedKey(sizes.tobytes(), B, C, H, P, workers, call.reverse, strided, prepacked))
    if call.rows is not None:
        check_rows(call.rows, x, states, plan.partition.B)
    return plan


def forward_plan(call: SequenceCall, save: bool, prepacked: bool = False) -> LaunchPlan:
    """The launch plan of a call without histories."""
    return _plan(compiled_forward(call.cell, SCALARS[call.x.dtype], save, False), call, prepacked)


def backward_plan(call: SequenceCall) -> LaunchPlan:
    """The launch plan of the backward pass of a dense call without histories."""
    return _plan(compiled_backward(call.cell, SCALARS[call.x.dtype], False), call)


def _checked_integers(call: SequenceCall) -> SequenceCall:
    """The call with integer tensors in the form that kernels read."""
    sizes, random_state = call.batch_sizes, call.random_state
    if sizes is not None and not (sizes.dtype is torch.int64 and sizes.is_cpu and sizes.dim() == 1):
        expected = "an int64 tensor [T] on the CPU, the rows of each step"
        received = f"{sizes.dtype} {list(sizes.shape)} on {sizes.device}"
        raise InputError(phrase("kernels", "sizes", expected, received, 'Convert it with .to("cpu", torch.int64).'))
    if random_state is None or random_state.is_contiguous():
        return call
    return replace(call, random_state=random_state.contiguous())


def _without_steps(call: SequenceCall) -> bool:
    sizes = call.batch_sizes
    if sizes is None:
        return call.x.numel() == 0 and (call.x.shape[0] == 0 or call.states[0].shape[0] == 0)
    return not sizes.shape[0] or not sizes[0]


def _zero_tail(plan: LaunchPlan, tensors: Sequence[Tensor]) -> None:
    """Zeros the lines past the last packed row."""
    lines = plan.partition.num_lines
    for t in tensors:
        if lines < len(t):
            t[lines:] = 0


def block_starts(sizes: Tensor, reverse: bool) -> list[int]:
    """The first steps of the blocks of packed rows, counted from the end of the sequence, and the number of steps."""
    return RowPartition(len(sizes), int(sizes[0]) if len(sizes) else 0, sizes.numpy()).blocks(reverse)


def forward(call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
    """`Backend.forward` on the kernels; all tensors contiguous."""
    cell = call.cell
    histories = histories and len(call.states) > (cell.output_state is not None)
    c = compiled_forward(cell, SCALARS[call.x.dtype], save, histories)
    if call.batch_sizes is not None or call.random_state is not None:
        call = _checked_integers(call)
    if (call.batch_sizes is not None or not call.x.numel()) and _without_steps(call):
        return _empty_result(c, call, save, histories)
    packed = packed_weights(call.weights) if PREPACKED and not save else None
    plan = _plan(c, call, packed is not None)
    if not plan.guards.pass_guards(None, (call.x, *call.states, *call.weights)):
        call = checked(plan, call)
        if packed is not None and packed_weights(call.weights) is not packed:
            # A weight at the same address with a pending sign: the kernels read a copy of it.
            packed, plan = None, _plan(c, call)
    result = launch.forward(plan, call, save, histories, packed)
    if call.batch_sizes is not None:
        _copy_empty_rows(call, plan.partition, call.states, result.final_states)
        if call.rows is None:
            _zero_tail(plan, [result.output, *result.histories, *result.saved[bool(c.program.saved) :]])
    return result


def _empty_result(c: CompiledKernel, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
    """The result of a call without steps or rows: the final states equal the initial ones."""
    cell, x, states = c.program.cell, call.x, call.states
    H, P = hidden_sizes(cell, states, call.weights)
    widths = {"H": H, "P": P}
    others = [x.new_zeros(*x.shape[:-1], s.shape[-1]) for k, s in enumerate(states) if k != cell.output_state]
    saved = [x.new_zeros(shape) for shape in saved_shapes(cell, x, states, call.weights)]
    output = x.new_zeros(*x.shape[:-1], widths[cell.output_width])
    finals = [s.clone() for s in states]
    return ForwardResult(output, finals, others if histories else [], saved if save else [])


def _copy_empty_rows(
    call: SequenceCall, partition: RowPartition, first: Sequence[Tensor], last: Sequence[Tensor]
) -> None:
    """Copies the initial states of rows of length 0 into the final states."""
    if call.rows is not None:
        copy_empty_rows(call.rows, first, last)
    else:
        n = partition.step_offsets[1]
        for a, b in zip(first, last):
            if n < len(a):
                b[n:] = a[n:]


def backward(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor] = (),
) -> Gradients:
    """`Backend.backward` on the kernels. The gradient of x is laid out as x.

    Where the steps after these are whole blocks, the bits of accumulated gradients are those of one call.
    """
    return _backward(call, result, upstream, needs, accumulate_into, None)


def backward_by_plan(
    plan: LaunchPlan, call: SequenceCall, result: ForwardResult, upstream: Upstream, needs: Needs
) -> Gradients:
    """`backward` of a dense call whose plan is known."""
    call, result, upstream, _ = _checked_backward(plan, call, result, upstream, ())
    return launch.backward(plan, call, result, upstream, needs, (), None)


def backward_recorded(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor] = (),
    probe: Upstream | None = None,
    on_block: OnBlock | None = None,
) -> RecordedGradients:
    """`backward`, bit for bit, with the adjoints and the gradients of products, which are views of one tensor.

    probe     gradients that go through the same steps of the same launch, and change no bit of the others
    on_block  receives the gradients of states and products, which then are not recorded
    """
    x, states = call.x, call.states
    width, columns = product_columns(call.cell, states, call.weights)
    products = None if on_block is not None else memory_pool.empty((*x.shape[:-1], width), x.dtype)
    record = Record([] if on_block is not None else _adjoints(call), products, on_block)
    if probe is not None:
        adjoints = [] if on_block is not None else _adjoints(call)
        record.probe = Probe(probe, adjoints, [*map(torch.empty_like, states)])
    gradients = _backward(call, result, upstream, needs, accumulate_into, record)
    found = RecordedGradients(gradients, record.adjoints, {})
    if products is not None:
        # Products of several weights may have one gradient: a view of each is made once.
        parts = {place: products.narrow(-1, *place) for place in columns.values()}
        found.products = {key: parts[place] for key, place in columns.items()}
    if record.probe is not None:
        found.probe = RecordedGradients(Gradients(None, record.probe.d_states, []), record.probe.adjoints, {})
    return found


def _adjoints(call: SequenceCall) -> list[Tensor]:
    lead, dtype = call.x.shape[:-1], call.x.dtype
    return [memory_pool.empty((*lead, s.shape[-1]), dtype, _POOL_THRESHOLD) for s in call.states]


def _backward(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor],
    record: Record | None,
) -> Gradients:
    """record: memory for adjoints and gradients of products at every step; None if they are not recorded."""
    kind = SCALARS[call.x.dtype]
    c = compiled_backward(call.cell, kind, any(d is not None for d in upstream.histories), record is not None)
    if call.batch_sizes is not None or call.random_state is not None:
        call = _checked_integers(call)
    probe = None if record is None else record.probe
    if _without_steps(call):
        d_weights = list(accumulate_into) or [torch.zeros_like(w) for w in call.weights] if needs.weights else []
        if probe is not None:
            probe.d_states = _unchanged(call, probe.upstream)
        return Gradients(torch.zeros_like(call.x) if needs.x else None, _unchanged(call, upstream), d_weights)
    plan = _plan(c, call)
    if probe is not None:
        probe.upstream = _checked_backward(plan, call, result, probe.upstream, ())[2]
    call, result, upstream, accumulate_into = _checked_backward(plan, call, result, upstream, accumulate_into)
    gradients = launch.backward(plan, call, result, upstream, needs, accumulate_into, record)
    if call.batch_sizes is not None:
        _copy_empty_rows(call, plan.partition, _present(upstream), gradients.states)
        if probe is not None:
            _copy_empty_rows(call, plan.partition, _present(probe.upstream), probe.d_states)
        if gradients.x is not None and call.rows is None:
            _zero_tail(plan, [gradients.x])
    return gradients


def _checked_backward(
    plan: LaunchPlan, call: SequenceCall, result: ForwardResult, upstream: Upstream, accumulate_into: Sequence[Tensor]
) -> tuple[SequenceCall, ForwardResult, Upstream, Sequence[Tensor]]:
    """The tensors in the form that kernels read, with zeros for absent gradients of final states."""
    n, entering, present = 1 + len(call.states), [], []
    which = [len(accumulate_into)]
    for d in (upstream.output, *upstream.final_states, *upstream.histories):
        which.append(d is None)
        if d is not None:
            d = d if d.is_contiguous() else d.contiguous()
            present.append(d)
        entering.append(d)
    read = (call.x, *call.states, *call.weights, result.output, *result.saved, *present, *accumulate_into)
    upstream = Upstream(entering[0], entering[1:n], entering[n:])
    if not plan.guards.pass_guards(tuple(which), read):
        call, result, upstream, accumulate_into = checked_backward(
            plan, tuple(which), call, result, upstream, accumulate_into
        )
    finals = list(upstream.final_states)
    for k, s in enumerate(call.states):
        if finals[k] is None:
            finals[k] = memory_pool.zeros(s.shape, s.dtype)
    return call, result, Upstream(upstream.output, finals, upstream.histories), accumulate_into


def _present(upstream: Upstream) -> list[Tensor]:
    return [d for d in upstream.final_states if d is not None]


def _unchanged(call: SequenceCall, upstream: Upstream) -> list[Tensor]:
    """The gradients of the initial states of a call without steps."""
    return [torch.zeros_like(s) if d is None else d.clone() for s, d in zip(call.states, upstream.final_states)]
