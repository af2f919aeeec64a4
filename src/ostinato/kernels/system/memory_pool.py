"""A memory pool for large tensors, because fresh memory costs a page fault per page.

A block is acquired through a handle, an array that only the tensor's storage refers to. Everything that can still read
the memory (views, `detach`, numpy arrays, tensors saved by autograd) keeps the storage alive and with it the handle;
the pool itself holds only idle blocks. When the handle is garbage-collected its block is released to the pool. A block
therefore never has two users at a time.

Raising glibc's mmap threshold (`mallopt`) would save the same page faults, but for every allocation of the process, and
only with glibc, which then returns no memory to the system; the pool serves the package's own buffers, is portable and
bounded.

Unlike with `torch.empty`, the storage of a large tensor cannot be resized.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from ... import _torch_private
from ...caching import bounded_cache, tensor_bytes

# Smaller requests go to malloc, which reuses memory of this size.
_SMALLEST = 1 << 20
# torch.empty_like takes half the time of torch.empty, which parses a shape and a type: up to this many bytes there is a
# prototype of every shape and type, from the second request on: most shapes of a program on texts come once.
_TINY, _REQUESTS = 1 << 16, 2
# Up to this many bytes a thread keeps the workspace for its next call: a request to the pool runs a dozen functions.
_WORKSPACE = 1 << 21
# The alignment of torch and of the widest vector: no load crosses a cache line.
_ALIGNMENT = 64
_ALWAYS_KEPT = 256 << 20
_WINDOW = 256

# Of the tensors that come from the pool.
_NUMPY_TYPES: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int64: np.int64,
}

_POISON = os.environ.get("OSTINATO_POISON") == "1"
LIKE_BYTES = 0 if _POISON else _TINY
"""Bytes up to which torch.empty_like of a contiguous tensor of the same kind does what `empty` does, and costs less."""


def empty(shape: tuple[int, ...], dtype: torch.dtype, smallest: int = _SMALLEST) -> torch.Tensor:
    """A contiguous CPU tensor of unspecified content; from `smallest` bytes (1 MiB) upwards its memory is reused.

    Memory of other types than float32, float64 and int64 is not reused, whatever its size.
    With OSTINATO_POISON=1 in the environment it is filled with NaN (integers: with all bits set), so that a read
    of memory that was never written is noticed.
    """
    requests = _requests(shape, dtype)
    if requests.prototype is not None:
        return torch.empty_like(requests.prototype)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < smallest or dtype not in _NUMPY_TYPES:
        tensor = torch.empty(shape, dtype=dtype, device="cpu")
        requests.count += 1
        if requests.count == _REQUESTS and nbytes <= _TINY and not _POISON:
            with _torch_private.untransformed():
                requests.prototype = torch.empty(shape, dtype=dtype, device="cpu")
    else:
        tensor = torch.from_numpy(_pool.acquire(shape, _NUMPY_TYPES[dtype], nbytes))
    return _poisoned(tensor)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, number: int = 0) -> torch.Tensor:
    """Read-only zeros: one shared tensor for all small requests of one shape, type and number.

    The tensors of one call have different numbers, because guards compare distinct tensors.
    """
    found = _zeros(shape, dtype, number)
    if found is not None:
        return found
    with _torch_private.untransformed():  # callers may keep it for later calls
        return torch.zeros(shape, dtype=dtype, device="cpu")


def prototype(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """What torch.empty_like makes `empty` of this shape from; None until a small shape has been requested twice."""
    return _requests(shape, dtype).prototype


def take_workspace(nbytes: int) -> torch.Tensor:
    """The workspace of one call, of at least `nbytes`; its content is undefined.

    A small one belongs to the thread, and `return_workspace` returns it; meanwhile a nested call finds none and
    allocates its own. A large one is a tensor of the pool.
    """
    if nbytes > _WORKSPACE:
        return empty((-(-nbytes // 4),), torch.float32)
    free = _thread_workspace.free
    if not free:
        with _torch_private.untransformed():
            return _poisoned(torch.empty(_WORKSPACE // 4, dtype=torch.float32, device="cpu"))
    return _poisoned(free.pop()) if _POISON else free.pop()


def return_workspace(block: torch.Tensor) -> None:
    """Gives the workspace of a call back; the caller drops it."""
    if block.nbytes <= _WORKSPACE:
        _thread_workspace.free.append(block)


class _ThreadWorkspace(threading.local):
    def __init__(self) -> None:
        self.free: list[torch.Tensor] = []


_thread_workspace = _ThreadWorkspace()


def _poisoned(tensor: torch.Tensor) -> torch.Tensor:
    if _POISON:
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            tensor.fill_(math.nan)
        else:
            tensor.view(-1).view(torch.uint8).fill_(255)
    return tensor


@dataclass(slots=True)
class _Requests:
    """The requests for small tensors of one shape and type."""

    count: int = 0
    prototype: torch.Tensor | None = None
    """For torch.empty_like; its memory is never touched."""


@bounded_cache(4 << 20, size_of=lambda _, shape, dtype: min(_TINY, math.prod(shape) * dtype.itemsize))
def _requests(shape: tuple[int, ...], dtype: torch.dtype) -> _Requests:
    return _Requests()


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes([found]))
def _zeros(shape: tuple[int, ...], dtype: torch.dtype, number: int) -> torch.Tensor | None:
    if math.prod(shape) * dtype.itemsize > _TINY:
        return None
    with _torch_private.untransformed():
        return torch.zeros(shape, dtype=dtype, device="cpu")


def clear() -> None:
    """Returns all idle memory to the system, the workspaces of other threads excepted."""
    _thread_workspace.free.clear()
    _pool.clear()


def idle_bytes() -> int:
    """Bytes of idle blocks."""
    return _pool.idle()


class Pool:
    """Blocks of memory by size class, the most recently used of a class first.

    Idle blocks are freed, the least recently used first, when they exceed 256 MiB and the peak of acquired bytes within
    the last 256 to 512 acquisitions. The buffers of a training step are all idle between two steps and are kept; the
    memory of one large call is freed after some hundred smaller ones.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Empties the pool, as a forked child must: another thread may have been inside the pool at the fork."""
        self._lock = threading.Lock()
        self._handles: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray]] = {}
        self._returned: deque[np.ndarray] = deque()
        self._idle: dict[int, deque[tuple[int, np.ndarray]]] = {}
        self._clock = 0
        self._idle_bytes = 0
        self._acquired_bytes = 0
        self._acquired = 0
        self._peak = self._earlier_peak = 0

    def acquire(self, shape: tuple[int, ...], dtype: type[np.generic], nbytes: int) -> np.ndarray:
        """An array of `nbytes`, aligned to 64 bytes, whose block is released when it is garbage-collected."""
        size = _size_class(nbytes)
        with self._lock:
            if self._returned:
                self._drain()
            blocks = self._idle.get(size)
            block = blocks.pop()[1] if blocks else None
            if block is not None:
                self._idle_bytes -= size
                self._count_acquired(size)
        if block is None:
            block = self._allocate(size)
        handle: np.ndarray = np.ndarray(shape, dtype, block)
        reference = weakref.ref(handle, self._release)
        self._handles[id(reference)] = (reference, block)
        return handle

    def idle(self) -> int:
        """Bytes of idle blocks."""
        with self._lock:
            self._drain()
            return self._idle_bytes

    def clear(self) -> None:
        """Frees all idle blocks."""
        with self._lock:
            self._drain()
            self._idle.clear()
            self._idle_bytes = 0

    def _allocate(self, size: int) -> np.ndarray:
        try:
            block = _allocate(size)
        except MemoryError:
            self.clear()
            block = _allocate(size)
        with self._lock:
            self._count_acquired(size)
        return block

    def _count_acquired(self, size: int) -> None:
        self._acquired_bytes += size
        self._peak = max(self._peak, self._acquired_bytes)
        self._acquired += 1
        if self._acquired % _WINDOW == 0:
            self._earlier_peak, self._peak = self._peak, self._acquired_bytes

    def _release(self, reference: weakref.ref[np.ndarray]) -> None:
        """The weakref callback of a handle: runs in any thread, at any point where garbage is collected.

        It never blocks on the lock, which its own thread may hold: then the next use of the pool drains the block.
        """
        _, block = self._handles.pop(id(reference), (None, None))
        if block is None:
            return
        self._returned.append(block)
        lock = self._lock
        while self._returned and lock.acquire(blocking=False):
            try:
                self._drain()
            finally:
                lock.release()

    def _drain(self) -> None:
        """Moves released blocks to the idle ones, and frees the excess. Requires the lock."""
        while self._returned:
            block = self._returned.popleft()
            self._clock += 1
            self._idle.setdefault(block.nbytes, deque()).append((self._clock, block))
            self._idle_bytes += block.nbytes
            self._acquired_bytes -= block.nbytes
        while self._idle_bytes > max(_ALWAYS_KEPT, self._peak, self._earlier_peak):
            oldest = min((blocks for blocks in self._idle.values() if blocks), key=lambda blocks: blocks[0][0])
            self._idle_bytes -= oldest.popleft()[1].nbytes


def _size_class(nbytes: int) -> int:
    """nbytes rounded up to one of eight sizes per power of two: at most an eighth is wasted. Whole pages."""
    step = max(4096, 1 << (nbytes - 1).bit_length() - 4)
    return -(-nbytes // step) * step


def _allocate(size: int) -> np.ndarray:
    # numpy requests huge pages, torch does not.
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


_pool = Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset_after_fork)
