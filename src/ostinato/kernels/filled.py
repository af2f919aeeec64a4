"""A call whose sizes are known: memory for its results, their addresses in its frame, its jobs, one after the other.

Every line here runs in every call, after a kernel has emptied the processor's caches: what follows from the sizes
stands in the `Call` and its `Compiled`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from . import buffers
from .call import LaunchPlan
from .places import Places
from .tensor_checks import addresses


def _frame(call: LaunchPlan, where: Places | None) -> array:
    frame = call.block.entries[:]
    if where is not None:
        where.fill(frame, call.compiled.layout)
    return frame


def forward(
    call: LaunchPlan,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    keep: bool,
    histories: bool,
    noise: Tensor | None = None,
    where: Places | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """`run.forward` of one call. Lines of x that no row has are not seen to."""
    c, dtype = call.compiled, x.dtype
    output = buffers.empty(call.output_shape or (*x.shape[:-1], call.output_width), dtype)
    finals = [torch.empty_like(v) for v in states]
    frame = _frame(call, where)
    for place, address in zip(c.given, addresses((x, *states, *finals, *weights))):
        frame[place] = address
    frame[c.output] = output.data_ptr()
    if c.draws:
        frame[c.random_state] = call.drawn_from(noise)
    every: list[Tensor] = []
    kept: list[Tensor] = []
    if keep or histories:
        p, own = c.program, c.program.cell.output_state
        lead = x.shape[:-1] if where is None else (call.lines.first[-1],)
        if keep and p.kept:
            kept.append(buffers.empty((*lead, call.kept_width), dtype))
            frame[c.saved] = kept[0].data_ptr()
        stored = [k for k in range(len(states)) if k != own] if histories else p.histories
        lines = {k: buffers.empty((*lead, states[k].shape[-1]), dtype) for k in stored}
        for k, line in lines.items():
            frame[c.histories[k]] = line.data_ptr()
        if keep:
            kept += [lines[k] for k in p.histories]
        if histories:
            every = list(lines.values())
    with buffers.Scratch(call.scratch) as address:
        frame[c.workspace] = address
        if call.threads == 1:
            call.start(frame, "alone")
        else:
            call.start(frame, "pack")
            call.start(frame, "forward")
    return output, finals, every, kept


def backward(
    call: LaunchPlan,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    output: Tensor,
    kept: Sequence[Tensor],
    d_output: Tensor | None,
    arriving: Sequence[Tensor],
    d_histories: Sequence[Tensor | None],
    wants_x: bool,
    wants_weights: bool,
    onto: Sequence[Tensor] = (),
    noise: Tensor | None = None,
    adjoints: Sequence[Tensor] = (),
    sent: Tensor | None = None,
    where: Places | None = None,
) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """`run.backward` of one call; arriving: the gradients of the final states, all there.

    adjoints, sent: where the gradients of states, and of products, at every step are to be written, if anywhere.
    """
    c, dtype = call.compiled, x.dtype
    p = c.program
    dx = None
    if wants_x:
        dx = torch.zeros_like(x) if p.input_gradient is None else buffers.empty(x.shape, dtype)
    d_states = [torch.empty_like(a) for a in states]
    d_weights = list(onto)
    if wants_weights and not onto:
        d_weights = [buffers.empty(w.shape, dtype) if all_ else torch.zeros_like(w)
                     for w, all_ in zip(weights, p.complete)]  # fmt: skip
    frame = _frame(call, where)
    from_above, given = (d_output, *d_histories), (x, *arriving, *d_states, *weights, *states, output, *kept)
    present = [(place, d) for (place, _), d in zip(c.upstream, from_above) if d is not None]
    places = (*c.given, *c.saved_tensors, *[place for place, _ in present])
    for place, address in zip(places, addresses((*given, *[d for _, d in present]))):
        frame[place] = address
    for place, t in zip(c.d_weights, d_weights):
        frame[place] = t.data_ptr()
    if c.draws:
        frame[c.random_state] = call.drawn_from(noise)
    if dx is not None:
        frame[c.dx] = dx.data_ptr()
    absent = [entry for entry, d in zip(c.upstream, from_above) if d is None]
    for index, t in zip(c.adjoints, adjoints):
        frame[index] = t.data_ptr()
    frame[c.compute_dx], frame[c.overwrite] = wants_x, not onto
    alone = call.threads == 1
    with buffers.Scratch(call.scratch) as address:
        frame[c.workspace] = address
        for place, stride in absent:  # one line of zeros, for every row
            frame[place] = address + call.block.entries[c.zeros]
            frame[stride] = 0
        if not alone:
            call.start(frame, "pack")
        for (begin, end), cuts in zip(pairwise(call.blocks), call.block_cuts):
            frame[c.row_splits] = cuts.buffer_info()[0]
            frame[c.begin], frame[c.end] = begin, end
            if sent is not None:  # the lines of this block stay, which lie in the workspace otherwise
                there = sent.data_ptr() + call.first_line(begin, end) * sent.shape[-1] * call.itemsize
                frame[c.gate_gradients] = there - address
            call.start(frame, "alone" if alone and not begin else "bptt")
            if wants_weights:
                call.start(frame, "weights")
                frame[c.overwrite] = 0
    return dx, d_states, d_weights
