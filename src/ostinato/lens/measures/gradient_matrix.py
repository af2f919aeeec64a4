"""The gradient of every step's loss in every step's state: ‖∂L_t/∂s_k‖ over t and k.

Letters: T steps, B rows, H units of a state, L layers, D directions, S states of the cell, R losses in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..._renamed import RenamedAttribute
from ...errors import InputError, phrase
from ..capture.replay import LayerReplay, replay
from ..report.fields import quantity

_WHERE = "lens.gradient_matrix"
_MOST_NUMBERS = 2**24  # numbers in the gradients of a layer's output in memory at a time: 128 MiB


@dataclass(frozen=True)
class GradientMatrix:
    """‖∂L_t/∂s_k‖ of each state: how much the loss of step t alone depends on the state after step k.

    A sum over t is not the norm of the whole gradient, whose parts may cancel.
    """

    states: tuple[str, ...]
    """The names of the cell's states: S of them."""
    layers: int
    """L."""
    directions: int
    """D."""
    norms: Tensor = field(metadata=quantity("loss per unit of the state", json="norms_loss_per_state_unit"))
    """[L·D, S, T, T, B]: t, then k; the first layer's directions first. In units of the loss per unit of the state, 0
    and up, counted as `s_k.grad` after `retain_grad()`: along every path from s_k to L_t, within the step too. 0 where
    there is no path, as for k > t in the first direction of a single layer; NaN past a row's end. Healthy: rows
    of one order of magnitude from k = t down to the lag of the task's answer."""

    norms_loss_per_state_unit = RenamedAttribute("norms")

    def of(self, depth: int = -1, direction: int = 0, state: int = 0) -> Tensor:
        """One layer's, direction's and state's: [T, T, B]."""
        if not -self.layers <= depth < self.layers:
            expected = f"one of the {self.layers} layers, from -{self.layers} to {self.layers - 1}"
            raise InputError(phrase("GradientMatrix.of", "depth", expected, depth))
        if direction not in range(self.directions) or state not in range(len(self.states)):
            expected = f"within {self.directions} directions and {len(self.states)} states"
            raise InputError(phrase("GradientMatrix.of", "direction and state", expected, f"{direction} and {state}"))
        return self.norms[depth % self.layers * self.directions + direction, state]


