"""The gradient of a loss, split by age: by how many steps of the recurrence each of its paths crosses.

        ∂E/∂U = Σ_t Σ_{k≤t} ∂E_t/∂h_t (Π_{j=k+1..t} ∂h_j/∂h_{j-1}) ∂h_k/∂U

The age of a term is t - k, the number of factors of the product. All terms of one age, whatever t and k, are computed
together: the gradients of age a at every step go through one vector-Jacobian product of all steps at once, a batch of
T·B rows, and the gradients before each step are those of age a + 1 at the step before. So an age costs one backward
pass without a loop over time, and T ages cost T of them instead of T(T+1)/2.

Letters: T steps, B rows, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import USE_CONVERT, InputError, phrase
from ...layers.base import Layer
from ...layers.modes import eval_mode
from ..capture.detached_calls import DetachedCall, recorded
from .step_vjp import StepVJP

Loss = Callable[[nn.Module], Tensor]


class AgeDecomposition:
    """A loss of a model, and its gradient by age."""

    total: dict[str, Tensor]
    """Parameter's name → its whole gradient, by autograd through the model as it is. The parameters are those whose
    gradient passes through a recurrence: the layers' own, and those that their inputs depend on. Parameters that only
    the loss reads, such as a head's, have no age but 0 and are left out."""

    def __init__(self, model: nn.Module, loss_per_step: Loss, where: str) -> None:
        if not any(isinstance(module, Layer) for module in model.modules()):
            raise InputError(phrase(where, "model", "a model with a recurrent layer of ostinato", "none", USE_CONVERT))
        if any(isinstance(m, Layer) and m.options.clip_gradient is not None for m in model.modules()):
            remedy = "A clipped gradient is not a sum over ages; measure with clip_gradient=None."
            raise InputError(phrase(where, "model", "one whose gradients are not bounded", "clip_gradient", remedy))
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not parameters:
            remedy = "Call requires_grad_() on the weights to measure."
            raise InputError(phrase(where, "model", "one with weights that learn", "only frozen ones", remedy))
        tensors = list(parameters.values())
        random = torch.random.get_rng_state()
        with torch.inference_mode(False), torch.enable_grad(), eval_mode(model):
            plain = _summed(loss_per_step(model), where)
            total = torch.autograd.grad(plain, tensors, allow_unused=True)
            torch.random.set_rng_state(random)
            with recorded(model) as self._calls:
                loss = _summed(loss_per_step(model), where)
            torch.random.set_rng_state(random)
            if not torch.allclose(plain, loss, rtol=1e-3, equal_nan=True):
                received = f"{plain.item():.6g} and {loss.item():.6g}"
                remedy = "It is called twice; draw the batch outside of it."
                raise InputError(phrase(where, "loss_per_step", "the same at each call", received, remedy))
            leaves = [leaf for call in self._calls for leaf in call.leaves]
            self._seeds = torch.autograd.grad(loss, [*leaves, *tensors], allow_unused=True, retain_graph=True)
        if all(g is None for g in self._seeds[: len(leaves)]):
            received = "one that reads none" if leaves else "one that calls none"
            remedy = "Call the model inside of it: lambda model: loss(model(x)[0], target)."
            raise InputError(phrase(where, "loss_per_step", "a loss of a recurrent layer's outputs", received, remedy))
        self._tensors = tensors
        self._sources = [_Source(call, self._calls[:k], tensors) for k, call in enumerate(self._calls)]
        reached = {k for source in self._sources for k in source.parameters}
        self._names = {k: name for k, name in enumerate(parameters) if k in reached}
        self.total = {name: _zeros_if_none(total[k], tensors[k]) for k, name in self._names.items()}

    def by_age(
        self, ages: Container[int] | None = None, last: int | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """(age, parameter's name → the part of its gradient) for the given `ages`, or all of them, up to `last`.

        It ends where no gradient is left to propagate. For other ages no weight gradients are computed.
        """
        calls, at = self._calls, 0
        steps = [StepVJP(call.replay) for call in calls]
        arriving: list[list[Tensor | None]] = []
        for call in calls:
            arriving.append(list(self._seeds[at : at + len(call.leaves)]))
            at += len(call.leaves)
        gradients = {k: g for k, g in enumerate(self._seeds[at:]) if g is not None and k in self._names}
        windows: list[_Window | None] = [None] * len(calls)
        starting: list[list[Tensor | None]] = [[None] * len((*c.initial_states, *c.reset_states)) for c in calls]
        age = 0
        while any(windows) or any(g is not None for parts in (*arriving, *starting) for g in parts):
            selected = ages is None or age in ages
            for k in reversed(range(len(calls))):
                call, upstream = calls[k], _Upstream(None, starting[k], ())
                window = _merged(call, windows[k], arriving[k])
                windows[k], starting[k] = None, [None] * len(upstream.starts)
                if window is not None:
                    back = steps[k].vjp(
                        window.d[0], window.d[1:], window.span, x=call.x.requires_grad, weights=selected
                    )
                    windows[k], starting[k] = _a_step_back(call, window.span, back.previous_states)
                    upstream.weights = back.weights
                    if back.x is not None:
                        upstream.x = torch.zeros_like(call.replay.x)
                        upstream.x[window.span] = back.x
                to_leaves, to_parameters = self._sources[k].propagate(upstream, selected)
                for (j, leaf), g in to_leaves.items():
                    arriving[j][leaf] = _plus(arriving[j][leaf], g)
                for j, g in to_parameters.items():
                    gradients[j] = _plus(gradients.get(j), g)
            if selected:
                yield age, {n: _zeros_if_none(gradients.get(k), self._tensors[k]) for k, n in self._names.items()}
            if age == last:
                return
            arriving, gradients, age = [[None] * len(call.leaves) for call in calls], {}, age + 1


@dataclass(slots=True)
class _Upstream:
    """The gradients of the inputs of a call."""

    x: Tensor | None
    """Of its input, [T, B, C]."""
    starts: list[Tensor | None]
    """Of its initial states, then of its reset states, [B, H] each."""
    weights: tuple[Tensor, ...]
    """Of its weights; () where they are not computed."""


class _Source:
    """The leaves of earlier calls, and the parameters, that the inputs of a call depend on."""

    leaves: dict[tuple[int, int], Tensor]
    """(call, number of its leaf) → the leaf."""
    parameters: dict[int, nn.Parameter]
    """Number of the parameter → the parameter."""

    def __init__(self, call: DetachedCall, before: list[DetachedCall], tensors: list[nn.Parameter]) -> None:
        self._inputs = [call.x, *call.initial_states, *call.reset_states, *call.weights.values()]
        leaves = {(j, i): leaf for j, c in enumerate(before) for i, leaf in enumerate(c.leaves)}
        everything: list[Tensor] = [*leaves.values(), *tensors]
        reached = self._vjp([torch.zeros_like(t) for t in self._inputs], everything)
        self.leaves = {key: leaf for (key, leaf), g in zip(leaves.items(), reached) if g is not None}
        self.parameters = {k: tensors[k] for k, g in enumerate(reached[len(leaves) :]) if g is not None}

    def propagate(
        self, upstream: _Upstream, parameters: bool
    ) -> tuple[dict[tuple[int, int], Tensor], dict[int, Tensor]]:
        """Gradients of leaves, (call, leaf) → gradient, and with `parameters` of parameters, number → gradient."""
        none = [None] * (len(self._inputs) - 1 - len(upstream.starts))
        d = [upstream.x, *upstream.starts, *(upstream.weights or none)]
        keys, numbers = list(self.leaves), list(self.parameters) if parameters else []
        gradients = self._vjp(d, [*self.leaves.values(), *(self.parameters[n] for n in numbers)])
        of_leaves = {key: g for key, g in zip(keys, gradients) if g is not None}
        return of_leaves, {n: g for n, g in zip(numbers, gradients[len(keys) :]) if g is not None}

    def _vjp(self, d: list[Tensor | None], to: list[Tensor]) -> tuple[Tensor | None, ...]:
        pairs = [(t, g) for t, g in zip(self._inputs, d, strict=True) if g is not None and t.requires_grad]
        if not pairs or not to:
            return (None,) * len(to)
        outputs, gradients = zip(*pairs)
        return torch.autograd.grad(outputs, to, gradients, allow_unused=True, retain_graph=True)


@dataclass(frozen=True, slots=True)
class _Window:
    """Gradients at some steps of a call."""

    span: slice
    """The steps."""
    d: list[Tensor | None]
    """Of the output and of the states after these steps, [t, B, ·] each; None for zero."""


def _merged(call: DetachedCall, window: _Window | None, more: list[Tensor | None]) -> _Window | None:
    """The gradients in a call: from the call's later steps, and [T, B, ·] from other calls. Zero past a row's end."""
    if all(g is None for g in more):
        return window
    valid = call.replay.valid[..., None]
    whole = [None if g is None else torch.where(valid, g, 0.0) for g in more]
    if window is not None:
        for k, g in enumerate(window.d):
            if g is not None:
                inside = torch.zeros_like(call.leaves[k])
                inside[window.span] = g
                whole[k] = _plus(whole[k], inside)
    nonzero = [(g != 0).flatten(1).any(1) for g in whole if g is not None]
    steps = torch.stack(nonzero).any(0).nonzero()
    if not len(steps):
        return None
    span = slice(int(steps[0]), int(steps[-1]) + 1)
    return _Window(span, [None if g is None else g[span] for g in whole])


def _a_step_back(
    call: DetachedCall, span: slice, previous: tuple[Tensor, ...]
) -> tuple[_Window | None, list[Tensor | None]]:
    """Gradients of the states before the steps of `span`, as those after the steps before, and of the start states."""
    replay, move = call.replay, 1 if call.replay.reverse else -1
    from_initial, from_reset = (mask[span, :, None] for mask in replay.segment_start_masks)
    low, high = max(span.start + move, 0), min(span.stop + move, len(replay.x))
    kept = slice(low - move - span.start, high - move - span.start)
    d = [torch.where(from_initial | from_reset, 0.0, g)[kept] for g in previous]
    starts: list[Tensor | None] = []
    for mask, states in ((from_initial, call.initial_states), (from_reset, call.reset_states)):
        begins = bool(mask.any())
        for g, start in zip(previous, states):
            starts.append(torch.where(mask, g, 0.0).sum(0) if begins and start.requires_grad else None)
    return (_Window(slice(low, high), [None, *d]) if any(g.any() for g in d) else None), starts


def _summed(loss: object, where: str) -> Tensor:
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        received = "one without a gradient" if isinstance(loss, Tensor) else type(loss).__name__
        remedy = 'Return such as sequence_loss(model(x), target, reduction="none").'
        raise InputError(
            phrase(where, "loss_per_step", "a function from the model to a tensor of losses", received, remedy)
        )
    return loss.sum()


def _plus(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _zeros_if_none(g: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if g is None else g
