"""What answers in the place of a layer's sequence: for one context, so that calls in other threads run as ever."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import _torch_private
from ..errors import InputError, phrase
from ..execution.routing import seen
from .structure import LayerStructure

Answer = Callable[..., Any]
"""Called as `Layer._sequence`, with the layer first: layer, x, state, lengths, resets, return_states."""
Find = Callable[[Any], Answer | None]
"""A layer → what answers for it; None where the layer itself runs."""

_STAND_IN: ContextVar[Find | None] = ContextVar("ostinato_stand_in", default=None)


@contextmanager
def standing_in(find: Find) -> Iterator[None]:
    """Calls inside, of `forward` and of `step`, are answered by what `find` gives, else by what did so before."""
    outer = _STAND_IN.get()
    token = _STAND_IN.set(find if outer is None else lambda layer: find(layer) or outer(layer))
    try:
        yield
    finally:
        _STAND_IN.reset(token)


@contextmanager
def nothing_standing_in() -> Iterator[None]:
    """Calls inside run the layers themselves."""
    token = _STAND_IN.set(None)
    try:
        yield
    finally:
        _STAND_IN.reset(token)


def some_stand_in() -> bool:
    """Whether any layer is answered for in this context."""
    return _STAND_IN.get() is not None


def stand_in(layer: LayerStructure) -> Answer | None:
    """What answers for a layer here. torch.compile cannot trace the question; what it compiles runs the layer."""
    if torch.compiler.is_dynamo_compiling():
        return None
    find = _STAND_IN.get()
    return None if find is None else find(layer)


def inside_torch_onnx(x: Tensor | PackedSequence) -> bool:
    """Whether torch.onnx.export makes this call, itself or through torch.export and torch.compile."""
    data = x.data if isinstance(x, PackedSequence) else x
    return isinstance(data, Tensor) and seen([data]) and _called_by_torch_onnx()


@_torch_private.constant_result
def _called_by_torch_onnx() -> bool:
    """torch.onnx.is_in_onnx_export() says that some thread exports; the frames of this one say whether it does."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("torch.onnx."):
            return True
        frame = frame.f_back
    return False


def refuse_torch_onnx(layer: LayerStructure) -> None:
    """For torch.onnx.export, which has no translation of a layer."""
    remedy = "Write ostinato.export.onnx(model, path, args): layers become ONNX's RNN, GRU, LSTM or Scan."
    where = type(layer).__name__
    raise InputError(phrase(where, "the exporter", "ostinato.export.onnx", "torch.onnx.export", remedy))
