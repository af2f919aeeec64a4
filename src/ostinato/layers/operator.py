"""`run`: one layer, one direction, any cell. Everything above calls it; `routing` says which way it goes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cells import Cell
from . import engine, plain, registered
from .autograd import Call, differentiable
from .checkpoint import Checkpoint, Segments, segment_steps
from .plain import Result, Tensors
from .routing import OPERATOR, REFERENCE, number_types, transformed, way
from .watching import Onlooker, Watched


def run(
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None = None,
    reverse: bool = False,
    histories: bool = False,
    checkpoint: Checkpoint | None = None,
    onlooker: Onlooker | None = None,
    noise: Tensor | None = None,
    where: Any = None,
) -> Result:
    """Runs `cell` over a sequence, differentiably.

    x        [T, B, C]; with `sizes`, packed rows [R, C]
    states   [B, H or P] per state, the start of every row
    weights  in the order of `cell.parameters`
    sizes    int64 [T] on the CPU, rows per step, never growing: a PackedSequence's batch_sizes
    reverse  from the last step to the first; a packed row starts at its own last step
    checkpoint  what is kept where gradients are wanted: all that backward reads, or the starts of segments
    onlooker  who looks on; it changes no bit
    noise    int64 [3 + B], as `cells.noise` says, for a cell that draws random numbers
    where    `engine.places`: the packed rows of `sizes` are lines of x, laid out as the caller has it, and so is the
             output. Kernels alone can do that: `in_place.stay` asks for all that stands against it
    Returns the output [T, B, ·] or [R, ·], the final states [B, ·], and with `histories` the states after every step,
    like the output, of each state that is not the output. None of them shares memory with another or with an argument.
    """
    n = len(states)
    given = [x, *states, *weights]
    kind, returned = number_types(cell, given, sizes is not None)
    x, *tensors = given = [registered.laid_out(t, kind) for t in given]
    states, weights = tensors[:n], tensors[n:]
    chosen = way(given)
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    steps = 0
    if checkpoint is not None and learning and chosen != OPERATOR and not transformed():
        steps = segment_steps(checkpoint, cell, x, states, weights, sizes)
    watched = None
    if onlooker is not None:
        if chosen == OPERATOR or transformed():
            onlooker.unseen("a tracer, a dispatch mode, a tensor subclass or torch.func saw it instead")
        else:
            watched = Watched(onlooker)
    if steps:
        segments = Segments(steps, watched)
        call = Call(segments.forward, segments.backward, cell, reverse, histories, reads_output=False)
        output, finals, every, _ = differentiable(call, x, states, weights, sizes, noise)
    elif watched is not None and learning:
        call = Call(watched.forward, watched.backward, cell, reverse, histories, again=watched.again)
        output, finals, every, _ = differentiable(call, x, states, weights, sizes, noise)
    elif watched is not None:
        output, finals, every, _ = watched.forward(cell, x, states, weights, sizes, reverse, False, histories, noise)
    elif chosen == REFERENCE:
        output, finals, every = plain.run(cell, x, states, weights, sizes, reverse, histories, noise)
    elif chosen == OPERATOR:
        output, finals, every, _ = torch.ops.ostinato.sequence(
            x, states, weights, sizes, cell.text, reverse, histories, False, noise
        )
    elif learning:
        call = Call(engine.forward, engine.backward, cell, reverse, histories, where=where)
        output, finals, every, _ = differentiable(call, x, states, weights, sizes, noise)
    else:
        output, finals, every, _ = engine.forward(
            cell, x, states, weights, sizes, reverse, False, histories, noise, where
        )
    if not returned:
        return output, finals, every
    others = [r for k, r in enumerate(returned[1:]) if k != cell.output_state]
    return (
        output.to(returned[0]),
        [s.to(r) for s, r in zip(finals, returned[1:])],
        [h.to(r) for h, r in zip(every, others)],
    )
