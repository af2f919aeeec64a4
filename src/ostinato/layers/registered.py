"""`torch.ops.ostinato.sequence`, the one operator that tracers, modes and subclasses see, and its backward.

One for all cells: the cell travels as its canonical text. Defined with torch.library.Library, which costs much less per
call than a custom_op with registered autograd.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..errors import InputError, phrase
from . import engine
from .autograd import Call, differentiable
from .plain import Gradients, Kept, Needs, Tensors

_SCHEMAS = (
    "sequence(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, str cell, bool reverse, bool histories, "
    "bool keep, Tensor? noise=None) -> (Tensor, Tensor[], Tensor[], Tensor[])",
    "sequence_backward(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, Tensor output, Tensor[] kept, "
    "Tensor? d_output, Tensor?[] d_finals, Tensor?[] d_histories, str cell, bool reverse, bool[] needs, "
    "Tensor? noise=None) -> (Tensor, Tensor[], Tensor[])",
)
Found = tuple[Tensor, list[Tensor], list[Tensor]]


def laid_out(t: Tensor, kind: torch.dtype) -> Tensor:
    """t as kernels read it; t itself wherever it is so already, which keeps traced graphs free of idle nodes."""
    t = t if t.dtype is kind else t.to(kind)
    return t if t.is_contiguous() else t.contiguous()


def forward(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    cell: str,
    reverse: bool,
    histories: bool,
    keep: bool,
    noise: Tensor | None = None,
) -> Kept:
    """The operator on real tensors; arguments as for `operator.run`."""
    n = len(states)
    x, *tensors = [laid_out(t, x.dtype) for t in (x, *states, *weights)]
    output, finals, every, kept = engine.forward(
        Cell.from_text(cell), x, tensors[:n], tensors[n:], sizes, reverse, keep, histories, noise
    )
    # What an operator returns must not be one tensor twice, and a history may be kept too.
    return output, finals, every, [k.clone() if any(k is h for h in every) else k for k in kept]


def forward_fake(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    cell: str,
    reverse: bool,
    histories: bool,
    keep: bool,
    noise: Tensor | None = None,
) -> Kept:
    """The shapes of what `forward` returns."""
    c, steps = Cell.from_text(cell), x.shape[:-1]
    others = [s for k, s in enumerate(states) if k != c.output_state] if histories else []
    shapes = engine.kept_shapes(c, x, states, weights) if keep else []
    return (
        x.new_empty(*steps, c.output_size(weights, states)),
        [s.new_empty(s.shape) for s in states],
        [x.new_empty(*steps, s.shape[-1]) for s in others],
        [x.new_empty(s) for s in shapes],
    )


def forward_autograd(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    cell: str,
    reverse: bool,
    histories: bool,
    keep: bool,
    noise: Tensor | None = None,
) -> Kept:
    """The operator where gradients may be wanted. It keeps for backward by itself; `keep` only shows what was kept."""
    if _torch_private.forward_ad_active():
        raise InputError(
            phrase(
                "ostinato.sequence",
                "the operator",
                "called without forward-mode differentiation",
                "an open level",
                "Call the layer, which then runs the equations in plain torch.",
            )
        )
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *weights)):
        call = Call(_seen_forward, _seen_backward, Cell.from_text(cell), reverse, histories, show_kept=keep)
        return differentiable(call, x, states, weights, sizes, noise)
    with _torch_private.below_autograd():
        return torch.ops.ostinato.sequence(x, states, weights, sizes, cell, reverse, histories, keep, noise)


def backward(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    output: Tensor,
    kept: Tensors,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
    cell: str,
    reverse: bool,
    needs: Needs,
    noise: Tensor | None = None,
) -> Found:
    """The backward operator on real tensors. The gradient of x has no entries where it is not wanted."""
    n = len(states)
    x, output, *tensors = [laid_out(t, x.dtype) for t in (x, output, *states, *weights)]
    dx, d_states, d_weights = engine.backward(
        Cell.from_text(cell),
        x,
        tensors[:n],
        tensors[n:],
        sizes,
        reverse,
        output,
        kept,
        d_output,
        d_finals,
        d_histories,
        needs,
        noise=noise,
    )
    return (x.new_empty(0) if dx is None else dx), d_states if needs[1] else [], d_weights if needs[2] else []


def backward_fake(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    output: Tensor,
    kept: Tensors,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
    cell: str,
    reverse: bool,
    needs: Needs,
    noise: Tensor | None = None,
) -> Found:
    """The shapes of what `backward` returns."""
    return (
        x.new_empty(x.shape if needs[0] else 0),
        [s.new_empty(s.shape) for s in states] if needs[1] else [],
        [w.new_empty(w.shape) for w in weights] if needs[2] else [],
    )


def _seen_forward(
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    reverse: bool,
    keep: bool,
    histories: bool,
    noise: Tensor | None = None,
) -> Kept:
    """`engine.forward` through the registered operator."""
    with _torch_private.below_autograd():
        return torch.ops.ostinato.sequence(x, states, weights, sizes, cell.text, reverse, histories, keep, noise)


def _seen_backward(
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    reverse: bool,
    output: Tensor,
    kept: Tensors,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
    needs: Needs,
    noise: Tensor | None = None,
) -> Found:
    """`engine.backward` through the registered operator."""
    return torch.ops.ostinato.sequence_backward(
        x, states, weights, sizes, output, kept, d_output, d_finals, d_histories, cell.text, reverse, needs, noise
    )


def draw_seed(like: Tensor) -> Tensor:
    """64 bits from torch's generator of the device of `like`: an int64 tensor without dimensions."""
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device=like.device)


def draw_seed_fake(like: Tensor) -> Tensor:
    """The shape of what `draw_seed` returns."""
    return torch.empty((), dtype=torch.int64, device=like.device)


_library = torch.library.Library("ostinato", "DEF")


def register(
    schema: str, real: Callable, fake: Callable, *tags: torch.Tag, differentiable: Callable | None = None
) -> None:
    """Defines torch.ops.ostinato.NAME: on real tensors, on shapes alone, and where gradients may be wanted."""
    name = _library.define(schema, tags=(torch.Tag.pt2_compliant_tag, *tags))
    _library.impl(name, real, "CompositeExplicitAutograd")
    torch.library.register_fake(f"ostinato::{name}", fake, lib=_library)
    if differentiable is not None:
        _library.impl(name, differentiable, "Autograd")


register(_SCHEMAS[0], forward, forward_fake, differentiable=forward_autograd)
register(_SCHEMAS[1], backward, backward_fake)
# torch's own random operations are compiled to others, with another generator; this one is called as it is.
register("draw_seed(Tensor like) -> Tensor", draw_seed, draw_seed_fake, torch.Tag.nondeterministic_seeded)
