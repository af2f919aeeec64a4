"""Sets the initial states of the recurrent layers inside a model, and collects their final states, with hooks.

Letters: T steps, B rows of the batch, C input features, H hidden units, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .._torch_private import compiler_loaded
from ..errors import USE_CONVERT, InputError, ShapeError, phrase
from ..layers.arguments import State
from ..layers.base import Layer
from ..layers.hooks import hooked
from .chunks import tree_map, tree_tensors

WHERE = "TruncatedBPTT"
States = dict[str, State]
"""A layer's name in the model → its state [L, B, H] or a tuple of states; an absent layer starts at its own."""

_STATELESS = "Leave the state out of the model's call of the layer; it is carried from window to window for each layer."


class LayerHook(Protocol):
    """Called with the input of a layer and with its output, which it may replace."""

    def before(self, name: str, x: Tensor) -> None: ...

    def after(self, name: str, output: Tensor) -> Tensor: ...


class Result(NamedTuple):
    """The output of a model, and each layer's state after the last step."""

    output: Any
    states: States


class StateInjector:
    """The recurrent layers of a model by name. Raises InputError for a model whose states cannot be carried over."""

    def __init__(self, model: Any) -> None:
        if not isinstance(model, nn.Module):
            remedy = "Wrap a function in a torch.nn.Module that holds its layers."
            raise InputError(phrase(WHERE, "model", "a torch.nn.Module", type(model).__name__, remedy))
        self.model: nn.Module = model
        self.layers = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
        foreign = [m for m in model.modules() if isinstance(m, nn.RNNBase) and not isinstance(m, Layer)]
        if foreign or not self.layers:
            received = f"torch.nn.{type(foreign[0]).__name__} in it" if foreign else f"none in {type(model).__name__}"
            raise InputError(phrase(WHERE, "model", "one with recurrent layers of ostinato", received, USE_CONVERT))
        for name, layer in self.layers.items():
            if layer.bidirectional:
                remedy = "Its second direction reads from the end of the stream, which is not there yet."
                raise InputError(phrase(WHERE, _called(name), "one-directional", "bidirectional=True", remedy))

    @property
    def batch_first(self) -> bool | None:
        """The layers' batch_first; None where they differ."""
        layouts = {layer.batch_first for layer in self.layers.values()}
        return layouts.pop() if len(layouts) == 1 else None

    def run(
        self,
        inputs: Sequence[Any],
        static_kwargs: dict[str, Any],
        states: States,
        resets: Tensor | None,
        steps: int,
        batch_first: bool,
        hook: LayerHook | None = None,
    ) -> Result:
        """One call of the model on `steps` steps, each layer starting from its state in `states`.

        inputs, static_kwargs  the model's positional and keyword arguments
        resets                 bool, in the layout of the inputs; passed to every layer in the layer's layout
        The hooks are removed on exit, also after an exception, and do not act on calls in other threads. A model
        under torch.compile runs uncompiled here: compiled code calls no hooks, and a compilation inside would trace
        ours.
        """
        finals: States = {}
        with _uncompiled(), ExitStack() as hooks:
            for name, layer in self.layers.items():
                before, after = _hooks(name, states, finals, resets, steps, batch_first, hook)
                hooks.enter_context(hooked(layer, before, after))
            output = self.model(*inputs, **static_kwargs)
        if not finals:
            remedy = "Call the layers themselves: layer(x). The state of a loop over layer.step cannot be carried over."
            raise InputError(phrase(WHERE, "model", "one that calls its recurrent layers", "no call of any", remedy))
        return Result(output, finals)


def detached(states: States) -> States:
    """The same states without autograd history."""
    return tree_map(Tensor.detach, states)


def _uncompiled() -> AbstractContextManager[object]:
    """Compiled functions run uncompiled inside. Without torch._dynamo loaded nothing is compiled."""
    if not compiler_loaded() or torch.compiler.is_compiling():
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def _called(name: str) -> str:
    return f"layer {name!r}" if name else "the layer"


def _hooks(
    name: str,
    states: States,
    finals: States,
    resets: Tensor | None,
    steps: int,
    batch_first: bool,
    hook: LayerHook | None,
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward pre-hook and the forward hook of one layer."""

    def before(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if name in finals:
            remedy = "A layer has one state. Build two layers; they may share their parameters."
            raise InputError(phrase(WHERE, _called(name), "called once in a step", "a second call", remedy))
        finals[name] = None
        x = _time_checked(name, layer, args, kwargs, steps)
        given = [s for s in (*args[1:2], kwargs.get("state"), kwargs.get("hx")) if s is not None]
        if any(t.requires_grad or bool(t.any()) for t in tree_tensors(given)):
            raise InputError(
                phrase(WHERE, f"the state of {_called(name)}", "left out", "one that is not 0", _STATELESS)
            )
        if name in states:
            others = {k: v for k, v in kwargs.items() if k not in ("state", "hx")}
            args, kwargs = args[:1], {**others, "state": states[name]}
        if resets is not None:
            if kwargs.get("resets") is not None:
                remedy = "The model passes resets to the layer itself; leave them out of the call."
                raise InputError(phrase(WHERE, "resets", "given once", "them twice", remedy))
            turn = resets.dim() == 2 and layer.batch_first != batch_first
            kwargs = {**kwargs, "resets": resets.t() if turn else resets}
        if hook is not None:
            hook.before(name, x)
        return args, kwargs

    def after(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], result: tuple[Any, ...]) -> Any:
        finals[name] = result[1]
        return None if hook is None else (hook.after(name, result[0]), *result[1:])

    return before, after


def _time_checked(name: str, layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any], steps: int) -> Any:
    """The layer's x. Raises where it has not the steps of the call, or where rows end early."""
    x = args[0] if args else kwargs.get("x", kwargs.get("input"))
    if isinstance(x, PackedSequence) or kwargs.get("lengths") is not None:
        received = "a PackedSequence" if isinstance(x, PackedSequence) else "lengths="
        remedy = "TruncatedBPTT does not support rows that end early; mark the start of a new sequence with resets=."
        expected = "called with rows of equal length"
        raise InputError(phrase(WHERE, _called(name), expected, received, remedy))
    time = 1 if layer.batch_first and isinstance(x, Tensor) and x.dim() == 3 else 0
    if isinstance(x, Tensor) and x.dim() in (2, 3) and x.shape[time] != steps:
        remedy = "The model must call the layer with one step for each of its own steps. Check batch_first."
        expected = f"of the {steps} steps of the call along dimension {time}"
        raise ShapeError(phrase(WHERE, f"the input of {_called(name)}", expected, list(x.shape), remedy))
    return x  # of another kind: the layer's own message says what is wrong
