"""`run`: one layer, one direction, any cell. Everything above calls it; `routing` says which way it goes.

The registered operator `torch.ops.ostinato.sequence` is one for all cells: the cell travels as its canonical text.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..errors import InputError, phrase
from . import engine, plain
from .autograd import Call, differentiable
from .routing import KERNELS, REFERENCE, number_types, way

Kept = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]


def run(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None = None,
        reverse: bool = False, histories: bool = False) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Runs `cell` over a sequence, differentiably.

    x        [T, B, C]; with `sizes`, packed rows [R, C]
    states   [B, H or P] per state, the start of every row
    weights  in the order of `cell.parameters`
    sizes    int64 [T] on the CPU, rows per step, never growing: a PackedSequence's batch_sizes
    reverse  from the last step to the first; a packed row starts at its own last step
    Returns the output [T, B, ·] or [R, ·], the final states [B, ·], and with `histories` the states after every step, like
    the output, of each state that is not the output. None of them shares memory with another or with an argument.
    """
    kind, returned = number_types(cell, x, states, weights, sizes)
    x, *tensors = [_laid_out(t, kind) for t in (x, *states, *weights)]
    states, weights = tensors[: len(states)], tensors[len(states) :]
    chosen = way(x, states, weights)
    if chosen == REFERENCE:
        output, finals, every = plain.run(cell, x, states, weights, sizes, reverse, histories)
    elif chosen != KERNELS:
        output, finals, every, _ = torch.ops.ostinato.sequence(x, states, weights, sizes, cell.text, reverse, histories, False)
    elif torch.is_grad_enabled() and any(t.requires_grad for t in (x, *tensors)):
        call = Call(engine.forward, engine.backward, cell, reverse, histories)
        output, finals, every, _ = differentiable(call, x, states, weights, sizes)
    else:
        output, finals, every, _ = engine.forward(cell, x, states, weights, sizes, reverse, False, histories)
    if all(r is kind for r in returned):
        return output, finals, every
    others = [r for k, r in enumerate(returned[1:]) if k != cell.output_state]
    return (output.to(returned[0]), [s.to(r) for s, r in zip(finals, returned[1:])],
            [h.to(r) for h, r in zip(every, others)])


def _laid_out(t: Tensor, kind: torch.dtype) -> Tensor:
    """t as kernels read it; t itself wherever that is so already, which keeps traced graphs free of idle nodes."""
    t = t if t.dtype is kind else t.to(kind)
    return t if t.is_contiguous() else t.contiguous()


_library = torch.library.Library("ostinato", "DEF")
_library.define("sequence(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, str cell, bool reverse, bool histories, "
                "bool keep) -> (Tensor, Tensor[], Tensor[], Tensor[])", tags=(torch.Tag.pt2_compliant_tag,))
_library.define("sequence_backward(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, Tensor output, Tensor[] kept, "
                "Tensor? d_output, Tensor?[] d_finals, Tensor?[] d_histories, str cell, bool reverse, bool[] needs) "
                "-> (Tensor, Tensor[], Tensor[])", tags=(torch.Tag.pt2_compliant_tag,))


def _forward(x: Tensor, states: list[Tensor], weights: list[Tensor], sizes: Tensor | None, cell: str, reverse: bool,
             histories: bool, keep: bool) -> Kept:
    x, *tensors = [_laid_out(t, x.dtype) for t in (x, *states, *weights)]
    n = len(states)
    output, finals, every, kept = engine.forward(Cell.from_text(cell), x, tensors[:n], tensors[n:], sizes, reverse, keep, histories)
    # What an operator returns must not be one tensor twice, and a history may be kept too.
    return output, finals, every, [k.clone() if any(k is h for h in every) else k for k in kept]


def _forward_fake(x: Tensor, states: list[Tensor], weights: list[Tensor], sizes: Tensor | None, cell: str, reverse: bool,
                  histories: bool, keep: bool) -> Kept:
    c = Cell.from_text(cell)
    steps = x.shape[:-1]
    others = [s for k, s in enumerate(states) if k != c.output_state]
    shapes = engine.kept_shapes(c, x, states, weights) if keep else []
    return (x.new_empty(*steps, plain.output_size(c, states, weights)), [s.new_empty(s.shape) for s in states],
            [x.new_empty(*steps, s.shape[-1]) for s in others] if histories else [], [x.new_empty(s) for s in shapes])


def _forward_autograd(x: Tensor, states: list[Tensor], weights: list[Tensor], sizes: Tensor | None, cell: str, reverse: bool,
                      histories: bool, keep: bool) -> Kept:
    if _torch_private.forward_ad_active():
        raise InputError(phrase("ostinato.sequence", "the operator", "called without forward-mode differentiation", "an open level",
                                "Call the layer, or ostinato.layers.operator.run, which then runs the equations in plain torch."))
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *weights)):
        call = Call(_call_forward, _call_backward, Cell.from_text(cell), reverse, histories, show_kept=keep)
        return differentiable(call, x, states, weights, sizes)
    with _torch_private.below_autograd():
        return torch.ops.ostinato.sequence(x, states, weights, sizes, cell, reverse, histories, keep)


def _call_forward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None,
                  reverse: bool, keep: bool, histories: bool) -> Kept:
    """`engine.forward` through the registered operator, seen by tracers and modes."""
    with _torch_private.below_autograd():
        return torch.ops.ostinato.sequence(x, states, weights, sizes, cell.text, reverse, histories, keep)


def _call_backward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None,
                   reverse: bool, output: Tensor, kept: Sequence[Tensor], d_output: Tensor | None,
                   d_finals: Sequence[Tensor | None], d_histories: Sequence[Tensor | None], needs: tuple[bool, bool, bool]
                   ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """`engine.backward` through the registered operator."""
    return torch.ops.ostinato.sequence_backward(x, states, weights, sizes, output, kept, d_output, d_finals, d_histories,
                                                cell.text, reverse, needs)


def _backward(x: Tensor, states: list[Tensor], weights: list[Tensor], sizes: Tensor | None, output: Tensor,
              kept: list[Tensor], d_output: Tensor | None, d_finals: list[Tensor | None], d_histories: list[Tensor | None],
              cell: str, reverse: bool, needs: list[bool]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    x, output, *tensors = [_laid_out(t, x.dtype) for t in (x, output, *states, *weights)]
    n = len(states)
    dx, d_states, d_weights = engine.backward(Cell.from_text(cell), x, tensors[:n], tensors[n:], sizes, reverse, output, kept,
                                              d_output, d_finals, d_histories, (needs[0], needs[1], needs[2]))
    return (x.new_empty(0) if dx is None else dx), d_states if needs[1] else [], d_weights if needs[2] else []


def _backward_fake(x: Tensor, states: list[Tensor], weights: list[Tensor], sizes: Tensor | None, output: Tensor,
                   kept: list[Tensor], d_output: Tensor | None, d_finals: list[Tensor | None],
                   d_histories: list[Tensor | None], cell: str, reverse: bool, needs: list[bool]
                   ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    return (x.new_empty(x.shape if needs[0] else 0), [s.new_empty(s.shape) for s in states] if needs[1] else [],
            [w.new_empty(w.shape) for w in weights] if needs[2] else [])


for _name, _run, _fake in (("sequence", _forward, _forward_fake), ("sequence_backward", _backward, _backward_fake)):
    _library.impl(_name, _run, "CompositeExplicitAutograd")
    torch.library.register_fake(f"ostinato::{_name}", _fake, lib=_library)
_library.impl("sequence", _forward_autograd, "Autograd")
