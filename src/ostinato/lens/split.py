"""The gradient of a loss, split by age: by how many steps of the recurrence each of its paths crosses.

        ∂E/∂U = Σ_t Σ_{k≤t} ∂E_t/∂h_t (Π_{j=k+1..t} ∂h_j/∂h_{j-1}) ∂h_k/∂U

The age of a term is t - k, the number of factors of the product. All terms of one age, whatever t and k, are found
together: what arrives at every step with age a is sent through all steps at once, as one batch of T·B rows, and what
comes out before each step arrives at the step before with age a + 1. So an age costs one backward pass without a loop
over time, and T ages cost T of them instead of T(T+1)/2.

Letters: T steps, B rows, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import InputError, phrase
from ..layers.layer import Layer
from ..layers.modes import eval_mode
from .adjoint import StepAdjoint
from .passages import Passage, recorded

Loss = Callable[[nn.Module], Tensor]


class Split:
    """A loss of a model, and its gradient by age.

    total  parameter's name → its whole gradient, by autograd through the model as it is. The parameters are those that
           a recurrence stands behind: the layers' own, and what their inputs are made of. What only the loss reads,
           such as a head, has no age but 0 and is left out
    """

    def __init__(self, model: nn.Module, loss_per_step: Loss, where: str) -> None:
        if not any(isinstance(module, Layer) for module in model.modules()):
            remedy = "ostinato.convert(model) makes one of each of torch.nn's recurrent layers."
            raise InputError(phrase(where, "model", "a model with a recurrent layer of ostinato", "none", remedy))
        if any(isinstance(m, Layer) and m.options.clip_gradient is not None for m in model.modules()):
            remedy = "A gradient that is bounded on its way is no sum over ages; measure with clip_gradient=None."
            raise InputError(phrase(where, "model", "one whose gradients are not bounded", "clip_gradient", remedy))
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not parameters:
            remedy = "Set requires_grad_() on those whose gradient is asked."
            raise InputError(phrase(where, "model", "one with weights that learn", "only frozen ones", remedy))
        tensors = list(parameters.values())
        random = torch.random.get_rng_state()
        with torch.inference_mode(False), torch.enable_grad(), eval_mode(model):
            plain = _summed(loss_per_step(model), where)
            total = torch.autograd.grad(plain, tensors, allow_unused=True)
            torch.random.set_rng_state(random)
            with recorded(model) as self._passages:
                loss = _summed(loss_per_step(model), where)
            torch.random.set_rng_state(random)
            if not torch.allclose(plain, loss, rtol=1e-3, equal_nan=True):
                received = f"{plain.item():.6g} and {loss.item():.6g}"
                remedy = "It is called twice; draw the batch before, outside of it."
                raise InputError(phrase(where, "loss_per_step", "the same at each call", received, remedy))
            leaves = [leaf for p in self._passages for leaf in p.leaves]
            self._seeds = torch.autograd.grad(loss, [*leaves, *tensors], allow_unused=True, retain_graph=True)
        if all(g is None for g in self._seeds[: len(leaves)]):
            received = "one that reads none" if leaves else "one that calls none"
            remedy = "Call the model inside of it: lambda model: loss(model(x)[0], target)."
            raise InputError(phrase(where, "loss_per_step", "a loss of a recurrent layer's outputs", received, remedy))
        self._tensors = tensors
        self._sources = [_Source(p, self._passages[:k], tensors) for k, p in enumerate(self._passages)]
        behind = {k for source in self._sources for k in source.parameters}
        self._names = {k: name for k, name in enumerate(parameters) if k in behind}
        self.total = {name: _or_zeros(total[k], tensors[k]) for k, name in self._names.items()}

    def by_age(
        self, ages: Container[int] | None = None, last: int | None = None
    ) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """(age, parameter's name → the part of its gradient) for those of `ages`, all without it, from 0 to `last`.

        It ends where nothing is left to send back. Ages between those asked for cost less: no weights' gradients.
        """
        adjoints = [StepAdjoint(p.run) for p in self._passages]
        passages, at = self._passages, 0
        adjoints = [StepAdjoint(p.run) for p in passages]
        arriving: list[list[Tensor | None]] = []
        for p in passages:
            arriving.append(list(self._seeds[at : at + len(p.leaves)]))
            at += len(p.leaves)
        found = {k: g for k, g in enumerate(self._seeds[at:]) if g is not None and k in self._names}
        windows: list[_Window | None] = [None] * len(passages)
        starting: list[list[Tensor | None]] = [[None] * len((*p.start, *p.own)) for p in passages]
        age = 0
        while any(windows) or any(g is not None for parts in (*arriving, *starting) for g in parts):
            wanted = ages is None or age in ages
            for k in reversed(range(len(passages))):
                d_x: Tensor | None = None
                d_weights: tuple[Tensor, ...] = ()
                d_start = starting[k]
                window = _joined(passages[k], windows[k], arriving[k])
                windows[k], starting[k] = None, [None] * len(d_start)
                if window is not None:
                    learns = passages[k].x.requires_grad
                    pulled = adjoints[k].pull(window.d[0], window.d[1:], window.span, x=learns, weights=wanted)
                    windows[k], starting[k] = _a_step_back(passages[k], window.span, pulled.previous)
                    d_weights = pulled.weights
                    if pulled.x is not None:
                        d_x = torch.zeros_like(passages[k].run.x)
                        d_x[window.span] = pulled.x
                to_leaves, to_parameters = self._sources[k].send(d_x, d_start, d_weights, wanted)
                for (j, leaf), g in to_leaves.items():
                    arriving[j][leaf] = _added(arriving[j][leaf], g)
                for j, g in to_parameters.items():
                    found[j] = _added(found.get(j), g)
            if wanted:
                yield age, {name: _or_zeros(found.get(k), self._tensors[k]) for k, name in self._names.items()}
            if age == last:
                return
            arriving, found, age = [[None] * len(p.leaves) for p in passages], {}, age + 1


class _Source:
    """Where what a passage reads comes from: leaves of passages before it, and parameters.

    parameters  numbers of the parameters that it reaches
    """

    def __init__(self, passage: Passage, before: list[Passage], tensors: list[nn.Parameter]) -> None:
        self.given = [passage.x, *passage.start, *passage.own, *passage.weights.values()]
        leaves = {(j, i): leaf for j, p in enumerate(before) for i, leaf in enumerate(p.leaves)}
        everything: list[Tensor] = [*leaves.values(), *tensors]
        reached = self._pull([torch.zeros_like(t) for t in self.given], everything)
        self.leaves = {key: leaf for (key, leaf), g in zip(leaves.items(), reached) if g is not None}
        self.parameters = {k: tensors[k] for k, g in enumerate(reached[len(leaves) :]) if g is not None}

    def send(
        self, d_x: Tensor | None, d_start: list[Tensor | None], d_weights: tuple[Tensor, ...], parameters: bool
    ) -> tuple[dict[tuple[int, int], Tensor], dict[int, Tensor]]:
        """Gradients of leaves, (passage, leaf) → gradient, and with `parameters` of parameters, number → gradient."""
        d = [d_x, *d_start, *(d_weights or [None] * (len(self.given) - 1 - len(d_start)))]
        keys, numbers = list(self.leaves), list(self.parameters) if parameters else []
        pulled = self._pull(d, [*self.leaves.values(), *(self.parameters[n] for n in numbers)])
        first = {key: g for key, g in zip(keys, pulled) if g is not None}
        return first, {n: g for n, g in zip(numbers, pulled[len(keys) :]) if g is not None}

    def _pull(self, d: list[Tensor | None], to: list[Tensor]) -> tuple[Tensor | None, ...]:
        pairs = [(t, g) for t, g in zip(self.given, d, strict=True) if g is not None and t.requires_grad]
        if not pairs or not to:
            return (None,) * len(to)
        outputs, gradients = zip(*pairs)
        return torch.autograd.grad(outputs, to, gradients, allow_unused=True, retain_graph=True)


class _Window(NamedTuple):
    """Gradients of the output and of the states after the steps of `span`, [t, B, ·] each, and None for zero."""

    span: slice
    d: list[Tensor | None]


def _joined(passage: Passage, window: _Window | None, more: list[Tensor | None]) -> _Window | None:
    """What arrives in a passage: from its own next steps, and [T, B, ·] from elsewhere. Zero past a row's end."""
    if all(g is None for g in more):
        return window
    valid = passage.run.valid[..., None]
    whole = [None if g is None else torch.where(valid, g, 0.0) for g in more]
    if window is not None:
        for k, g in enumerate(window.d):
            if g is not None:
                own = torch.zeros_like(passage.leaves[k])
                own[window.span] = g
                whole[k] = _added(whole[k], own)
    some = [(g != 0).flatten(1).any(1) for g in whole if g is not None]
    steps = torch.stack(some).any(0).nonzero()
    if not len(steps):
        return None
    span = slice(int(steps[0]), int(steps[-1]) + 1)
    return _Window(span, [None if g is None else g[span] for g in whole])


def _a_step_back(
    passage: Passage, span: slice, previous: tuple[Tensor, ...]
) -> tuple[_Window | None, list[Tensor | None]]:
    """Gradients of the states before the steps of `span`, as those after the steps before, and of `start` and `own`."""
    run, move = passage.run, 1 if passage.run.reverse else -1
    first, anew = (begin[span, :, None] for begin in run.begins)
    low, high = max(span.start + move, 0), min(span.stop + move, len(run.x))
    kept = slice(low - move - span.start, high - move - span.start)
    d = [torch.where(first | anew, 0.0, g)[kept] for g in previous]
    starts: list[Tensor | None] = []
    for begin, states in ((first, passage.start), (anew, passage.own)):
        some = bool(begin.any())
        for g, start in zip(previous, states):
            starts.append(torch.where(begin, g, 0.0).sum(0) if some and start.requires_grad else None)
    return (_Window(slice(low, high), [None, *d]) if any(g.any() for g in d) else None), starts


def _summed(loss: object, where: str) -> Tensor:
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        received = "one without a gradient" if isinstance(loss, Tensor) else type(loss).__name__
        remedy = 'Return such as sequence_loss(model(x), target, reduction="none").'
        raise InputError(
            phrase(where, "loss_per_step", "a function from the model to a tensor of losses", received, remedy)
        )
    return loss.sum()


def _added(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _or_zeros(g: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if g is None else g
