"""`torch.ops.ostinato.sequence`, the one operator that tracers, modes and subclasses see, and its backward.

One for all cells: the cell travels as its canonical text. Defined with torch.library.Library, which costs much less per
call than a custom_op with registered autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..errors import InputError, phrase
from ..sequence import ForwardResult, Gradients, Needs, SequenceCall, Upstream
from . import backends
from .autograd import SequenceNode, differentiable
from .reference_backend import Tensors

_SCHEMAS = (
    "sequence(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, str cell, bool reverse, bool histories, "
    "bool keep, Tensor? noise=None) -> (Tensor, Tensor[], Tensor[], Tensor[])",
    "sequence_backward(Tensor x, Tensor[] states, Tensor[] weights, Tensor? sizes, Tensor output, Tensor[] kept, "
    "Tensor? d_output, Tensor?[] d_finals, Tensor?[] d_histories, str cell, bool reverse, bool[] needs, "
    "Tensor? noise=None) -> (Tensor, Tensor[], Tensor[])",
)
Returned = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]
"""Output, final states, histories, saved tensors: the schema of the operator."""
ReturnedGradients = tuple[Tensor, list[Tensor], list[Tensor]]
Optional = Sequence[Tensor | None]


def contiguous_as(t: Tensor, dtype: torch.dtype) -> Tensor:
    """t of this number type and contiguous; t itself where it is both, which keeps traced graphs free of idle nodes."""
    t = t if t.dtype is dtype else t.to(dtype)
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
) -> Returned:
    """The operator on real tensors; arguments as in `SequenceCall`."""
    n = len(states)
    x, *tensors = [contiguous_as(t, x.dtype) for t in (x, *states, *weights)]
    call = SequenceCall(Cell.from_text(cell), x, tensors[:n], tensors[n:], sizes, reverse, noise)
    result = backends.forward(call, keep, histories)
    # What an operator returns must not be one tensor twice, and a history may be saved too.
    saved = [k.clone() if any(k is h for h in result.histories) else k for k in result.saved]
    return result.output, result.final_states, result.histories, saved


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
) -> Returned:
    """The shapes of what `forward` returns."""
    c, steps = Cell.from_text(cell), x.shape[:-1]
    others = [s for k, s in enumerate(states) if k != c.output_state] if histories else []
    shapes = backends.saved_shapes(c, x, states, weights) if keep else []
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
) -> Returned:
    """The operator under autograd. It saves for backward by itself; with `keep` it also returns what it saved."""
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
        node = SequenceNode(OperatorBackend(), Cell.from_text(cell), reverse, histories, show_saved=keep)
        result = differentiable(node, x, states, weights, sizes, noise)
        return result.output, result.final_states, result.histories, result.saved
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
    d_finals: Optional,
    d_histories: Optional,
    cell: str,
    reverse: bool,
    needs: Sequence[bool],
    noise: Tensor | None = None,
) -> ReturnedGradients:
    """The backward operator on real tensors. The gradient of x has no entries where it is not needed."""
    n = len(states)
    x, output, *tensors = [contiguous_as(t, x.dtype) for t in (x, output, *states, *weights)]
    call = SequenceCall(Cell.from_text(cell), x, tensors[:n], tensors[n:], sizes, reverse, noise)
    result, upstream = ForwardResult(output, [], [], list(kept)), Upstream(d_output, d_finals, d_histories)
    found = backends.backward(call, result, upstream, Needs(*needs))
    dx = x.new_empty(0) if found.x is None else found.x
    return dx, found.states if needs[1] else [], found.weights if needs[2] else []


def backward_fake(
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    output: Tensor,
    kept: Tensors,
    d_output: Tensor | None,
    d_finals: Optional,
    d_histories: Optional,
    cell: str,
    reverse: bool,
    needs: Sequence[bool],
    noise: Tensor | None = None,
) -> ReturnedGradients:
    """The shapes of what `backward` returns."""
    return (
        x.new_empty(x.shape if needs[0] else 0),
        [s.new_empty(s.shape) for s in states] if needs[1] else [],
        [w.new_empty(w.shape) for w in weights] if needs[2] else [],
    )


def run(call: SequenceCall, histories: bool) -> ForwardResult:
    """The call through the registered operator, which has its own autograd implementation."""
    return _forward(call, False, histories)


def _forward(call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
    return ForwardResult(
        *torch.ops.ostinato.sequence(
            call.x, call.states, call.weights, call.batch_sizes, call.cell.text, call.reverse, histories, save,
            call.random_state,
        )
    )  # fmt: skip


class OperatorBackend:
    """Runs a call through the registered operators below autograd: the backend of the operator's own node."""

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        with _torch_private.below_autograd():
            return _forward(call, save, histories)

    def backward(
        self,
        call: SequenceCall,
        result: ForwardResult,
        upstream: Upstream,
        needs: Needs,
        accumulate_into: Tensors = (),
    ) -> Gradients:
        return Gradients(
            *torch.ops.ostinato.sequence_backward(
                call.x, call.states, call.weights, call.batch_sizes, result.output, result.saved, upstream.output,
                upstream.final_states, upstream.histories, call.cell.text, call.reverse,
                (needs.x, needs.states, needs.weights), call.random_state,
            )
        )  # fmt: skip


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
    """Defines torch.ops.ostinato.NAME: on real tensors, on shapes alone, and where gradients may be recorded."""
    name = _library.define(schema, tags=(torch.Tag.pt2_compliant_tag, *tags))
    _library.impl(name, real, "CompositeExplicitAutograd")
    torch.library.register_fake(f"ostinato::{name}", fake, lib=_library)
    if differentiable is not None:
        _library.impl(name, differentiable, "Autograd")


register(_SCHEMAS[0], forward, forward_fake, differentiable=forward_autograd)
register(_SCHEMAS[1], backward, backward_fake)
# torch's own random operations are compiled to others, with another generator; this one is called as it is.
register("draw_seed(Tensor like) -> Tensor", draw_seed, draw_seed_fake, torch.Tag.nondeterministic_seeded)
