"""Memory that is used again: large tensors from a pool, because fresh memory costs a page fault per page.

A block of the pool is lent through a lease, an array that only the tensor's storage refers to. Views, `detach`, numpy
arrays, tensors kept by autograd: whatever can still read the memory keeps the storage alive and with it the lease, and
the pool does not even hold the block while it is lent. When the lease dies the block comes back. So no block is ever
lent twice at a time, whoever holds it.

Raising glibc's mmap threshold instead (`mallopt`) would save the same page faults in two lines, but for every
allocation of the user's process, and only with glibc, which then gives nothing back; the pool concerns our own
buffers, works everywhere and is bounded.

What differs from `torch.empty`: the storage of a large tensor cannot be resized.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque

import numpy as np
import torch

from ...caching import bounded_cache, tensor_bytes

# Smaller requests are left to malloc, which recycles them by itself.
_SMALLEST = 1 << 20
# torch makes a tensor like another in half the time that it takes to read a shape and a type: up to this many bytes
# there is a tensor of every kind to make others like.
_TINY = 1 << 16
# Up to this many bytes a thread keeps the workspace of its calls.
_SCRATCH = 1 << 18
# torch's own alignment, and that of the widest vector: no load crosses a cache line.
_ALIGNMENT = 64
_ALWAYS_KEPT = 256 << 20
_WINDOW = 256

_POISON = os.environ.get("OSTINATO_POISON") == "1"


def empty(shape: tuple[int, ...], dtype: torch.dtype, smallest: int = _SMALLEST) -> torch.Tensor:
    """A contiguous CPU tensor of unspecified content; from `smallest` bytes (1 MiB) upwards its memory is reused.

    With OSTINATO_POISON=1 in the environment it is filled with NaN (integers: with all bits set), so that nothing that
    was never written can be read unnoticed.
    """
    example = _prototype(shape, dtype)
    if example is not None:
        return torch.empty_like(example)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes < smallest:
        tensor = torch.empty(shape, dtype=dtype, device="cpu")
    else:
        storage = torch.from_numpy(_pool.acquire(nbytes)).untyped_storage()
        # Not a view of anything, as a result of autograd must be. torch's stubs want the strides, torch does not.
        tensor = torch.empty(0, dtype=dtype, device="cpu")
        tensor.set_(storage, 0, tuple(shape))  # type: ignore[call-overload]
    return _poisoned(tensor)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, number: int = 0) -> torch.Tensor:
    """Zeros that are only ever read: one tensor for all small requests of a kind and number.

    Tensors of one call have numbers of their own: tensors that differ are checked all at once.
    """
    found = _zeros(shape, dtype, number)
    return torch.zeros(shape, dtype=dtype, device="cpu") if found is None else found


class Scratch:
    """The workspace of one call: `with Scratch(bytes) as address`. What it holds is unspecified, and gone afterwards.

    A small one is the thread's own, taken from it meanwhile: should anything run another call in between, that call
    finds none there and makes one for itself.
    """

    def __init__(self, nbytes: int):
        self._nbytes = nbytes

    def __enter__(self) -> int:
        if self._nbytes > _SCRATCH:
            self._block = empty((-(-self._nbytes // 4),), torch.float32)
        else:
            free = _thread_scratch.free
            self._block = _poisoned(free.pop()) if free else empty((_SCRATCH // 4,), torch.float32)
        return self._block.data_ptr()

    def __exit__(self, *error: object) -> None:
        if self._nbytes <= _SCRATCH:
            _thread_scratch.free.append(self._block)


class _ThreadScratch(threading.local):
    def __init__(self) -> None:
        self.free: list[torch.Tensor] = []


_thread_scratch = _ThreadScratch()


def _poisoned(tensor: torch.Tensor) -> torch.Tensor:
    if _POISON:
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            tensor.fill_(math.nan)
        else:
            tensor.view(-1).view(torch.uint8).fill_(255)
    return tensor


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes([found]))
def _prototype(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """A tensor to make others like, where that is quicker; its memory is never touched."""
    if _POISON or math.prod(shape) * dtype.itemsize > _TINY:
        return None
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=dtype, device="cpu")


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes([found]))
def _zeros(shape: tuple[int, ...], dtype: torch.dtype, number: int) -> torch.Tensor | None:
    if math.prod(shape) * dtype.itemsize > _TINY:
        return None
    with torch.inference_mode(False):
        return torch.zeros(shape, dtype=dtype, device="cpu")


def clear() -> None:
    """Give all memory that is not lent back to the system."""
    _pool.clear()


def idle_bytes() -> int:
    """Bytes that the pool holds and nobody uses."""
    return _pool.idle()


class Pool:
    """Blocks of memory by size class, the most recently used of a class first.

    Idle blocks are dropped, the longest unused first, when they hold more than 256 MiB and more than was lent at once
    lately (within the last 256 to 512 loans). A training step's buffers all become idle between two steps, so they
    survive; what one large call needed is given back after some hundred smaller ones.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start anew, as a forked child must: another thread may have been inside the pool at the fork."""
        self._lock = threading.Lock()
        self._handles: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray]] = {}
        self._returned: deque[np.ndarray] = deque()
        self._idle: dict[int, deque[tuple[int, np.ndarray]]] = {}
        self._clock = 0
        self._idle_bytes = 0
        self._acquired_bytes = 0
        self._acquired = 0
        self._peak = self._earlier_peak = 0

    def acquire(self, nbytes: int) -> np.ndarray:
        """An array of nbytes uint8, aligned to 64 bytes, whose memory comes back when it dies."""
        size = _size_class(nbytes)
        block = self._take(size)
        if block is None:
            try:
                block = _allocate(size)
            except MemoryError:
                self.clear()
                block = _allocate(size)
        with self._lock:
            self._count_acquired(size)
        handle = block[:nbytes]
        reference = weakref.ref(handle, self._release)
        self._handles[id(reference)] = (reference, block)
        return handle

    def idle(self) -> int:
        """Bytes that are not lent."""
        with self._lock:
            self._drain()
            return self._idle_bytes

    def clear(self) -> None:
        """Drop all that is not lent."""
        with self._lock:
            self._drain()
            self._idle.clear()
            self._idle_bytes = 0

    def _take(self, size: int) -> np.ndarray | None:
        with self._lock:
            self._drain()
            blocks = self._idle.get(size)
            if not blocks:
                return None
            self._idle_bytes -= size
            return blocks.pop()[1]

    def _count_acquired(self, size: int) -> None:
        self._acquired_bytes += size
        self._peak = max(self._peak, self._acquired_bytes)
        self._acquired += 1
        if self._acquired % _WINDOW == 0:
            self._earlier_peak, self._peak = self._peak, self._acquired_bytes

    def _release(self, reference: weakref.ref[np.ndarray]) -> None:
        """Runs when a lease dies: in any thread, and within any line of Python where garbage is collected.

        So it never waits for the lock, which its own thread may hold: then the next use of the pool files the block.
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
        """File the blocks that came back, and drop what is too much. Under the lock."""
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
    # numpy asks the system for huge pages, which torch does not.
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


_pool = Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset_after_fork)
