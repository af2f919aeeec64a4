"""Whether a model reads other steps only through its recurrent layers: found by changing them and looking.

A window begins and ends in mid-stream. A model that looks across steps by itself (attention, a convolution or a mean
over time, batch normalisation in training) would see the window's edges, and its gradients would be those of another
model. Neither its text nor its graph is read: values are changed at some steps, in the model's inputs and behind its
recurrent layers, and nothing may change at the others.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, phrase
from ..execution.observer import unwatched
from .carrier import WHERE, Carrier, Result, States
from .chunks import each, span, tensors
from .generators import Generators, moved


class _Record:
    """Keeps what goes in and out of layers; on demand puts other outputs in the place of a layer's own."""

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
    carrier: Carrier,
    generators: Generators,
    inputs: Sequence[Any],
    same: dict[str, Any],
    states: States,
    resets: Tensor | None,
    steps: int,
    batch_first: bool,
) -> None:
    """Raises InputError where the model's output, or a layer's input, at one step depends on another step.

    Four calls of the model without gradients: as it is; with all steps of the first half changed, then of the second;
    and of the second half alone, in which steps have other numbers. Random numbers and buffers are as before
    afterwards. Layers keep their recorded outputs where nothing was changed, so no recurrence carries a change along,
    and rounding cannot grow.
    """
    axis, half = int(batch_first), steps // 2
    layer_axis = {name: int(layer.batch_first) for name, layer in carrier.layers.items()}

    def run(given: Sequence[Any], tap: _Record, first: int = 0) -> dict[str, Any]:
        part = None if resets is None else span(resets, axis, first, steps)
        result = carrier.run(given, same, {} if first else states, part, steps - first, batch_first, tap)
        seen = {f"the input of layer {name!r}": (_axis(x, layer_axis[name]), x) for name, x in tap.inputs.items()}
        return {**seen, "its output": (axis, along_time(result, axis, steps - first))}

    before = generators.read()
    with _buffers_kept(carrier.model), generators.left_alone(), unwatched():
        plain = _Record()
        expected = run(inputs, plain)
        random = moved(before, generators.read())
        for first, last in ((0, half), (half, steps)):
            changed = each(lambda t: _changed(t, axis, first, last), inputs)  # noqa: B023
            instead = {name: _changed(y, _axis(y, layer_axis[name]), first, last) for name, y in plain.outputs.items()}
            generators.write(before)
            found = run(changed, _Record(instead))
            rest = (half, steps) if first == 0 else (0, half)
            for what, (along, value) in found.items():
                _compare(what, span(value, along, *rest), span(expected[what][1], along, *rest), carrier.model, rest)
        if random:
            return
        instead = {name: span(y, _axis(y, layer_axis[name]), half, steps) for name, y in plain.outputs.items()}
        for what, (along, value) in run(span(inputs, axis, half, steps), _Record(instead), half).items():
            _compare(what, value, span(expected[what][1], along, half, steps), carrier.model, None)


def along_time(result: Result, axis: int, steps: int) -> list[Tensor]:
    """The tensors of a model's output that have its steps; refuses an output that has none."""
    own = {id(t) for t in tensors(result.states)}
    found = [t for t in tensors(result.output) if has_steps(t, axis, steps, own)]
    if not found:
        shapes = ", ".join(str(list(t.shape)) for t in tensors(result.output)) or type(result.output).__name__
        remedy = "A loss looks at single steps; a model that sums a window up has no output for them."
        expected = f"one output for each of the {steps} steps along dimension {axis}"
        raise InputError(phrase(WHERE, "what the model returns", expected, shapes, remedy))
    return found


def has_steps(t: Tensor, axis: int, steps: int, own: set[int]) -> bool:
    """Whether a tensor that a model returned has time along `axis`; the layers' states (`own`, by identity) do not."""
    return id(t) not in own and t.dim() > axis and t.shape[axis] == steps


def _axis(t: Tensor, batch_first: int) -> int:
    """Where a layer has time."""
    return batch_first if t.dim() == 3 else 0


def _changed(t: Tensor, axis: int, first: int, last: int) -> Tensor:
    """t with other values at steps first, …, last - 1: each is one of t's own, so that numbers of words stay such."""
    made = torch.Generator("cpu").manual_seed(first + 1)
    flat = t.transpose(0, axis) if axis else t
    rows = flat.reshape(-1, *flat.shape[2:]) if flat.dim() > 1 else flat
    lead = flat.shape[: min(2, flat.dim())]
    chosen = torch.randint(len(rows), lead, generator=made, device="cpu").to(t.device)
    others = rows[chosen]
    changed = flat.clone()
    changed[first:last] = others[first:last]
    return changed.transpose(0, axis) if axis else changed


def _compare(what: str, found: Any, expected: Any, model: nn.Module, steps: tuple[int, int] | None) -> None:
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        if _same(a, b):
            continue
        if steps is None:
            received = f"{type(model).__name__}, where {what} depends on a step's place in the call"
        else:
            side = "after" if steps[0] == 0 else "before"
            at = f"at steps {steps[0]} to {steps[1] - 1}"
            received = f"{type(model).__name__}, where {what} {at} changes with the steps {side} them"
        remedy = (
            "Windows begin in mid-stream, where attention, a convolution, a mean or positions over time, batch "
            "normalisation in training, or a state kept elsewhere would see an edge."
        )
        expectation = "one that reads other steps through its recurrent layers alone"
        raise InputError(phrase(WHERE, "model", expectation, received, remedy))


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal but for the rounding of products of another size."""
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
    """Running statistics and their like, put back as they were."""
    kept: list[tuple[Tensor, Tensor]] = [(b, b.clone()) for b in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)
