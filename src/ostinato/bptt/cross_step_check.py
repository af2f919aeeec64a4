"""Checks by perturbation that a model passes information between steps only through its recurrent layers.

A window begins and ends in mid-stream. A model that mixes steps by itself (attention, a convolution or a mean over
time, batch normalisation in training) would depend on the window's edges, and its gradients would be wrong. Neither
its source nor its graph is read: values are changed at some steps, in the model's inputs and in the outputs of its
recurrent layers, and the values at all other steps must stay as they were.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, phrase
from ..execution.interception import not_observed
from .chunks import span, tree_map, tree_tensors
from .generators import Generators, rng_advanced
from .state_injector import WHERE, Result, StateInjector, States


class _Record:
    """A hook that records the inputs and outputs of layers, and replaces the outputs where `instead` is given."""

    def __init__(self, instead: dict[str, Tensor] | None = None) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.instead = instead

    def before(self, name: str, x: Tensor) -> None:
        self.inputs[name] = x

    def after(self, name: str, output: Tensor) -> Tensor:
        self.outputs[name] = output
        return output if self.instead is None else self.instead[name]


@torch.no_grad()
def refuse_other_steps(
    injector: StateInjector,
    generators: Generators,
    inputs: Sequence[Any],
    static_kwargs: dict[str, Any],
    states: States,
    resets: Tensor | None,
    steps: int,
    batch_first: bool,
) -> None:
    """Raises InputError where the model's output, or a layer's input, at one step depends on another step.

    It calls the model four times without gradients: unchanged; with the first half of the steps changed; with the
    second half changed; and on the second half alone, whose steps then have other indices. Generators and buffers are
    restored. At unchanged steps the layers return their recorded outputs, so no recurrence propagates a change, and
    rounding errors do not grow.
    """
    axis, half = int(batch_first), steps // 2
    layer_axis = {name: int(layer.batch_first) for name, layer in injector.layers.items()}

    def run(arguments: Sequence[Any], hook: _Record, first: int = 0) -> dict[str, Any]:
        part = None if resets is None else span(resets, axis, first, steps)
        result = injector.run(arguments, static_kwargs, {} if first else states, part, steps - first, batch_first, hook)
        seen = {f"the input of layer {name!r}": (_axis(x, layer_axis[name]), x) for name, x in hook.inputs.items()}
        return {**seen, "its output": (axis, along_time(result, axis, steps - first))}

    before = generators.read()
    with _buffers_kept(injector.model), generators.preserve_rng(), not_observed():
        plain = _Record()
        expected = run(inputs, plain)
        random = rng_advanced(before, generators.read())
        for first, last in ((0, half), (half, steps)):
            changed = tree_map(lambda t: _changed(t, axis, first, last), inputs)  # noqa: B023
            instead = {name: _changed(y, _axis(y, layer_axis[name]), first, last) for name, y in plain.outputs.items()}
            generators.write(before)
            perturbed = run(changed, _Record(instead))
            rest = (half, steps) if first == 0 else (0, half)
            for what, (along, value) in perturbed.items():
                _compare(what, span(value, along, *rest), span(expected[what][1], along, *rest), injector.model, rest)
        if random:
            return
        instead = {name: span(y, _axis(y, layer_axis[name]), half, steps) for name, y in plain.outputs.items()}
        for what, (along, value) in run(span(inputs, axis, half, steps), _Record(instead), half).items():
            _compare(what, value, span(expected[what][1], along, half, steps), injector.model, None)


def along_time(result: Result, axis: int, steps: int) -> list[Tensor]:
    """The tensors of a model's output that have a time axis. Raises InputError where there are none."""
    state_ids = {id(t) for t in tree_tensors(result.states)}
    timed = [t for t in tree_tensors(result.output) if has_steps(t, axis, steps, state_ids)]
    if not timed:
        shapes = ", ".join(str(list(t.shape)) for t in tree_tensors(result.output)) or type(result.output).__name__
        remedy = "The loss is taken at every step; return the outputs of all steps, not a summary of the window."
        expected = f"one output for each of the {steps} steps along dimension {axis}"
        raise InputError(phrase(WHERE, "what the model returns", expected, shapes, remedy))
    return timed


def has_steps(t: Tensor, axis: int, steps: int, state_ids: set[int]) -> bool:
    """Whether a tensor that a model returned has time along `axis`; the layers' states (`state_ids`) do not."""
    return id(t) not in state_ids and t.dim() > axis and t.shape[axis] == steps


def _axis(t: Tensor, batch_first: int) -> int:
    """The time axis of a layer's x or output."""
    return batch_first if t.dim() == 3 else 0


def _changed(t: Tensor, axis: int, first: int, last: int) -> Tensor:
    """t with other values at steps first, …, last - 1, all taken from t itself: indices of words stay valid."""
    generator = torch.Generator("cpu").manual_seed(first + 1)
    flat = t.transpose(0, axis) if axis else t
    rows = flat.reshape(-1, *flat.shape[2:]) if flat.dim() > 1 else flat
    lead = flat.shape[: min(2, flat.dim())]
    chosen = torch.randint(len(rows), lead, generator=generator, device="cpu").to(t.device)
    others = rows[chosen]
    changed = flat.clone()
    changed[first:last] = others[first:last]
    return changed.transpose(0, axis) if axis else changed


def _compare(what: str, values: Any, expected: Any, model: nn.Module, steps: tuple[int, int] | None) -> None:
    for a, b in zip(tree_tensors(values), tree_tensors(expected), strict=True):
        if _same(a, b):
            continue
        if steps is None:
            received = f"{type(model).__name__}, where {what} depends on a step's index in the call"
        else:
            side = "after" if steps[0] == 0 else "before"
            at = f"at steps {steps[0]} to {steps[1] - 1}"
            received = f"{type(model).__name__}, where {what} {at} changes with the steps {side} them"
        remedy = (
            "Windows begin in mid-stream: attention, convolution, mean or positions over time, batch normalisation "
            "in training, or a state kept elsewhere would depend on the window's edge."
        )
        expectation = "one that reads other steps through its recurrent layers alone"
        raise InputError(phrase(WHERE, "model", expectation, received, remedy))


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal within the rounding of matrix products of another size."""
    if a.shape != b.shape:
        return False
    equal = (a == b) | (a.isnan() & b.isnan())
    if bool(equal.all()) or not b.is_floating_point():
        return bool(equal.all())
    finite = b[b.isfinite()].abs()
    scale = finite.max().item() if finite.numel() else 0.0
    close: Tensor = (a - b).abs() <= torch.finfo(b.dtype).eps ** 0.5 * scale
    return bool((equal | close).all())


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Restores the buffers on exit, such as running statistics."""
    kept: list[tuple[Tensor, Tensor]] = [(b, b.clone()) for b in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)
