"""The gradient of a loss on the last step in each earlier state, by lag."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ...execution.custom_op import draw_seed
from ...layers.arguments import State
from ...layers.base import Layer
from ...layers.dropout import pinned


@dataclass(frozen=True)
class GradientByLag:
    """‖∂L_T/∂s_{T-k}‖ for k = 0 … K, for each state s of a layer."""

    norms: tuple[Tensor, ...]
    """[K+1, B] for each of the layer's states in its own order (h, then c for an LSTM), in units of the loss per unit
    of the state, 0 and up: row k is lag k in steps, a column is one sequence of the batch."""

    @property
    def lags(self) -> Tensor:
        """0 … K, in steps: [K+1] int64."""
        return torch.arange(len(self.norms[0]), device="cpu")

    @property
    def whole(self) -> Tensor:
        """The norm over all states together, √(Σ_s ‖∂L_T/∂s_{T-k}‖²): [K+1, B]."""
        return torch.stack(self.norms).square().sum(0).sqrt()

    def median(self, state: int = 0) -> Tensor:
        """The median over the batch of one state's norms: [K+1]."""
        return self.norms[state].quantile(0.5, dim=1)


def gradient_by_lag(
    layer: nn.Module,
    x: Tensor,
    head_loss: Callable[[Tensor], Tensor],
    *,
    state: State = None,
    lags: int | None = None,
) -> GradientByLag:
    """‖∂L_T/∂s_{T-k}‖: how much a loss on the last step would change with the state k steps before.

    Formula: L_T = head_loss(output_T); s_{T-k} is the state that leaves step T-k and enters step T-k+1, every other
    state that enters the same step held fixed. For an LSTM the row of h therefore counts what h alone carries, the row
    of c what c alone carries; `whole` is both. At lag 0 the first state is the output itself, the others reach no
    later step and are 0.
    Unit: the loss's, per unit of the state. Range: 0 and up. Healthy: of the same order from lag 0 to the lag at which
    the task's answer lies; a straight fall on a logarithmic axis is a gradient that vanishes exponentially.
    Known answer: h_t = a·h_{t-1} + x_t gives |a|^k times the norm at lag 0.
    Cost: one forward and one backward pass of T steps called one by one, and their memory, O(T).

    `output.grad` of a layer called once on all steps is not this number: no loss but the last reads the outputs, so
    it is 0 for every earlier step. Here the layer is called step by step, and the gradients of the states between
    the calls are taken.

    Shapes: x [T, B, C], or [B, T, C] for a batch_first layer; state as the layer takes it, by default the layer's own
    initial state. `head_loss` maps the last output [B, H] to a loss for each row [B] (or their sum; a mean over the
    batch divides every norm by B). `lags` is K, at most and by default T - 1. Result: norms [K+1, B] for each state.

    The layer may be any with torch.nn's calling convention. Its weights' gradients and its mode do not change; with
    dropout active in training mode, the gradient is that of one draw. Raises InputError for x of another rank or
    without a step, a bidirectional layer, lags out of range, and a head_loss that is not one number a row.
    """
    at_output, earlier = gradients_by_lag(layer, x, head_loss, state=state, lags=lags)
    norms = []
    for s, gradients in enumerate(earlier):
        now = at_output.norm(dim=1) if s == 0 else torch.zeros_like(at_output[:, 0])
        norms.append(torch.stack([now, *(gradient.norm(dim=(0, 2)) for gradient in gradients)]))
    return GradientByLag(tuple(norms))


