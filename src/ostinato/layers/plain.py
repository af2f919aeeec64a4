"""A sequence in plain torch: where there are no kernels, and under transforms that only torch's operations pass.

`forward` and `backward` have the signatures of the compiled kernels. They keep nothing: backward runs the reference
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

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
    with torch.enable_grad():
        groups = [[x.detach()], [s.detach() for s in states], [w.detach() for w in weights]]
        wanted = [t.requires_grad_() for group, need in zip(groups, needs) if need for t in group]
        found = iter(
            gradients(
                cell,
                groups[0][0],
                groups[1],
                groups[2],
                sizes,
                reverse,
                d_output,
                d_finals,
                d_histories,
                wanted,
                create_graph=False,
                noise=noise,
            )
        )
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


def gradients(
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    reverse: bool,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
    wanted: Tensors,
    create_graph: bool,
    noise: Tensor | None = None,
) -> list[Tensor]:
    """Runs the reference again and differentiates it: a gradient for each of `wanted`, zeros where nothing flows."""
    output, finals, histories = run(cell, x, states, weights, sizes, reverse, bool(d_histories), noise)
    pairs = [
        (y, d)
        for y, d in zip([output, *finals, *histories], [d_output, *d_finals, *d_histories])
        if d is not None and y.requires_grad
    ]
    if not pairs or not wanted:
        return [torch.zeros_like(t) for t in wanted]
    return list(
        torch.autograd.grad(
            [y for y, _ in pairs],
            list(wanted),
            [d for _, d in pairs],
            create_graph=create_graph,
            allow_unused=True,
            materialize_grads=True,
        )
    )


def autocast_on(device: str) -> bool:
    """Whether torch.autocast is on for this kind of device."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
