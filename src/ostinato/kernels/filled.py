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
from .call import Call
from .places import Places
from .tensor_checks import addresses


def _frame(call: Call, where: Places | None) -> array:
    frame = call.template[:]
    if where is not None:
        where.fill(frame, call.compiled.places)
    return frame


def forward(
    call: Call,
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
        frame[c.noise] = call.drawn_from(noise)
    every: list[Tensor] = []
    kept: list[Tensor] = []
    if keep or histories:
        p, own = c.program, c.program.cell.output_state
        lead = x.shape[:-1] if where is None else (call.lines.first[-1],)
        if keep and p.kept:
            kept.append(buffers.empty((*lead, call.kept_width), dtype))
            frame[c.kept] = kept[0].data_ptr()
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
    call: Call,
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
    present = [(place, d) for (place, _), d in zip(c.from_above, from_above) if d is not None]
    places = (*c.given, *c.read, *[place for place, _ in present])
    for place, address in zip(places, addresses((*given, *[d for _, d in present]))):
        frame[place] = address
    for place, t in zip(c.d_weights, d_weights):
        frame[place] = t.data_ptr()
    if c.draws:
        frame[c.noise] = call.drawn_from(noise)
    if dx is not None:
        frame[c.dx] = dx.data_ptr()
    absent = [entry for entry, d in zip(c.from_above, from_above) if d is None]
    for k, t in enumerate(adjoints):
        frame[c.places[f"adjoint_{k}"]] = t.data_ptr()
    frame[c.wants_x], frame[c.fresh] = wants_x, not onto
    alone = call.threads == 1
    with buffers.Scratch(call.scratch) as address:
        frame[c.workspace] = address
        for place, stride in absent:  # one line of zeros, for every row
            frame[place] = address + call.template[c.zeros]
            frame[stride] = 0
        if not alone:
            call.start(frame, "pack")
        for (begin, end), cuts in zip(pairwise(call.blocks), call.block_cuts):
            frame[c.cuts] = cuts.buffer_info()[0]
            frame[c.begin], frame[c.end] = begin, end
            if sent is not None:  # the lines of this block stay, which lie in the workspace otherwise
                there = sent.data_ptr() + call.first_line(begin, end) * sent.shape[-1] * call.itemsize
                frame[c.slots] = there - address
            call.start(frame, "alone" if alone and not begin else "bptt")
            if wants_weights:
                call.start(frame, "weights")
                frame[c.fresh] = 0
    return dx, d_states, d_weights
