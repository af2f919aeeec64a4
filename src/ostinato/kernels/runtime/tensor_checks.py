"""The one place that decides whether kernels may read a tensor by its address.

Kernels read memory as their argument block describes it and check nothing. A tensor must therefore have the expected
shape, be dense, of the kernel's number type, and have memory on the CPU. Lazy states that torch would resolve at its
next operation (negation, conjugation, zeros without memory, other strides) are resolved here; all else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor

from ... import _torch_private
from ...caching import bounded_cache
from ...errors import InputError, ShapeError, phrase

Shape = tuple[int, ...]
_IS_NESTED, _SHAPE = attrgetter("is_nested"), attrgetter("shape")
Named = list[tuple[str, Tensor, Shape]]
"""(name, tensor, the shape that it must have) of each tensor."""
_Guards = dict[Hashable, tuple[Callable[..., bool], ...]]

# Guards that are kept for one plan: parameters or plain tensors, with or without gradients, in inference mode, with
# other strides along a dimension of one entry.
_MAX_GUARDS = 8
# Addresses below this are checked again: a tensor whose storage was freed has its byte offset as its address.
_LOW = 1 << 36


def in_memory(t: Tensor, kind: torch.dtype) -> bool:
    """Whether t is dense, of type `kind`, on the CPU, and its memory holds its values."""
    return _dense(t, kind) and not t.is_neg() and not t.is_conj() and _held(t) and _written(t)


def rows_in_memory(t: Tensor, kind: torch.dtype) -> bool:
    """Whether t [R, H] is not empty, `in_memory`, and each row is contiguous: the check of the lens kernels."""
    return in_memory(t, kind) and t.numel() > 0 and t.stride(-1) == 1


@dataclass(slots=True)
class _LineGuards:
    """The guards of lists of tensors of the same shapes, in a lens kernel."""

    requests: int = 0
    guards: tuple[Callable[..., bool], ...] = ()


# 16 KiB: an upper bound of eight guards of a dozen tensors.
@bounded_cache(4 << 20, size_of=lambda *_: 16 << 10)
def _line_guards(kind: torch.dtype, whole: bool, shapes: tuple[Shape, ...]) -> _LineGuards:
    return _LineGuards()


def lines_in_memory(tensors: Sequence[Tensor], kind: torch.dtype, whole: bool = False) -> bool:
    """Whether each of some distinct tensors is one of `rows_in_memory`: from the third time on one guard says so.

    whole  whether each must be contiguous, and may then have any number of dimensions
    """
    if any(map(_IS_NESTED, tensors)):
        return False
    found = _line_guards(kind, whole, tuple(map(_SHAPE, tensors)))
    for same in found.guards:
        if same(*tensors) and min(map(Tensor.data_ptr, tensors)) >= _LOW:
            return True
    for t in tensors:
        if not (in_memory(t, kind) and t.numel() and t.is_contiguous() if whole else rows_in_memory(t, kind)):
            return False
    found.requests += 1
    guard = _torch_private.same_kind(tensors) if found.requests > 1 else None
    if guard is not None:
        found.guards = (guard, *found.guards)[:_MAX_GUARDS]
    return True


def addresses(tensors: Sequence[Tensor]) -> list[int]:
    """The addresses of tensors. Refuses a tensor whose memory was freed since it was made."""
    found = [*map(Tensor.data_ptr, tensors)]
    if min(found) < _LOW:
        for t in tensors:
            if not _held(t) or not _written(t):
                _refuse_memory("kernels", "a tensor", t)
    return found


def readable_tensor(where: str, name: str, t: Tensor, shape: Shape, kind: torch.dtype, remedy: str) -> Tensor:
    """t, or a copy that kernels can read; refuses a tensor that is not of this shape and number type on the CPU."""
    if not _dense(t, kind):
        layout = "nested" if t.is_nested else t.layout
        received = f"{t.dtype}, {layout}, on {t.device}"
        raise InputError(phrase(where, name, f"a dense tensor of {kind} on the CPU", received, remedy))
    if t.shape != shape:
        raise ShapeError(phrase(where, name, f"of shape {list(shape)}", list(t.shape), remedy))
    if not _held(t):
        _refuse_memory(where, name, t)
    t = t.resolve_conj().resolve_neg().contiguous()
    if not _written(t):  # zeros that torch materialises lazily
        t = t.clone(memory_format=torch.contiguous_format)
        if not _written(t):
            _refuse_memory(where, name, t)
    return t


class TensorGuards:
    """Guards of the tensors of one launch plan: tensors are checked one by one once, later ones by one guard.

    A guard compares class, number type, device, shape, strides and torch's dispatch keys (negation, conjugation,
    layout, zeros without memory) with those of tensors that passed the single checks unchanged.
    """

    def __init__(self, where: str, kind: torch.dtype):
        self._where, self._kind = where, kind
        self._passed: _Guards = {}

    def pass_guards(self, which: Hashable, tensors: Sequence[Tensor]) -> bool:
        """Whether the tensors pass a guard.

        which  distinguishes the lists of tensors of one plan, such as those without one of the gradients
        """
        if any(map(_IS_NESTED, tensors)):  # has no shape, which the guard cannot detect
            return False
        for same in self._passed.get(which, ()):
            if same(*tensors):
                return True
        return False

    def check(self, which: Hashable, named: Named, remedy: str) -> list[Tensor]:
        """Checks tensors one by one, and adds a guard if all pass unchanged; returns tensors that kernels can read."""
        found = [readable_tensor(self._where, name, t, shape, self._kind, remedy) for name, t, shape in named]
        given = [t for _, t, _ in named]
        if all(a is b for a, b in zip(found, given)):
            self.add(which, given)
        return found

    def add(self, which: Hashable, tensors: Sequence[Tensor]) -> None:
        """Adds a guard of tensors that passed the checks unchanged."""
        _add_guard(self._passed, which, _torch_private.same_kind(tensors))


class SizeFreeGuards:
    """Guards of the tensors of all launch plans of one layer: of what does not depend on the sizes of a call.

    They compare what `TensorGuards` compares except the shapes and strides of sized tensors, those whose shapes depend
    on T or B. These are compared with the shapes that the plan demands, must be contiguous, and have all their memory.
    """

    def __init__(self) -> None:
        self._passed: _Guards = {}

    def pass_guards(
        self, which: Hashable, sized: Sequence[Tensor], fixed: Sequence[Tensor], shapes: Sequence[Shape]
    ) -> bool:
        """Whether the tensors pass a guard. shapes: of the sized tensors; fixed: all others, weights for instance."""
        tensors = (*sized, *fixed)
        if any(map(_IS_NESTED, tensors)):
            return False
        for same in self._passed.get(which, ()):
            if same(*tensors):
                break
        else:
            return False
        if [*map(_SHAPE, sized)] != shapes or not all(map(Tensor.is_contiguous, sized)):
            return False
        for t in sized:  # `_held` of contiguous tensors
            if (t.storage_offset() + t.numel()) * t.itemsize > t.untyped_storage().nbytes():
                return False
        return True

    def add(self, which: Hashable, sized: Sequence[Tensor], fixed: Sequence[Tensor]) -> None:
        """Adds a guard of tensors that passed the checks of a plan unchanged."""
        _add_guard(self._passed, which, _torch_private.same_kind((*sized, *fixed), range(len(sized))))


def _add_guard(passed: _Guards, which: Hashable, guard: Callable[..., bool] | None) -> None:
    if guard is not None:
        passed[which] = (guard, *passed.get(which, ()))[:_MAX_GUARDS]


def _dense(t: Tensor, kind: torch.dtype) -> bool:
    return t.layout is torch.strided and not t.is_nested and t.is_cpu and t.dtype is kind


def _held(t: Tensor) -> bool:
    """Whether the storage of a dense tensor is as large as its strides require."""
    count = t.numel()
    if not count:
        return True
    if t.is_contiguous():
        return (t.storage_offset() + count) * t.itemsize <= t.untyped_storage().nbytes()
    last = t.storage_offset() + sum((n - 1) * step for n, step in zip(t.shape, t.stride()))
    return (last + 1) * t.itemsize <= t.untyped_storage().nbytes()


def _written(t: Tensor) -> bool:
    """Whether the storage has memory; that of lazy zeros has a size but none, and a view of it an address past 0."""
    return not t.numel() or t.data_ptr() != t.storage_offset() * t.element_size()


def _refuse_memory(where: str, name: str, t: Tensor) -> None:
    remedy = "Its storage was resized, as libraries that shard parameters do between calls; give it its memory again."
    raise InputError(phrase(where, name, "a tensor with memory", f"{list(t.shape)} without", remedy))