def gradient_matrix(
    layer: nn.Module,
    x: Any,
    loss_per_step: Callable[[Tensor], Tensor],
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Any = None,
) -> GradientMatrix:
    """‖∂L_t/∂s_k‖ for every pair of steps, exact, of every layer, direction and state.

    layer          a recurrent layer of ostinato
    x, state, lengths, resets  as the layer takes them
    loss_per_step  from the output [T, B, D·H] (laid out as the layer gives it, in float64) to the losses [T, B] (or
                   [B, T], as the output). The loss of a step reads the output of that step alone

    Known answer: h_t = a h_{t-1} + … gives |a|^(t-k) times the norm at k = t.
    Computed in float64, along the states of one call of the layer in eval mode. All losses are propagated together: a
    step of a layer is differentiated once, for a batch of T directions, so T steps in place of T²/2 passes.
    Unit: the loss's, per unit of the state. Raises InputError for losses of another shape, or that mix steps or rows.
    Cost: the arithmetic of T backward passes of the whole sequence; for T = 200, B = 4, H = 128 a few seconds. Memory:
    the result, and 128 MiB or less for the gradients of a layer below another.
    """
    replays = [replayed.to(torch.float64) for replayed in replay(layer, x, state, lengths=lengths, resets=resets)]
    layers, directions = replays[-1].depth + 1, 1 + replays[-1].reverse
    batched = not isinstance(x, Tensor) or x.dim() == 3
    batch_first = isinstance(x, Tensor) and batched and bool(layer.batch_first)
    own_gradients = _gradient_of_losses(replays[-directions:], loss_per_step, batch_first, batched)
    steps, rows, width = own_gradients.shape
    states = replays[0].cell.states
    norms = own_gradients.new_zeros(layers * directions, len(states), steps, steps, rows)
    at_once = max(1, _MOST_NUMBERS // max(1, steps * rows * width))
    for losses in torch.arange(steps, device=own_gradients.device).split(at_once):
        arriving = own_gradients.new_zeros(len(losses), steps, rows, width)
        arriving[torch.arange(len(losses), device=own_gradients.device), losses] = own_gradients[losses]
        for depth in reversed(range(layers)):
            below: Tensor | None = None
            by_direction = arriving.chunk(directions, -1)
            for direction in range(directions):
                k = depth * directions + direction
                norms[k, :, losses], sent = _back(replays[k], by_direction[direction], depth > 0)
                below = sent if below is None or sent is None else below + sent
            arriving = below if below is not None else arriving
    valid = replays[0].valid
    known = valid[:, None] & valid[None, :]
    return GradientMatrix(states, layers, directions, norms.masked_fill(~known, torch.nan))


def _gradient_of_losses(
    tops: list[LayerReplay], loss_per_step: Callable[[Tensor], Tensor], batch_first: bool, batched: bool
) -> Tensor:
    """∂L_t/∂output_t: [T, B, D·H], 0 past a row's end."""
    output = torch.cat([replayed.output for replayed in tops], -1)
    laid_out = output.transpose(0, 1) if batch_first else output if batched else output[:, 0]
    leaf = laid_out.detach().clone().requires_grad_()
    with torch.enable_grad():
        loss = loss_per_step(leaf)
        if not isinstance(loss, Tensor) or loss.shape != leaf.shape[:-1]:
            shape = list(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            expected = f"a function to a loss for each step and row, {list(leaf.shape[:-1])}"
            remedy = 'Write reduction="none", and sum over features only.'
            raise InputError(phrase(_WHERE, "loss_per_step", expected, shape, remedy))
        random = torch.rand(loss.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu")
        weights = 1 + random.to(loss)
        (plain,) = torch.autograd.grad(loss.sum(), leaf, retain_graph=True)
        (weighted,) = torch.autograd.grad((loss * weights).sum(), leaf)
    expected_weighted = plain * weights[..., None]
    if (weighted - expected_weighted).abs().max() > 1e-9 * (1 + expected_weighted.abs().max()):
        remedy = "Leave out what mixes steps or rows, such as a mean over the batch or a softmax over time."
        raise InputError(
            phrase(_WHERE, "loss_per_step", "of each step's own output alone", "losses that read others", remedy)
        )
    own = plain.transpose(0, 1) if batch_first else plain if batched else plain[:, None]
    return own * tops[0].valid[..., None]


def _back(replayed: LayerReplay, arriving: Tensor, onward: bool) -> tuple[Tensor, Tensor | None]:
    """R gradients of a layer's output, [R, T, B, H], propagated through all its steps.

    Returns the norms of the gradients of each state, [S, R, T, B], and with `onward` the gradients of the layer's input
    [R, T, B, C].
    """
    count, steps, rows = arriving.shape[:3]
    carried = [s.new_zeros(count, *s.shape) for s in replayed.initial_states]
    norms = arriving.new_zeros(len(carried), count, steps, rows)
    d_input = arriving.new_zeros(count, steps, rows, replayed.x.shape[-1]) if onward else None
    previous = replayed.previous_states
    first, reset = replayed.segment_start_masks
    order = range(steps) if replayed.reverse else reversed(range(steps))
    for k in order:
        old = [s[k].detach().requires_grad_() for s in previous]
        x_k = replayed.x[k].detach().requires_grad_(onward)
        with torch.enable_grad():
            output, new = replayed.cell.step(replayed.weights, x_k, old)
        roots = [(t, d) for t, d in zip((output, *new), (arriving[:, k], *carried)) if t.requires_grad]
        reached = [t for t in new if t.requires_grad]
        inputs = [*reached, *old, *([x_k] if onward else [])]
        gradients = torch.autograd.grad(
            [t for t, _ in roots],
            inputs,
            [d for _, d in roots],
            is_grads_batched=True,
            allow_unused=True,
            materialize_grads=True,
        )
        by_output = dict(zip(map(id, reached), gradients))
        here = replayed.valid[k][:, None]
        for s, t in enumerate(new):
            # A new state without a graph is a constant, whose gradient is the upstream one.
            norms[s, :, k] = (by_output.get(id(t), carried[s]) * here).norm(dim=-1)
        continues = here & ~(first | reset)[k][:, None]
        carried = [d * continues for d in gradients[len(reached) : len(reached) + len(old)]]
        if d_input is not None:
            d_input[:, k] = gradients[-1] * here
    return norms, d_input
