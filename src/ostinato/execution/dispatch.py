"""`run`: one layer, one direction, any cell. Everything above calls it; `routing` says which way it goes."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..sequence import ForwardResult, SequenceCall
from . import backends, custom_op, reference_backend
from .autograd import SequenceNode, differentiable
from .checkpoint import Checkpoint, Segments, segment_steps
from .observer import Onlooker, Watched
from .routing import OPERATOR, REFERENCE, number_types, transformed, way


def run(
    call: SequenceCall,
    histories: bool = False,
    checkpoint: Checkpoint | None = None,
    onlooker: Onlooker | None = None,
) -> ForwardResult:
    """Runs a call differentiably; its tensors may be of any number types and strides that torch.nn takes.

    checkpoint  what is saved where gradients are wanted: all that backward reads, or the states at segment boundaries
    onlooker    observes the call; it changes no bit
    `call.rows` is for kernels alone: `in_place.stay` asks for all that stands against it. The result has no saved
    tensors.
    """
    cell, sizes, n = call.cell, call.batch_sizes, len(call.states)
    given = [call.x, *call.states, *call.weights]
    kind, returned = number_types(cell, given, sizes is not None)
    given = [custom_op.laid_out(t, kind) for t in given]
    call = replace(call, x=given[0], states=given[1 : 1 + n], weights=given[1 + n :])
    chosen = way(given)
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    steps = 0
    if checkpoint is not None and learning and chosen != OPERATOR and not transformed():
        steps = segment_steps(checkpoint, call)
    watched = None
    if onlooker is not None:
        if chosen == OPERATOR or transformed():
            onlooker.unseen("a tracer, a dispatch mode, a tensor subclass or torch.func saw it instead")
        else:
            watched = Watched(onlooker)
    result = _result(call, histories, chosen, learning, steps, watched)
    if not returned:
        return result
    others = [r for k, r in enumerate(returned[1:]) if k != cell.output_state]
    return ForwardResult(
        result.output.to(returned[0]),
        [s.to(r) for s, r in zip(result.final_states, returned[1:])],
        [h.to(r) for h, r in zip(result.histories, others)],
    )


def _result(
    call: SequenceCall, histories: bool, chosen: str, learning: bool, steps: int, watched: Watched | None
) -> ForwardResult:
    """The call on the backend that was chosen, in segments of `steps` steps unless that is 0."""
    node: SequenceNode | None = None
    if steps:
        node = SequenceNode(Segments(steps, watched), call.cell, call.reverse, histories, reads_output=False)
    elif watched is not None:
        if not learning:
            return watched.forward(call, False, histories)
        node = SequenceNode(watched, call.cell, call.reverse, histories, again=watched.again)
    elif chosen == REFERENCE:
        return reference_backend.run(call, histories)
    elif chosen == OPERATOR:
        return ForwardResult(
            *torch.ops.ostinato.sequence(
                call.x, call.states, call.weights, call.batch_sizes, call.cell.text, call.reverse, histories, False,
                call.random_state,
            )
        )  # fmt: skip
    elif not learning:
        return backends.forward(call, False, histories)
    else:
        node = SequenceNode(backends, call.cell, call.reverse, histories, rows=call.rows)
    return differentiable(node, call.x, call.states, call.weights, call.batch_sizes, call.random_state)
