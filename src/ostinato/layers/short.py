"""The short way for the shortest calls: one layer, one direction, without gradients, in microseconds.

It answers calls in which there is nothing to decide and leaves all others, wrong ones too, to the way that asks about
everything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from . import engine
from .plain import autocast_on
from .routing import KERNELS, way

if TYPE_CHECKING:
    from .layer import Layer


@lru_cache(maxsize=64)
def _zeros(shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """A start that is only ever read."""
    return torch.zeros(shape, dtype=kind)


def short(layer: Layer, x: Any, state: Any) -> tuple[Tensor, Any] | None:
    """(output, state) of a dense batch x [T, B, C] or [B, T, C]; None where the call is of another kind."""
    if torch.is_grad_enabled() or type(x) is not Tensor or layer.num_layers != 1 or layer.bidirectional:
        return None
    if x.dim() != 3 or x.shape[2] != layer.input_size or not x.numel() or autocast_on("cpu"):
        return None
    cell, parameters, kind = layer.cell, layer._parameters, x.dtype
    weights: list[Any] = [parameters.get(name) for name in layer._weight_names()[0]]
    batch = x.shape[0 if layer.batch_first else 1]
    shapes = [(1, batch, (layer.proj_size or layer.hidden_size) if w == "P" else layer.hidden_size)
              for w in cell.state_widths]  # fmt: skip
    if state is None:
        states: Any = [_zeros(shape, kind) for shape in shapes]
    else:
        states = (state,) if len(shapes) == 1 else state
        if type(states) not in (tuple, list) or len(states) != len(shapes):
            return None
    for s, shape in zip(states, shapes):
        if not isinstance(s, Tensor) or s.shape != shape or s.dtype is not kind or not s.is_contiguous():
            return None
    for w in weights:
        if w is None or w.dtype is not kind or not w.is_contiguous():
            return None
    if way([x, *states, *weights]) != KERNELS:
        return None
    rows = x.transpose(0, 1) if layer.batch_first else x
    rows = rows if rows.is_contiguous() else rows.contiguous()
    output, finals, _, _ = engine.forward(cell, rows, states, weights, None, False, False, False)
    if layer.batch_first:
        output = output.transpose(0, 1)
    return output, finals[0] if len(finals) == 1 else tuple(finals)
