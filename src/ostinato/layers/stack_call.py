"""`StackCall`: a call of all layers and directions, and `direct_call`, which runs the calls that need no preparation.

Letters: T steps, B rows of the batch, C input features, H hidden units, L layers, D directions, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import _torch_private
from ..caching import bounded_cache, tensor_bytes
from ..cells import Cell
from ..errors import InputError, ShapeError
from ..execution import backends
from ..execution.dispatch import DispatchPlan, execute_direct, plan_call
from ..execution.observer import SequenceObserver
from ..execution.routing import KERNELS, choose_backend
from ..ragged.batch import Batch, Ragged
from ..ragged.lengths import Lengths
from ..ragged.segments import DenseIndex
from ..ragged_layout import RaggedLayout
from ..sequence import SequenceCall
from .arguments import by_length, shapes_of_states
from .dropout import Masks
from .inline_cache import note_call
from .structure import LayerStructure

_KEPT = 64
"""Rows up to which initial states of zeros are kept for the next call of their sizes."""


@dataclass(slots=True)
class StackCall:
    """What all layers and directions of one call share."""

    cell: Cell
    """The equations of every layer and direction."""
    x: Tensor
    """[T, B, C] or packed rows [R, C]; laid out as the caller has it with `rows`."""
    states: Sequence[Tensor]
    """The initial states, [D·L, B, ·] each."""
    weights: Sequence[Sequence[Tensor]]
    """Of each layer and direction, as the cell takes them."""
    sizes: Tensor | None = None
    """As `SequenceCall.batch_sizes`."""
    rows: RaggedLayout | None = None
    """As `SequenceCall.rows`."""
    plan: DispatchPlan | None = None
    """How the sequences run, where that is known and all tensors are contiguous; else `Layer._layers` plans them."""
    masks: Masks | None = None
    has_padding_rows: bool = False
    """Whether packed rows may include lines, steps and rows that belong to no sequence."""
    histories: bool = False
    """Whether the states after every step are returned."""
    observers: Callable[[int, int], SequenceObserver] | None = None
    """(layer, direction) → its observer."""


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes(found))
def _zeros(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Initial states of zeros, only ever read; different tensors, as the check of a call's tensors demands."""
    return tuple(backends.zeros(shape, dtype, k) for k, shape in enumerate(shapes))


def direct_call(layer: LayerStructure, x: Any, state: Any, lengths: Lengths) -> tuple[Tensor, Any] | None:
    """(output, final state) of a call in which kernels run on the caller's own tensors: of a batch x [T, B, C] or
    [B, T, C], dense or with lengths, whose plan is direct. None for all other calls: these are to be checked, converted
    or packed.

    A small call costs little more than this function, so it reads only what the plan does not depend on.
    """
    if type(x) is not Tensor or not x.is_cpu or x.layout is not torch.strided:
        return None
    shape, batch_first, draws = x.shape, layer.batch_first, layer._draws and layer.training
    if len(shape) != 3 or type(shape[0]) is not int:  # torch.jit.trace gives sizes as tensors, which no cache may hold
        return None
    if shape[2] != layer.input_size or 0 in shape:
        return None
    if layer.options.checkpoint is not None and torch.is_grad_enabled():
        return None
    own, cell = _torch_private.own_parameters(layer), layer.active_cell
    weights: list[list[Any]]
    try:
        weights = [[*map(own.__getitem__, names)] for names in layer._cached_names()]
    except KeyError:  # a weight is computed, by a parametrization
        return None
    batch = shape[0 if batch_first else 1]
    shapes = shapes_of_states(cell.state_widths, (len(weights), batch), layer.hidden_size, layer.proj_size)
    states: Any
    if state is None:
        if layer.options.learn_initial_state:
            return None
        states = (_zeros if batch <= _KEPT else _zeros.__wrapped__)(shapes, x.dtype)
    else:
        states = (state,) if len(shapes) == 1 else state
        if type(states) not in (tuple, list) or len(states) != len(shapes):
            return None
        for s, expected in zip(states, shapes):
            if not isinstance(s, Tensor) or s.shape != expected:
                return None
    tensors = [x, *states]
    for group in weights:
        tensors += group
    try:
        plan = plan_call(cell, tensors, False)
    except InputError:  # the layer's own checks name the tensor
        return None
    sizes = rows = None
    if plan.direct and lengths is not None:
        found = None if draws or not rows_can_stay(layer) else by_length(layer, lengths, shape)
        if found is None:
            return None
        sizes, rows = found if found[1] is not None else (None, None)
    if not plan.direct:
        return None
    if not all(map(Tensor.is_contiguous, tensors)):
        x, states = x.contiguous(), [s.contiguous() for s in states]
        weights = [[w.contiguous() for w in group] for group in weights]
    if batch_first and rows is None:
        x = x.transpose(0, 1).contiguous()
    # The seed is drawn last: a call that is not direct draws its own.
    masks = Masks(layer, x, batch, direct=True) if draws else None
    try:
        if len(weights) > 1 or masks is not None:
            output, finals, _ = layer._layers(StackCall(cell, x, states, weights, sizes, rows, plan, masks))
        else:
            call = SequenceCall(cell, x, states, weights[0], sizes, False, None, rows)
            result = execute_direct(call)
            output, finals = result.output, result.final_states
            if state is not None or batch <= _KEPT:
                note_call(layer, shape, call, states if state is None else ())
    except ShapeError:  # of a weight, which the layer's own checks name
        return None
    if batch_first and rows is None:
        output = output.transpose(0, 1)
    return output, finals[0] if len(finals) == 1 else tuple(finals)


def rows_can_stay(layer: LayerStructure) -> bool:
    """Whether a ragged batch may stay where it is: segments of a checkpoint are cut from packed rows, and dropout
    between layers is drawn for them."""
    return layer.options.checkpoint is None and not (layer.num_layers > 1 and layer.dropout and layer.training)


def try_in_place(
    layer: LayerStructure, batch: Batch, states: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]
) -> None:
    """Leaves x as the caller has it, where kernels can read a ragged batch there and lay the output out as x.

    Tracers, transforms and the reference read packed rows.
    states  as the caller has them, [D·L, B, H] each
    """
    if not isinstance(batch, Ragged) or not isinstance(batch.index, DenseIndex) or not len(batch.sizes):
        return
    x = batch.source
    if not rows_can_stay(layer) or not backends.compiled(x):
        return
    if choose_backend([x, *states, *(w for group in weights for w in group)], x.dtype) == KERNELS:
        batch.row_layout = batch.index.layout