def gradients_by_lag(
    layer: nn.Module,
    x: Tensor,
    head_loss: Callable[[Tensor], Tensor],
    *,
    state: State = None,
    lags: int | None = None,
) -> tuple[Tensor, tuple[list[Tensor], ...]]:
    """(∂L_T/∂output_T [B, H], of each state ∂L_T/∂s_{T-k} for k = 1 … K: K tensors [L, B, H]).

    What `gradient_by_lag` takes the norms of, with its arguments, its cost and its errors.
    """
    where = "gradient_by_lag"
    _refuse_types(layer, x, head_loss)
    if x.dim() != 3:
        raise InputError(phrase(where, "x", "[T, B, C]", f"{x.dim()} dimensions", "Give a single sequence as B = 1."))
    if getattr(layer, "bidirectional", False):
        remedy = "Its backward direction reads from the end, where lag has no single meaning; measure one direction."
        raise InputError(phrase(where, "layer", "one-directional", "a bidirectional layer", remedy))
    time = 1 if getattr(layer, "batch_first", False) else 0
    steps = x.shape[time]
    if steps == 0:
        raise InputError(phrase(where, "x", "at least one step", "T = 0"))
    lags = steps - 1 if lags is None else lags
    if not isinstance(lags, int | np.integer) or isinstance(lags, bool) or not 0 <= lags < steps:
        remedy = "A lag of k needs k steps before the last one."
        raise InputError(phrase(where, "lags", f"between 0 and T - 1 = {steps - 1}", repr(lags), remedy))

    x_by_step = x.detach().split(1, dim=time)
    drawing = [m for m in layer.modules() if isinstance(m, Layer) and m.training and m._draws]
    seeds = [(m, draw_seed(x)) for m in drawing]

    def step(t: int, state: State) -> tuple[Tensor, Any]:
        with _one_draw(seeds, t):
            return layer(x_by_step[t], state)

    with torch.no_grad():
        for t in range(steps - lags):
            output, state = step(t, state)
    entering: list[tuple[Tensor, ...]] = []
    with torch.enable_grad():
        # Leaves, so that the states have a graph even where every weight is frozen.
        state = _like(state, [part.detach().requires_grad_() for part in _parts(state)])
        for t in range(steps - lags, steps):
            entering.append(_parts(state))
            output, state = step(t, state)
        at_output = _gradient_of_loss(head_loss, output.select(time, 0))
        earlier: tuple[Tensor, ...] = ()
        if entering:
            every = [part for parts in entering for part in parts]
            earlier = torch.autograd.grad(
                output.select(time, 0), every, at_output, allow_unused=True, materialize_grads=True
            )
    count = len(_parts(state))
    return at_output, tuple(list(reversed(earlier[s::count])) for s in range(count))


def _refuse_types(layer: object, x: object, head_loss: object) -> None:
    where = "gradient_by_lag"
    if not isinstance(layer, nn.Module):
        raise InputError(phrase(where, "layer", "a torch module", type(layer).__name__))
    if not isinstance(x, Tensor):
        raise InputError(phrase(where, "x", "a tensor", type(x).__name__, "Write torch.as_tensor(x)."))
    if not callable(head_loss):
        remedy = "Write lambda output: output.square().sum(1), say."
        raise InputError(phrase(where, "head_loss", "a function of the last output", type(head_loss).__name__, remedy))


@contextmanager
def _one_draw(seeds: list[tuple[Layer, Tensor]], step: int) -> Iterator[None]:
    """Calls of one step have the masks that a call of all steps would have: those of a sequence are drawn once."""
    with ExitStack() as stack:
        for layer, seed in seeds:
            stack.enter_context(pinned(layer, seed, first_step=step))
        yield


def _gradient_of_loss(head_loss: Callable[[Tensor], Tensor], output: Tensor) -> Tensor:
    """∂L_T/∂output_T, one row for each sequence: [B, H] → [B, H]."""
    leaf = output.detach().requires_grad_()
    loss = head_loss(leaf)
    given: object = loss
    if not isinstance(given, Tensor) or given.shape not in ((), leaf.shape[:1]):
        expected = f"a function to a loss for each row, [{len(leaf)}], or their sum"
        received = f"a result of shape {list(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        raise InputError(phrase("gradient_by_lag", "head_loss", expected, received))
    return torch.autograd.grad(loss.sum(), leaf)[0]


def _parts(state: State) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def _like(state: State, parts: list[Tensor]) -> State:
    return tuple(parts) if isinstance(state, tuple) else parts[0]
