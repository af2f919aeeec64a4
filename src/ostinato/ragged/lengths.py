"""`lengths` and `resets` as users give them: checked, and converted to tensors.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _torch_private
from ..errors import InputError, ShapeError, phrase

Lengths = Any
"""One integer for each row: a list, an array, or an integer tensor on any device."""
Resets = Any
"""One bool for each step of each row, [T, B] as x has them: a tensor on any device, an array, or nested lists."""


def on_cpu(values: Any) -> Tensor:
    """A tensor where it is, and anything else as a tensor on the CPU, whatever the default device.

    An array may have any strides and either byte order, which torch does not take.
    """
    if isinstance(values, Tensor):
        return values
    if isinstance(values, np.ndarray) and not torch.compiler.is_compiling():  # which cannot trace its attributes
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(values.shape)
    return torch.as_tensor(values, device="cpu")


def given_lengths(lengths: Lengths, rows: int, batched: bool, where: str) -> Tensor:
    """`lengths` as a tensor of integers [B] on its own device; refuses other values than integers, and other counts."""
    if type(lengths) is Tensor and lengths.dtype is torch.int64 and lengths.shape == (rows,):
        return lengths
    remedy = "Give a list, an array or an integer tensor."
    try:
        given = on_cpu(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(phrase(where, "lengths", "integers, one for each row", repr(lengths), remedy)) from error
    if given.numel() and (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool):
        raise InputError(phrase(where, "lengths", "integers, one for each row", given.dtype, remedy))
    if given.shape != (rows,) and (batched or given.shape != ()):
        expected = f"{rows} integers, one for each row"
        raise InputError(phrase(where, "lengths", expected, f"a shape of {list(given.shape)}", remedy))
    return given.reshape(rows)


def known_values(given: Tensor, name: str, where: str) -> Tensor:
    """`given` on the CPU; refuses tensors without values that can be read: of the meta device, and divided by vmap."""
    try:
        known = given.detach().to("cpu")
        known.any().item()  # reads a value, whatever the size
    except (RuntimeError, NotImplementedError) as error:
        divided = "a tensor that torch.func.vmap divides" if _torch_private.wrapped(given) else type(given).__name__
        received = "a tensor on meta" if given.is_meta else divided
        remedy = "Give the values as a list or a tensor on the CPU, the same ones for every sample of a vmap."
        raise InputError(phrase(where, name, "a tensor whose values can be read", received, remedy)) from error
    return known


def known_lengths(given: Tensor, steps: int, where: str) -> Tensor:
    """`given` [B] as int64 on the CPU; refuses values outside 0 … T."""
    known = known_values(given, "lengths", where).to(torch.int64)
    values = known.tolist()
    if values and not 0 <= min(values) <= max(values) <= steps:
        row, length = next((row, n) for row, n in enumerate(values) if not 0 <= n <= steps)
        expected = f"between 0 and T = {steps}"
        raise InputError(phrase(where, f"lengths[{row}]", expected, length, "x has no more steps than T."))
    return known


def read_lengths(lengths: Lengths, rows: int, steps: int, batched: bool, where: str) -> Tensor:
    """`lengths` as int64 [B] on the CPU; refuses wrong types, counts and values."""
    return known_lengths(given_lengths(lengths, rows, batched, where), steps, where)


def given_resets(resets: Resets, lead: tuple[int, ...], batch_first: bool, where: str) -> Tensor:
    """`resets` as bool [T, B] on its own device; refuses other types, and other sizes than `lead`, those of x."""
    remedy = "Give a bool for each step of each row of x, True where a new sequence starts."
    letters = "[T]" if len(lead) == 1 else "[B, T]" if batch_first else "[T, B]"
    try:
        given = on_cpu(resets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(phrase(where, "resets", f"bools {letters}", type(resets).__name__, remedy)) from error
    if given.dtype != torch.bool:
        raise InputError(phrase(where, "resets", f"bools {letters}", given.dtype, remedy))
    if given.shape != lead:
        expected = f"of shape {letters} = {list(lead)}"
        raise ShapeError(phrase(where, "resets", expected, f"a shape of {list(given.shape)}", remedy))
    return given.unsqueeze(1) if len(lead) == 1 else given.transpose(0, 1) if batch_first else given


def read_resets(resets: Resets, lead: tuple[int, ...], batch_first: bool, where: str) -> Tensor:
    """The same on the CPU."""
    return known_values(given_resets(resets, lead, batch_first, where), "resets", where)
