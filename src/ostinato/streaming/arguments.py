"""Inputs and outputs of a stream's calls as callers give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, OstinatoError, ShapeError, phrase
from ..network import Network
from .state import State


def input_tensor(where: str, x: Any, network: Network) -> Tensor:
    """x as a contiguous tensor of the network's type; tokens as int64. where: the call, for messages."""
    tokens, dtype = network.input.tokens, network.dtype
    if isinstance(x, np.ndarray | np.generic):
        x = _of_array(where, x)
    elif not isinstance(x, Tensor):
        given = f"dtype='{str(dtype).removeprefix('torch.')}'" if tokens is None else "dtype='int64'"
        remedy = f"Write numpy.asarray(x, {given}) or torch.as_tensor(x)."
        raise InputError(phrase(where, "x", "a torch tensor or a NumPy array", type(x).__name__, remedy))
    if not x.is_cpu:
        raise InputError(phrase(where, "x", "on the CPU", str(x.device), "Write x.cpu()."))
    check_memory(where, "x", x)
    if tokens is None:
        if not x.dtype.is_floating_point or x.dtype.itemsize > dtype.itemsize:
            remedy = f"Write x.to({dtype}); a stream has the type of its model's parameters."
            raise InputError(phrase(where, "x", f"of type {dtype}", str(x.dtype), remedy))
        return x.detach().to(dtype).resolve_neg().contiguous()
    if x.dtype.is_floating_point or x.dtype is torch.bool or x.dtype.is_complex:
        raise InputError(phrase(where, "x", "whole numbers, int64", str(x.dtype), "Give the numbers of tokens."))
    return x.to(torch.int64).contiguous()


def _of_array(where: str, x: np.ndarray | np.generic) -> Tensor:
    """The numbers of an array; the memory is its own where torch can read it."""
    if isinstance(x, np.ma.MaskedArray):
        raise InputError(phrase(where, "x", "an array without a mask", "a masked one", "Write x.filled(0)."))
    array = np.asarray(x, x.dtype.newbyteorder("="), order="C")
    try:
        # torch warns of memory that is read-only, as that of np.frombuffer is.
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except TypeError as error:
        remedy = "Write x.astype('float32')."
        raise InputError(phrase(where, "x", "an array of numbers", f"one of {x.dtype}", remedy)) from error


def output_tensor(call: str, x: Any, out: Any, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """The memory for a result: `out`, of the kind of x, or fresh memory."""
    where = f"Stream.{call}"
    if out is None:
        return torch.empty(tuple(shape), dtype=dtype, device="cpu")
    kind = Tensor if isinstance(x, Tensor) else np.ndarray
    if not isinstance(out, kind):
        raise InputError(phrase(where, "out", f"a {kind.__name__}, as x is", type(out).__name__))
    if isinstance(out, Tensor):
        whole = out.layout is torch.strided and out.is_contiguous() and not out.is_neg()
        same = out.dtype is dtype and out.is_cpu
    else:
        whole = out.flags.c_contiguous
        same = out.dtype == np.dtype(str(dtype).removeprefix("torch."))
    if tuple(out.shape) != tuple(shape) or not whole or not same:
        expected = f"contiguous {list(shape)} of type {dtype} on the CPU"
        remedy = "Write torch.empty or numpy.empty of that shape and type once, before the loop."
        received = f"{list(out.shape)} of type {out.dtype}{'' if whole else ', not contiguous'}"
        raise ShapeError(phrase(where, "out", expected, received, remedy))
    if isinstance(out, np.ndarray):
        if not out.flags.writeable:
            raise InputError(phrase(where, "out", "an array that may be written", "a read-only one"))
        return torch.from_numpy(out)
    if out.requires_grad:
        raise InputError(phrase(where, "out", "without requires_grad", "requires_grad=True", "Write out.detach()."))
    return out


def apart(x: Tensor, y: Tensor) -> Tensor:
    """x, as a copy where its memory is partly that of y: steps that are written would change those to be read."""
    first, last = x.data_ptr(), x.data_ptr() + x.nbytes
    return x.clone() if first < y.data_ptr() + y.nbytes and y.data_ptr() < last else x


def check_memory(where: str, name: str, value: Tensor) -> None:
    """Raises InputError for a tensor without plain memory: sparse, nested, or inside a function of torch.func."""
    if value.layout is not torch.strided or value.is_nested:
        remedy = f"Write {name}.to_dense(), or pad what has rows of different lengths."
        received = "nested" if value.is_nested else str(value.layout)
        raise InputError(phrase(where, name, "a dense tensor", received, remedy))
    try:
        value.data_ptr()
    except RuntimeError as error:
        remedy = "Call the stream outside of the function of torch.func."
        raise InputError(phrase(where, name, "a tensor with memory of its own", "one without", remedy)) from error


def wrong_shape(where: str, name: str, expected: Sequence[object], given: Tensor) -> OstinatoError:
    """The error for an input of other sizes."""
    step = where == "Stream.step"
    remedy = "A step has one line for each row of the stream." if step else "Time comes first."
    if step and given.dim() == len(expected) + 1:
        remedy = "Several steps at once go to push."
    sizes = f"of the sizes [{', '.join(map(str, expected))}]"
    return ShapeError(phrase(where, name, sizes, str(list(given.shape)), remedy))


def check_fingerprint(state: State, network: Network, structure: str, weights: str) -> None:
    """Raises InputError for a State of another structure or other weights than these."""
    where = "Stream.load"
    if state.structure != structure:
        remedy = f"This stream has the states {', '.join(f.name for f in network.states) or 'none'}."
        received = f"one of another network, with {', '.join(state) or 'no states'}"
        raise InputError(phrase(where, "state", "a state of the same equations and sizes", received, remedy))
    if state.weights != weights:
        remedy = 'Load the weights that it was made with, or write weights="any" to go on with these.'
        raise InputError(phrase(where, "state", "a state of the same weights", "one of others", remedy))


def check_states(state: Any, network: Network, rows: int) -> None:
    """Raises InputError or ShapeError for a dict that has other names or sizes than the network's states."""
    where, names = "Stream.load", [f.name for f in network.states]
    if not isinstance(state, Mapping):
        remedy = "Give what stream.state() returned, State.from_bytes(data), or a dict of tensors by name."
        raise InputError(phrase(where, "state", "a State or a dict", type(state).__name__, remedy))
    if set(state) != set(names):
        received = ", ".join(map(str, state)) or "none"
        raise InputError(phrase(where, "state", f"a dict of the states {', '.join(names) or 'none'}", received))
    for field in network.states:
        value = state[field.name]
        if not isinstance(value, Tensor) or value.dim() != 2 or value.shape[1] != field.width:
            received = str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__
            remedy = f"Write torch.as_tensor(value).reshape(-1, {field.width})."
            raise ShapeError(phrase(where, field.name, f"a tensor [B, {field.width}]", received, remedy))
        check_memory(where, field.name, value)
        if not value.is_cpu or value.is_complex():
            received = f"{value.dtype} on {value.device}"
            raise InputError(phrase(where, field.name, "real numbers on the CPU", received, "Write value.cpu()."))
        if len(value) not in (1, rows):
            expected = f"of {rows} rows, or of one for all of them"
            raise ShapeError(phrase(where, field.name, expected, f"{len(value)} rows", "Choose with rows=[...]."))
