"""The short way for calls in which there is nothing to decide: one layer, one direction, dense or with lengths.

It costs microseconds, more of them where a kernel has just emptied the processor's caches: every call counts. All other
calls, wrong ones too, it leaves to the way that asks about everything.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..caching import bounded_cache, graph_bytes, tensor_bytes
from ..cells import Cell
from ..errors import ShapeError
from ..execution import backends
from ..execution.autograd import SequenceNode, differentiable
from ..execution.observer import WATCHER
from ..execution.routing import straight
from ..ragged.lengths import Lengths, given_lengths
from ..sequence import SequenceCall
from .dropout import DenseMasks
from .interception import some_stand_in
from .structure import LayerStructure

_KEPT = 64
"""Rows up to which initial states of zeros are kept for the next call of their sizes."""


@bounded_cache(8 << 20, size_of=lambda found, cell: graph_bytes(cell))
def _node(cell: Cell) -> SequenceNode:
    return SequenceNode(backends.kernels(), cell, reverse=False, histories=False)


@bounded_cache(1 << 20, size_of=lambda found, *_: 256 * len(found))
def _shapes(widths: tuple[str, ...], batch: int, hidden: int, projected: int) -> tuple[tuple[int, int, int], ...]:
    return tuple((1, batch, (projected or hidden) if w == "P" else hidden) for w in widths)


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes(found))
def _starts(shapes: tuple[tuple[int, int, int], ...], kind: torch.dtype) -> tuple[Tensor, ...]:
    """Initial states of zeros, which are only ever read; each its own, as tensors that differ are checked at once."""
    return tuple(backends.zeros(own, kind, k) for k, own in enumerate(shapes))


def short(layer: LayerStructure, x: Any, state: Any, lengths: Lengths = None) -> tuple[Tensor, Any] | None:
    """(output, state) of a batch x [T, B, C] or [B, T, C], dense or with lengths; None for calls of other kinds."""
    if (
        torch.compiler.is_dynamo_compiling()
        or type(x) is not Tensor
        or layer.num_layers != 1
        or layer.bidirectional
        or not x.is_cpu
        or (lengths is not None and layer._draws and layer.training)
    ):
        return None
    if WATCHER.get() is not None or some_stand_in():
        return None
    shape = x.shape
    if len(shape) != 3 or shape[2] != layer.input_size or 0 in shape or torch.is_autocast_enabled("cpu"):
        return None
    cell, parameters, kind, batch_first = layer.running, layer._parameters, x.dtype, layer.batch_first
    if kind is not torch.float32 and kind is not torch.float64:
        return None
    batch = shape[0 if batch_first else 1]
    shapes = _shapes(cell.state_widths, batch, layer.hidden_size, layer.proj_size)
    if state is None:
        if layer.options.learn_initial_state:
            return None
        tensors: list[Any] = [x, *(_starts if batch <= _KEPT else _starts.__wrapped__)(shapes, kind)]
    else:
        states = (state,) if len(shapes) == 1 else state
        if type(states) not in (tuple, list) or len(states) != len(shapes):
            return None
        for s, expected in zip(states, shapes):
            if not isinstance(s, Tensor) or s.shape != expected:
                return None
        tensors = [x, *states]
    tensors += [parameters.get(name) for name in layer._first_names()]
    if not straight([*tensors, lengths] if isinstance(lengths, Tensor) else tensors):
        return None
    for t in tensors:
        if t.dtype is not kind or not t.is_cpu:
            return None
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if learning and layer.options.checkpoint is not None:
        return None
    sizes = where = None
    if lengths is not None:
        steps = shape[1 if batch_first else 0]
        known = given_lengths(lengths, batch, True, type(layer).__name__)
        found = backends.by_length(known, steps, batch_first) if known.dtype is torch.int64 and known.is_cpu else None
        if found is None:
            return None
        sizes, where = found if found[1] is not None else (None, None)
    n = 1 + len(shapes)
    if not all(map(Tensor.is_contiguous, tensors)):
        tensors = [t.contiguous() for t in tensors]
    turned = batch_first and where is None
    if turned:
        tensors[0] = x.transpose(0, 1).contiguous()
    noise = None
    if layer._draws and layer.training:
        # The seed is drawn here and not before: a call that is turned away draws its own.
        masks = DenseMasks(layer, x, batch)
        tensors[0] = masks.inputs(tensors[0], 0)
        tensors[n:] = masks.weights(cell, tensors[n:], 0)
        noise = masks.noise(0) if cell.random else None
    x, states, weights = tensors[0], tensors[1:n], tensors[n:]
    try:
        if learning:
            node = _node(cell) if where is None else _node(cell)._replace(rows=where)
            result = differentiable(node, x, states, weights, sizes, noise)
        else:
            call = SequenceCall(cell, x, states, weights, sizes, False, noise, where)
            result = backends.kernels().forward(call, False, False)
    except ShapeError:  # of a weight: the other way knows its name in the layer
        return None
    output, finals = result.output, result.final_states
    if turned:
        output = output.transpose(0, 1)
    return output, finals[0] if n == 2 else tuple(finals)
