"""The launch: allocates results, writes addresses to the argument block, runs the entry points.

Every line runs in every call, often with cold caches, because the kernel before it replaced their content. Everything
that follows from the sizes alone is in the `LaunchPlan` and its `CompiledKernel`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ...sequence import ForwardResult, Gradients, Needs, OnBlock, SequenceCall, Upstream
from ..system import memory_pool
from .launch_plan import LaunchPlan
from .prepacked import PackedWeights
from .row_layout import set_rows
from .tensor_checks import addresses

_BUFFER_FROM_POOL = 1 << 17
"""Minimum size in bytes for which the gradients of a block come from the pool, as fresh memory costs page faults."""


@dataclass(slots=True)
class Record:
    """Memory that a recording backward pass writes beside the gradients."""

    adjoints: list[Tensor]
    """The gradient of each state after every step, laid out as the output; [] where they are passed on by block."""
    products: Tensor | None
    """The gradients of all products at every step, side by side in a line."""
    on_block: OnBlock | None = None
    """What receives both block by block, where there is no such memory."""
    probe: Probe | None = None
    """A second set of upstream gradients that goes through the same steps; its adjoints alone are recorded."""


@dataclass(slots=True)
class Probe:
    """The gradients of a probe: they read the weights and what forward saved while these are in the cache."""

    upstream: Upstream
    """The gradients of all final states are present."""
    adjoints: list[Tensor]
    """As `Record.adjoints`."""
    d_states: list[Tensor]
    """Written: the gradients of the initial states."""


def forward(
    plan: LaunchPlan, call: SequenceCall, save: bool, histories: bool, packed: PackedWeights | None = None
) -> ForwardResult:
    """`api.forward` of one call. Lines of x that belong to no row are not written.

    packed  the weights as other calls have packed them, of a plan for prepacked weights
    """
    c, x, states, dtype = plan.compiled, call.x, call.states, call.x.dtype
    output = memory_pool.empty(plan.output_shape or (*x.shape[:-1], plan.output_width), dtype)
    finals = [*map(torch.empty_like, states)]
    entries = plan.entries[:]  # a copy
    if call.rows is not None:
        set_rows(call.rows, entries, c)
    for index, address in zip(c.argument_indices, addresses((x, *states, *finals, *call.weights))):
        entries[index] = address
    entries[c.output] = output.data_ptr()
    if c.draws:
        entries[c.random_state] = plan.random_state_address(call.random_state)
    every_state: list[Tensor] = []
    saved: list[Tensor] = []
    if save or histories:
        p, output_state = c.program, c.program.cell.output_state
        lead = x.shape[:-1] if call.rows is None else (plan.partition.num_lines,)
        if save and p.saved:
            saved.append(memory_pool.empty((*lead, plan.saved_width), dtype))
            entries[c.saved] = saved[0].data_ptr()
        stored = [k for k in range(len(states)) if k != output_state] if histories else p.state_histories
        for k in stored:
            line = memory_pool.empty((*lead, states[k].shape[-1]), dtype)
            entries[c.histories[k]] = line.data_ptr()
            if save and k in p.state_histories:
                saved.append(line)
            if histories:
                every_state.append(line)
    workspace = memory_pool.take_workspace(plan.workspace_bytes)
    entries[c.workspace] = address = workspace.data_ptr()
    panels = None if packed is None else packed.panels(plan.template)
    if panels is not None:
        distance = panels.memory.data_ptr() - address
        for index, offset in plan.template.panels_of_all[0]:
            entries[index] = distance + offset
        entries[c.pack_per_use] = -int(panels.filled)
    plan.launch(entries, "forward")
    if panels is not None:
        panels.filled = True
    memory_pool.return_workspace(workspace)
    return ForwardResult(output, finals, every_state, saved)


def backward(
    plan: LaunchPlan,
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor],
    record: Record | None,
) -> Gradients:
    """`api.backward` of one call; the gradients of all final states are present, all tensors are contiguous."""
    c, dtype, x, weights = plan.compiled, call.x.dtype, call.x, call.weights
    p = c.program
    dx = None
    if needs.x:
        dx = torch.zeros_like(x) if p.input_gradient is None else memory_pool.empty(x.shape, dtype)
    d_finals: list[Tensor] = [*upstream.final_states]  # type: ignore[list-item]
    d_states = [*map(torch.empty_like, d_finals)]
    d_weights = list(accumulate_into)
    if needs.weights and not accumulate_into:
        for w, fully_written in zip(weights, p.fully_written):
            if not fully_written:
                d_weights.append(torch.zeros_like(w))
            elif w.nbytes <= memory_pool.LIKE_BYTES:
                d_weights.append(torch.empty_like(w))
            else:
                d_weights.append(memory_pool.empty(w.shape, dtype))
    entries = plan.entries[:]
    if call.rows is not None:
        set_rows(call.rows, entries, c)
    indices = [*c.argument_indices, *c.saved_tensors]
    read = [x, *d_finals, *d_states, *weights, *call.states, result.output, *result.saved]
    absent = []
    for place, d in zip(c.upstream, (upstream.output, *upstream.histories)):
        if d is None:
            absent.append(place)
        else:
            indices.append(place[0])
            read.append(d)
    for index, address in zip(indices, addresses(read)):
        entries[index] = address
    for index, t in zip(c.d_weights, d_weights):
        entries[index] = t.data_ptr()
    if c.draws:
        entries[c.random_state] = plan.random_state_address(call.random_state)
    if dx is not None:
        entries[c.dx] = dx.data_ptr()
    products = None
    if record is not None:
        products = record.products
        for index, t in zip(c.adjoints, record.adjoints):
            entries[index] = t.data_ptr()
    entries[c.compute_dx], entries[c.overwrite] = needs.x, not accumulate_into
    workspace = memory_pool.take_workspace(plan.workspace_bytes)
    entries[c.workspace] = address = workspace.data_ptr()
    for index, stride in absent:  # one line of zeros, read for every row with stride 0
        entries[index] = address + plan.entries[c.zeros]
        entries[stride] = 0
    buffer = None
    if record is not None:
        entries[c.with_probe] = record.probe is not None
        probe = entries if record.probe is None else _probe_entries(plan, entries, record.probe, address)
        entries[c.probe] = probe.buffer_info()[0]
        if record.on_block is not None:
            buffer = _BlockBuffer(plan, [entries] if record.probe is None else [entries, probe])
    for (begin, end), row_splits in zip(pairwise(plan.blocks), plan.block_row_splits):
        entries[c.row_splits] = row_splits.buffer_info()[0]
        entries[c.begin], entries[c.end] = begin, end
        if buffer is not None:
            buffer.begin_block(plan.first_line(begin, end))
        if products is not None:  # the block's gradients go to the recorded tensor, and not to the workspace
            recorded = products.data_ptr() + plan.first_line(begin, end) * products.shape[-1] * plan.itemsize
            entries[c.gate_gradients] = recorded - address
        plan.launch(entries, "backward_loop")
        if needs.weights:
            plan.launch(entries, "weight_gradients")
            entries[c.overwrite] = 0
        if buffer is not None and record is not None and record.on_block is not None:
            products_here = address + entries[c.gate_gradients]
            record.on_block(*plan.steps_between(begin, end), products_here, buffer.addresses)
    memory_pool.return_workspace(workspace)
    return Gradients(dx, d_states, d_weights)


class _BlockBuffer:
    """Memory for the gradients of states in one block of steps; all blocks use it, one after the other."""

    def __init__(self, plan: LaunchPlan, sets: Sequence[array]):
        """sets: the argument blocks that have gradients of states."""
        widths = plan.template.state_widths * len(sets)
        lines, itemsize = plan.block_lines, plan.itemsize
        self._memory = memory_pool.empty((lines * sum(widths),), plan.template.dtype, _BUFFER_FROM_POOL)
        at, self._indices = self._memory.data_ptr(), []
        fields = [(entries, index) for entries in sets for index in plan.compiled.adjoints]
        for (entries, index), width in zip(fields, widths):
            self._indices.append((entries, index, at, width * itemsize))
            at += lines * width * itemsize
        self.addresses = [place for _, _, place, _ in self._indices]
        """The address of each."""

    def begin_block(self, first: int) -> None:
        """The block begins with the packed line `first`; the kernel takes the address that line 0 would have."""
        for entries, index, place, line in self._indices:
            entries[index] = place - first * line


def _probe_entries(plan: LaunchPlan, entries: array, probe: Probe, workspace: int) -> array:
    """The argument block of a probe: a copy of `entries`, which are complete, with what the probe has for itself."""
    c, own = plan.compiled, entries[:]
    for (index, stride), d in zip(c.upstream, (probe.upstream.output, *probe.upstream.histories)):
        own[index] = workspace + plan.entries[c.zeros] if d is None else d.data_ptr()
        own[stride] = 0 if d is None else plan.entries[stride]
    finals = [d for d in probe.upstream.final_states if d is not None]
    for index, address in zip((*c.carried, *c.adjoints), addresses((*finals, *probe.d_states, *probe.adjoints))):
        own[index] = address
    for index, offset in plan.probe_fields:
        own[index] = offset
    return own
