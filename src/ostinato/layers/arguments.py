"""Checks of a call's arguments, and the shapes that a state must have."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import _torch_private
from ..caching import bounded_cache
from ..cells import Cell
from ..errors import InputError, OstinatoError, ShapeError, phrase
from ..execution import backends
from ..execution.reference_backend import autocast_on
from ..execution.routing import needs_registered_op
from ..ragged.lengths import Lengths, given_lengths
from ..ragged_layout import RaggedLayout
from .structure import LayerStructure

State = Any
"""A tensor [D·L, B, H] for a cell of one state, a tuple of them, in the order of the cell's arguments, for several."""

_BATCH = "[T, B, C] or [T, C]"
_MAKE = "Write torch.as_tensor(x)."
_SIZE = "Build the layer with that input_size, or map x to it with nn.Linear."
_AGAIN = "Give what an earlier call returned, or none to start at zeros."


def state_shapes(layer: LayerStructure, x: Tensor | PackedSequence) -> tuple[tuple[int, ...], ...]:
    """[D·L, B, H] of each state as the caller gives it; [D·L, H] for one sequence; P for H behind a projection."""
    if isinstance(x, PackedSequence):
        rows = [int(x.batch_sizes[0])]
    else:
        rows = [] if x.dim() == 2 else [x.shape[0 if layer.batch_first else 1]]
    lead = (layer.num_layers * (2 if layer.bidirectional else 1), *rows)
    # torch.compile cannot trace a cache, and its sizes may be symbols.
    shapes = shapes_of_states.__wrapped__ if torch.compiler.is_compiling() else shapes_of_states
    return shapes(layer.cell.state_widths, lead, layer.hidden_size, layer.proj_size)


@bounded_cache(1 << 20, size_of=lambda found, *_: 256 * len(found))
def shapes_of_states(widths: tuple[str, ...], lead: tuple[int, ...], H: int, P: int) -> tuple[tuple[int, ...], ...]:
    """`lead` and the width of each state, H, or P for the state of a projection."""
    return tuple([(*lead, (P or H) if w == "P" else H) for w in widths])


def check_arguments(
    layer: LayerStructure, x: Any, state: State, weights: Sequence[Sequence[Tensor]], lengths: Lengths
) -> OstinatoError | None:
    """The error for arguments that are wrong; None where they are right."""
    where, packed = type(layer).__name__, isinstance(x, PackedSequence)
    data = x.data if packed else x
    if not isinstance(data, Tensor):
        return InputError(phrase(where, "x", "a tensor or a PackedSequence", type(data).__name__, _MAKE))
    if data.layout is not torch.strided and not data.is_nested:
        return InputError(phrase(where, "x", "a dense tensor", f"one of layout {data.layout}", "Write x.to_dense()."))
    if data.dim() not in ((2,) if packed else (2, 3)):
        expected = "packed rows [R, C]" if packed else "[B, T, C] or [T, C]" if layer.batch_first else _BATCH
        kind = ShapeError if packed else InputError
        return kind(phrase(where, "x", expected, f"{data.dim()} dimensions", "One step goes to layer.step."))
    wrong_sizes = _sizes_problem(where, x) if packed else None
    if wrong_sizes is not None:
        return wrong_sizes
    if data.shape[-1] != layer.input_size:
        expected = f"of input_size = {layer.input_size} features at the end"
        return ShapeError(phrase(where, "x", expected, f"a shape of {list(data.shape)}", _SIZE))
    if not packed and lengths is None and data.shape[1 if layer.batch_first and data.dim() == 3 else 0] == 0:
        remedy = "Sequences without a step can stand in a batch with lengths=."
        return ShapeError(phrase(where, "x", "of at least one step", "T = 0", remedy))
    own = next((w for group in weights for w in group), data)
    if data.device != own.device:
        remedy = "Move x with x.to(device) or the layer with layer.to(device)."
        return InputError(phrase(where, "x", f"on the weights' device, {own.device}", data.device, remedy))
    if data.dtype != own.dtype and not autocast_on(data.device.type):
        remedy = "Convert x with x.to(dtype) or the layer with layer.to(dtype)."
        return InputError(phrase(where, "x", f"of the weights' number type, {own.dtype}", data.dtype, remedy))
    return None if state is None else _state_problem(layer, x, data, state)


def weight_problem(
    layer: LayerStructure, weights: Sequence[Sequence[Tensor]], learned: Sequence[Sequence[str]]
) -> ShapeError | None:
    """The error for a weight or a learned state of another shape than the layer's sizes say, which kernels rely on.

    weights  those of each layer and direction, as the cell takes them
    learned  the parameters of each state's learned initial values
    """
    names, directions = layer._weight_names(), 2 if layer.bidirectional else 1
    width = layer.cell.width(layer.cell.output_width, layer.input_size, layer.hidden_size, layer.proj_size)
    for k, group in enumerate(weights):
        columns = layer.input_size if k < directions else width * directions
        shapes = _weight_shapes(layer.cell.text, columns, layer.hidden_size, layer.proj_size)
        for name, t, shape in zip(names[k], group, shapes, strict=True):
            if t.shape != shape:
                return _wrong_weight(layer, name, t, shape)
    for symbol, own in zip(layer.cell.state_widths, learned):
        shape = (layer.cell.width(symbol, layer.input_size, layer.hidden_size, layer.proj_size),)
        for name in own:
            if getattr(layer, name).shape != shape:
                return _wrong_weight(layer, name, getattr(layer, name), shape)
    return None


