"""States in and out of the recurrent layers inside a model, without the model's knowledge.

Letters: T steps, B rows of the batch, C input features, H hidden units, L layers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError, ShapeError, phrase
from ..layers.arguments import State
from ..layers.base import Layer
from ..layers.hooks import hooked
from .chunks import each, tensors

WHERE = "TruncatedBPTT"
States = dict[str, State]
"""A layer's name in the model → its state [L, B, H], or a tuple of them; a layer that is absent starts at its own."""

_STATELESS = "Leave the state out of the model's call of the layer; it is carried from window to window for each layer."


class Tap(Protocol):
    """Sees what goes into a layer, and sees and may replace what comes out."""

    def before(self, name: str, x: Tensor) -> None: ...

    def after(self, name: str, output: Tensor) -> Tensor: ...


class Result(NamedTuple):
    """What a model returned, and the state of each layer behind its last step."""

    output: Any
    states: States


class Carrier:
    """The layers of a model by name. Raises InputError for a model in which a state cannot be carried."""

    def __init__(self, model: Any) -> None:
        if not isinstance(model, nn.Module):
            remedy = "Wrap a function in a torch.nn.Module that holds its layers."
            raise InputError(phrase(WHERE, "model", "a torch.nn.Module", type(model).__name__, remedy))
        self.model: nn.Module = model
        self.layers = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
        convert = "ostinato.convert(model) swaps torch.nn's recurrent layers in place."
        foreign = [m for m in model.modules() if isinstance(m, nn.RNNBase) and not isinstance(m, Layer)]
        if foreign or not self.layers:
            received = f"torch.nn.{type(foreign[0]).__name__} in it" if foreign else f"none in {type(model).__name__}"
            raise InputError(phrase(WHERE, "model", "one with recurrent layers of ostinato", received, convert))
        for name, layer in self.layers.items():
            if layer.bidirectional:
                remedy = "Its second direction reads from the end of the stream, which is not there yet."
                raise InputError(phrase(WHERE, _called(name), "one-directional", "bidirectional=True", remedy))

    @property
    def batch_first(self) -> bool | None:
        """What all layers say; None where they differ."""
        found = {layer.batch_first for layer in self.layers.values()}
        return found.pop() if len(found) == 1 else None

    def run(
        self,
        inputs: Sequence[Any],
        same: dict[str, Any],
        states: States,
        resets: Tensor | None,
        steps: int,
        batch_first: bool,
        tap: Tap | None = None,
    ) -> Result:
        """One call of the model on `steps` steps, each layer from its state in `states`.

        inputs  go to the model by place, `same` by name
        resets  bool, as the inputs have their steps; given to every layer as it has its own
        The hooks that do it are gone afterwards, whatever happens; calls in other threads pass them by. What
        torch.compile made of the model is left aside meanwhile: it asks for no hooks once it is compiled, and would
        keep ours where it is compiled now.
        """
        found: States = {}
        with _uncompiled(), ExitStack() as hooks:
            for name, layer in self.layers.items():
                before, after = _hooks(name, states, found, resets, steps, batch_first, tap)
                hooks.enter_context(hooked(layer, before, after))
            output = self.model(*inputs, **same)
        if not found:
            remedy = "Call the layers themselves: layer(x). A loop over layer.step keeps its state out of sight."
            raise InputError(phrase(WHERE, "model", "one that calls its recurrent layers", "no call of any", remedy))
        return Result(output, found)


def detached(states: States) -> States:
    """The same values without their history."""
    return each(Tensor.detach, states)


def _uncompiled() -> AbstractContextManager[object]:
    """Compiled functions run as they were written. What is not loaded has compiled nothing."""
    if "torch._dynamo" not in sys.modules or torch.compiler.is_compiling():
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _called(name: str) -> str:
    return f"layer {name!r}" if name else "the layer"


def _hooks(
    name: str,
    states: States,
    found: States,
    resets: Tensor | None,
    steps: int,
    batch_first: bool,
    tap: Tap | None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What runs before and after one layer's forward."""

    def before(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if name in found:
            remedy = "A layer has one state. Build two layers; they may share their parameters."
            raise InputError(phrase(WHERE, _called(name), "called once in a step", "a second call", remedy))
        found[name] = None
        x = _time_checked(name, layer, args, kwargs, steps)
        given = [s for s in (*args[1:2], kwargs.get("state"), kwargs.get("hx")) if s is not None]
        if any(t.requires_grad or bool(t.any()) for t in tensors(given)):
            raise InputError(
                phrase(WHERE, f"the state of {_called(name)}", "left out", "one that is not 0", _STATELESS)
            )
        if name in states:
            others = {k: v for k, v in kwargs.items() if k not in ("state", "hx")}
            args, kwargs = args[:1], {**others, "state": states[name]}
        if resets is not None:
            if kwargs.get("resets") is not None:
                remedy = "The model gives them to the layer itself; leave them out of the call."
                raise InputError(phrase(WHERE, "resets", "given once", "them twice", remedy))
            turn = resets.dim() == 2 and layer.batch_first != batch_first
            kwargs = {**kwargs, "resets": resets.t() if turn else resets}
        if tap is not None:
            tap.before(name, x)
        return args, kwargs

    def after(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], result: tuple[Any, ...]) -> Any:
        found[name] = result[1]
        return None if tap is None else (tap.after(name, result[0]), *result[1:])

    return before, after


def _time_checked(name: str, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], steps: int) -> Any:
    """The layer's x, which must have the steps of the call, all of them in every row."""
    x = args[0] if args else kwargs.get("x", kwargs.get("input"))
    if isinstance(x, PackedSequence) or kwargs.get("lengths") is not None:
        received = "a PackedSequence" if isinstance(x, PackedSequence) else "lengths="
        remedy = "TruncatedBPTT does not support rows that end early; mark the start of a new sequence with resets=."
        expected = "called with rows of equal length"
        raise InputError(phrase(WHERE, _called(name), expected, received, remedy))
    time = 1 if layer.batch_first and isinstance(x, Tensor) and x.dim() == 3 else 0
    if isinstance(x, Tensor) and x.dim() in (2, 3) and x.shape[time] != steps:
        remedy = "The model must give the layer one step for each of its own. Is batch_first right?"
        expected = f"of the {steps} steps of the call along dimension {time}"
        raise ShapeError(phrase(WHERE, f"the input of {_called(name)}", expected, list(x.shape), remedy))
    return x  # of another kind: the layer's own message says what is wrong
