"""Whether a tensor may be handed to kernels by its address: the one place that decides it.

Kernels read memory as their frame says and check nothing. So every tensor has the shape that the frame says, dense
numbers of the frame's type, and memory of its own on the CPU. What torch would resolve at its next operation (a sign
or a conjugation still to be applied, zeros without memory, other strides) is resolved here; all else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from operator import attrgetter

import torch
from torch import Tensor

from ... import _torch_private
from ...errors import InputError, ShapeError, phrase

Shape = tuple[int, ...]
_IS_NESTED = attrgetter("is_nested")
Named = list[tuple[str, Tensor, Shape]]
"""(name, tensor, the shape that it must have) of each tensor."""

# Kinds of tensors that are remembered for one frame: parameters or plain tensors, with gradients or without, in
# inference mode, on other strides along a dimension of one entry.
_REMEMBERED = 8
# An address below this is looked at again: a tensor whose memory was given back begins at its offset into nothing.
_LOW = 1 << 36


def in_memory(t: Tensor, kind: torch.dtype) -> bool:
    """Whether memory holds the numbers of t, of the type `kind`, where its strides say, on the CPU."""
    return _dense(t, kind) and not t.is_neg() and not t.is_conj() and _held(t) and _written(t)


def rows_in_memory(t: Tensor, kind: torch.dtype) -> bool:
    """Whether t [R, H] has numbers, and memory holds them row by row, each in one piece: `in_memory` for the lens."""
    return in_memory(t, kind) and t.numel() > 0 and t.stride(-1) == 1


def addresses(tensors: Sequence[Tensor]) -> list[int]:
    """Where the numbers of each begin. Refuses a tensor whose memory was given back since it was made."""
    found = [*map(Tensor.data_ptr, tensors)]
    if min(found) < _LOW:
        for t in tensors:
            if not _held(t) or not _written(t):
                _refuse_memory("kernels", "a tensor", t)
    return found


def readable_tensor(where: str, name: str, t: Tensor, shape: Shape, kind: torch.dtype, remedy: str) -> Tensor:
    """t as kernels read it, itself or a copy; refuses what cannot be read as `shape` numbers of the type `kind`."""
    if not _dense(t, kind):
        layout = "nested" if t.is_nested else t.layout
        received = f"{t.dtype}, {layout}, on {t.device}"
        raise InputError(phrase(where, name, f"a dense tensor of {kind} on the CPU", received, remedy))
    if t.shape != shape:
        raise ShapeError(phrase(where, name, f"of shape {list(shape)}", list(t.shape), remedy))
    if not _held(t):
        _refuse_memory(where, name, t)
    t = t.resolve_conj().resolve_neg().contiguous()
    if not _written(t):  # zeros that torch has not written yet
        t = t.clone(memory_format=torch.contiguous_format)
        if not _written(t):
            _refuse_memory(where, name, t)
    return t


class TensorGuards:
    """Hands the tensors of one frame to kernels: the first of a kind are checked one by one, those after them at once.

    That one check asks whether class, number type, device, shape, strides and all that torch dispatches by (negation,
    conjugation, layout, zeros without memory) are the same as those of tensors that passed as they were.
    """

    def __init__(self, where: str, kind: torch.dtype):
        self._where, self._kind = where, kind
        self._passed: dict[Hashable, tuple[Callable[..., bool], ...]] = {}

    def pass_guards(self, which: Hashable, tensors: Sequence[Tensor]) -> bool:
        """Whether all are like tensors that passed as they were.

        which  tells apart the lists of tensors that a frame may have, such as those without one of the gradients
        """
        if any(map(_IS_NESTED, tensors)):  # has no shape to ask for, and the check below cannot say so
            return False
        for same in self._passed.get(which, ()):
            if same(*tensors):
                return True
        return False

    def check(self, which: Hashable, named: Named, remedy: str) -> list[Tensor]:
        """The tensors as kernels read them, one by one; those like them are known from now on if nothing changed."""
        found = [readable_tensor(self._where, name, t, shape, self._kind, remedy) for name, t, shape in named]
        given = [t for _, t, _ in named]
        same = _torch_private.same_kind(given) if all(a is b for a, b in zip(found, given)) else None
        if same is not None:
            self._passed[which] = (same, *self._passed.get(which, ()))[:_REMEMBERED]
        return found


def _dense(t: Tensor, kind: torch.dtype) -> bool:
    return t.layout is torch.strided and not t.is_nested and t.is_cpu and t.dtype is kind


def _held(t: Tensor) -> bool:
    """Whether the storage of a dense tensor reaches as far as its strides do."""
    if not t.numel():
        return True
    last = t.storage_offset() + sum((n - 1) * step for n, step in zip(t.shape, t.stride()))
    return (last + 1) * t.element_size() <= t.untyped_storage().nbytes()


def _written(t: Tensor) -> bool:
    """Whether the storage has memory: that of lazy zeros has a size and none. A view of it may lie past address 0."""
    return not t.numel() or t.data_ptr() != t.storage_offset() * t.element_size()


def _refuse_memory(where: str, name: str, t: Tensor) -> None:
    remedy = "Its storage was resized, as libraries that shard parameters do between calls; give it its memory again."
    raise InputError(phrase(where, name, "a tensor with memory", f"{list(t.shape)} without", remedy))