def _wrong_weight(layer: LayerStructure, name: str, t: Tensor, shape: tuple[int, ...]) -> ShapeError:
    turned = len(shape) == 2 and tuple(t.shape) == shape[::-1]
    remedy = (
        f"Write {name}.t() for a weight that is stored as [features, units]."
        if turned
        else "Give the layer a parameter of this shape, or build a layer of the sizes that the weights have."
    )
    return ShapeError(phrase(type(layer).__name__, name, f"of shape {list(shape)}", list(t.shape), remedy))


@_torch_private.constant_result
def _weight_shapes(text: str, C: int, H: int, P: int) -> tuple[tuple[int, ...], ...]:
    return _known_shapes(text, C, H, P)


@bounded_cache(1 << 20, size_of=lambda found, text, *_: len(text) + 128 * len(found))
def _known_shapes(text: str, C: int, H: int, P: int) -> tuple[tuple[int, ...], ...]:
    """Cached beneath `_weight_shapes`: torch.compile refuses to look through a cache that it can see."""
    return tuple(Cell.from_text(text).parameters(C, H, P).values())


def _sizes_problem(where: str, x: PackedSequence) -> OstinatoError | None:
    """The error for a PackedSequence whose batch_sizes are impossible: one made by hand may hold anything."""
    sizes, name = x.batch_sizes, "batch_sizes"
    remedy = "Let pack_padded_sequence or pack_sequence make the PackedSequence."
    if sizes.dtype is not torch.int64 or sizes.dim() != 1 or not sizes.shape[0] or sizes.device.type != "cpu":
        received = f"{sizes.dtype} {list(sizes.shape)} on {sizes.device}"
        return InputError(phrase(where, name, "an int64 tensor [T] on the CPU, T at least 1", received, remedy))
    if needs_registered_op([sizes]):
        return None
    known, rows = sizes.numpy(), x.data.shape[0]
    if known[-1] < 0 or (known[1:] > known[:-1]).any() or known.sum() != rows:
        expected = f"rows for each step, never more than in the step before, {rows} in all as data has them"
        return ShapeError(phrase(where, name, expected, known.tolist(), remedy))
    return None


def refuse_sharded(layer: LayerStructure, x: Any, weights: Sequence[Sequence[Tensor]]) -> None:
    """Raises InputError where x or a weight is a DTensor, of which each process has only a part."""
    module = sys.modules.get("torch.distributed.tensor")
    if module is None:
        return
    where = type(layer).__name__
    if isinstance(x.data if isinstance(x, PackedSequence) else x, module.DTensor):
        raise InputError(phrase(where, "x", "a tensor", "a DTensor", "Write x.to_local() or x.full_tensor()."))
    if any(isinstance(w, module.DTensor) for group in weights for w in group):
        remedy = (
            "fully_shard gathers them for forward alone: for other calls, such as step, write "
            'torch.distributed.fsdp.register_fsdp_forward_method(module, "step") with the module that was sharded, '
            "or call its unshard() before."
        )
        raise InputError(
            phrase(where, "the weights", "whole tensors", "DTensors, of which each process has a part", remedy)
        )


def by_length(
    layer: LayerStructure, lengths: Lengths, shape: Sequence[int]
) -> tuple[Tensor, RaggedLayout | None] | None:
    """`backends.by_length` of a call of the layer; None where the lengths are not on the CPU, or not possible.

    shape  of x, [T, B, C] or with batch_first [B, T, C]
    """
    if isinstance(lengths, Tensor) and type(lengths) is not Tensor:
        return None
    steps, batch = (shape[1], shape[0]) if layer.batch_first else (shape[0], shape[1])
    known = given_lengths(lengths, batch, True, type(layer).__name__)
    if known.dtype is not torch.int64 or not known.is_cpu:
        return None
    return backends.by_length(known, steps, layer.batch_first)


def _state_problem(
    layer: LayerStructure, x: Tensor | PackedSequence, data: Tensor, state: State
) -> OstinatoError | None:
    where, cell = type(layer).__name__, layer.cell
    parts = (state,) if len(cell.states) == 1 else state
    expected = f"a tuple of tensors ({', '.join(cell.states)})" if len(cell.states) > 1 else "a tensor"
    if not isinstance(parts, tuple | list) or not all(isinstance(s, Tensor) for s in parts):
        return InputError(phrase(where, "state", expected, _kind(state), _AGAIN))
    if len(parts) != len(cell.states):
        return ShapeError(phrase(where, "state", expected, f"{len(parts)} of them", _AGAIN))
    for name, s, shape in zip(cell.states, parts, state_shapes(layer, x), strict=True):
        label = "state" if len(parts) == 1 else f"state {name}"
        if s.shape != shape:
            remedy = "A state has one row for each layer and direction, also with batch_first."
            return ShapeError(phrase(where, label, f"of shape {list(shape)}", list(s.shape), remedy))
        if s.device != data.device:
            return InputError(
                phrase(where, label, f"on the device of x, {data.device}", s.device, "Move it with .to(device).")
            )
        if s.dtype != data.dtype and not autocast_on(data.device.type):
            remedy = "Convert it with .to(dtype)."
            return InputError(phrase(where, label, f"of the number type of x, {data.dtype}", s.dtype, remedy))
    return None


def _kind(state: object) -> str:
    if not isinstance(state, tuple | list):
        return type(state).__name__
    return f"{type(state).__name__} of {', '.join(type(s).__name__ for s in state) or 'nothing'}"
