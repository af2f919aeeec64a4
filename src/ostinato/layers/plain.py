"""A sequence in plain torch: where there are no kernels, and under transforms that only torch's operations pass.

`forward` and `backward` have the signatures of the compiled kernels. They keep nothing: backward runs the reference
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..cells.reference import sequence
from .stepwise import record

Tensors = Sequence[Tensor]
Gradients = Sequence[Tensor | None]
Result = tuple[Tensor, list[Tensor], list[Tensor]]
"""Output, final states, histories."""
Kept = tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]
"""A `Result`, and the tensors that backward wants to see again."""
Needs = tuple[bool, bool, bool]
"""Whether the gradients of x, of the initial states, of the weights are wanted."""
Found = tuple[Tensor | None, list[Tensor], list[Tensor]]
"""The gradients of x, of the initial states, of the weights; None or [] where they are not wanted."""
Recorded = tuple[Found, list[Tensor], dict[tuple[str, str], Tensor]]
"""A `Found`; the whole gradient of each state at every step, like the output; (letter, name) → the gradient of that
product of a weight at every step."""


def run(
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None = None,
    reverse: bool = False,
    histories: bool = False,
    noise: Tensor | None = None,
) -> Result:
    """The reference, differentiable any number of times. Nothing that it returns shares memory with anything else.

    x [T, B, C] or packed [R, C], states [B, H or P] each, weights in the order of `cell.parameters`, sizes int64 [T],
    noise int64 [3 + B] for a cell that draws random numbers. With `sizes`, x may have lines beyond the last packed row,
    which are not read and come out as 0; steps of no row may stand at the end, and rows without a step.
    Returns the output [T, B, ·] or [R, ·], the final states [B, ·], and, when asked, the states after every step of
    each state that is not the output. Autocast has been dealt with before and changes nothing in here.
    """
    rows, spare = None, 0
    if sizes is not None:
        rows = sizes.tolist()
        while rows and not rows[-1]:
            rows.pop()
        spare = x.shape[0] - sum(rows)
        x = x[: sum(rows)]
    with torch.autocast(x.device.type, enabled=False) if autocast_on(x.device.type) else nullcontext():
        output, finals, every = sequence(cell, x, states, weights, rows, reverse, noise)
    if spare > 0:
        output, *every = (torch.cat([t, t.new_zeros(spare, t.shape[-1])]) for t in (output, *every))
    wanted = [h for k, h in enumerate(every) if k != cell.output_state] if histories else []
    return output, [s.clone(memory_format=torch.contiguous_format) for s in finals], wanted


def forward(
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
    """`run` without gradients. What `backward` wants to see again: nothing."""
    with torch.no_grad():
        return *run(cell, x, states, weights, sizes, reverse, histories, noise), []


def backward(
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
    onto: Tensors = (),
    noise: Tensor | None = None,
) -> Found:
    """A gradient that arrives as None is zero and costs nothing. `output` and `kept` are not read."""
    groups: list[Tensors] = [[x], states, weights]
    wanted = [need for group, need in zip(groups, needs) for _ in group]

    def results(*given: Tensor) -> list[Tensor]:
        some = iter(given)
        x, *rest = [next(some) if need else t.detach() for t, need in zip([t for g in groups for t in g], wanted)]
        begin, own = rest[: len(states)], rest[len(states) :]
        y, finals, every = run(cell, x, begin, own, sizes, reverse, bool(d_histories), noise)
        return [y, *finals, *every]

    given = [t.detach().requires_grad_() for group, need in zip(groups, needs) if need for t in group]
    with torch.no_grad():
        found = iter(pulled_back(results, given, [d_output, *d_finals, *d_histories]))
    dx, d_states, d_weights = ([next(found) for _ in group] if need else [] for group, need in zip(groups, needs))
    if onto:
        d_weights = [total.add_(d) for total, d in zip(onto, d_weights)]
    return (dx[0] if dx else None), d_states, d_weights


def backward_recorded(
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
    onto: Tensors = (),
    noise: Tensor | None = None,
) -> Recorded:
    """`backward`, and beside it what `stepwise.record` finds."""
    found = backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, d_histories, needs, onto, noise
    )
    return found, *record(cell, x, states, weights, sizes, reverse, d_output, d_finals, d_histories, noise)


def adjoints(
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
    noise: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Of `backward` and `stepwise.record` what concerns the states."""
    nothing: Gradients = [None] * (len(states) - (cell.output_state is not None))
    needs = (False, True, False)
    _, d_states, _ = backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, nothing, needs, noise=noise
    )
    return d_states, record(cell, x, states, weights, sizes, reverse, d_output, d_finals, nothing, noise)[0]


def pulled_back(results: Callable[..., Sequence[Tensor]], given: Tensors, upstream: Gradients) -> list[Tensor]:
    """From the upstream gradients of `results(*given)` a gradient for each of `given`, zeros where nothing flows.

    Where gradients are enabled, what comes out is differentiable itself. Inside of torch.func only its own levels know
    what depends on what, so there it is torch.func that differentiates.
    """
    if _torch_private.functorch_active() and any(d is not None for d in upstream):
        chosen = [k for k, d in enumerate(upstream) if d is not None]
        pull = torch.func.vjp(lambda *given: tuple(r for k, r in enumerate(results(*given)) if k in chosen), *given)[1]
        return list(pull(tuple(d for d in upstream if d is not None)))
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, because one tensor may stand in two places, and each place has a gradient of its own.
        views = [t.view_as(t) for t in given]
        pairs = [(y, d) for y, d in zip(results(*views), upstream) if d is not None and y.requires_grad]
        if not pairs or not views:
            return [torch.zeros_like(t) for t in given]
        ys, ds = [y for y, _ in pairs], [d for _, d in pairs]
        return list(
            torch.autograd.grad(ys, views, ds, create_graph=create_graph, allow_unused=True, materialize_grads=True)
        )


def autocast_on(device: str) -> bool:
    """Whether torch.autocast is on for this kind of device."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
