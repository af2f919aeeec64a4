"""One kernel body on several threads at once: the team of the OpenMP library that torch itself runs on.

Sharing torch's team means that no second set of threads competes with it for the cores, and that a parallel region
costs microseconds. Where torch has no such library (macOS, Windows) a pool of Python threads does the same, slower.

Contract of a body, `void body(void *block)`: it may run on fewer threads than requested, down to one, because the
OpenMP library decides (nested regions, thread limits) and because a forked child has no team. A body therefore takes
work items from an atomic counter in its argument block, or divides by the number of threads that it reads through
`num_threads_address` while it runs, never by the number that was requested.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from llvmlite import ir

from ostinato.errors import InputError, phrase
from ostinato.kernels.system.target import Target

_in_forked_child = False
_warned = False
_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _after_fork() -> None:
    # A child has only the forking thread. Its OpenMP library would wait forever for the threads of the team; those of a
    # pool of Python threads do not exist either.
    global _in_forked_child, _pool, _pool_lock
    _in_forked_child = True
    _pool = None
    _pool_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _KernelThreads(threading.local):
    count = 0
    """What `kernel_threads` has set in this thread; 0: nothing."""


_kernel_threads = _KernelThreads()


def thread_count() -> int:
    """Threads that calls may use: torch.get_num_threads(), and 1 in a forked process such as a DataLoader's worker."""
    return 1 if _in_forked_child else _kernel_threads.count or torch.get_num_threads()


@contextmanager
def kernel_threads(count: int) -> Iterator[None]:
    """Kernels that this Python thread calls run on `count` threads, whatever torch.get_num_threads() is.

    Kernels give the same bits on any number of threads, torch's own operations do not: a caller who needs the same bits
    sets torch to one thread and gives the kernels theirs by this context. Raises InputError for less than one thread.
    """
    if count < 1:
        raise InputError(phrase("kernel_threads", "count", "at least 1", count))
    before = _kernel_threads.count
    _kernel_threads.count = count
    try:
        yield
    finally:
        _kernel_threads.count = before


def parallel(address: int, block: int, threads: int) -> None:
    """Calls `void body(void *block)` at `address` once on each of `threads` threads; returns when all have finished.

    The GIL is released meanwhile. The team may have fewer threads (see the contract above).
    """
    if threads < 1:
        raise InputError(phrase("openmp.parallel", "threads", "at least 1", threads))
    if threads == 1 or _in_forked_child:
        _body(address)(block)
        return
    openmp = _openmp()
    if openmp is not None:
        openmp.GOMP_parallel(address, block, threads, 0)
    else:
        _pool_parallel(_body(address), block, threads)


def num_threads_address() -> int | None:
    """`int threads(void)`: the number of threads of the team. None without OpenMP, where it is the requested number."""
    return _symbol_address("omp_get_num_threads")


@functools.cache
def yield_address() -> int | None:
    """`int sched_yield(void)`: yields the processor. None if the system has no such function."""
    if sys.platform == "win32":
        return None
    return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value


# 256 bodies: more than a process alternates between; wrapping an evicted one again costs a microsecond.
@functools.lru_cache(maxsize=256)
def _body(address: int) -> Callable[[int], None]:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


@functools.cache
def _openmp() -> Any:
    """The library whose GOMP_parallel torch calls, or None.

    The symbol is resolved as the dynamic linker did for torch: first in the global scope of the process, which has a
    preloaded OpenMP library and torch's own, then in the dependencies of torch's library. No second copy is loaded.
    """
    if sys.platform == "win32":
        return None
    for path in (None, Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"):
        if path is None or path.exists():
            library = ctypes.CDLL(None if path is None else str(path))
            if hasattr(library, "GOMP_parallel"):
                library.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
                library.GOMP_parallel.restype = None
                return library
    return None


@functools.cache
def _symbol_address(name: str) -> int | None:
    openmp = _openmp()
    return None if openmp is None else ctypes.cast(getattr(openmp, name), ctypes.c_void_p).value


def _pool_parallel(body: Callable[[int], None], block: int, threads: int) -> None:
    global _pool, _warned
    if not _warned:
        _warned = True
        warnings.warn(
            "torch brings no OpenMP library with GOMP_parallel here: kernels run on a pool of Python threads, which "
            "costs about 0.1 ms per call. torch.set_num_threads(1) avoids it.",
            RuntimeWarning,
            stacklevel=3,
        )
    with _pool_lock:
        if _pool is None:
            # An upper bound of any team; the pool starts only the threads that it needs.
            _pool = ThreadPoolExecutor(max_workers=1024, thread_name_prefix="ostinato")
        others = [_pool.submit(body, block) for _ in range(threads - 1)]
    body(block)
    wait(others)


# Denormal numbers, which cost a hundred cycles each, are flushed to zero inside kernels. The mode belongs to a thread,
# and the threads belong to torch and its user, so a kernel puts back what it found.

_X86_FLUSH = 1 << 15 | 1 << 6  # MXCSR: results to zero, operands to zero
_ARM_FLUSH = 1 << 24  # FPCR.FZ: both


def emit_flush_mode(builder: ir.IRBuilder, module: ir.Module, target: Target) -> Any:
    """Emit: set this thread to flush denormals. Returns the earlier mode, for `restore_ir` before every return.

    LLVM does not know that arithmetic depends on the mode and may move pure arithmetic across either end, so the work
    between the two belongs in a function that is not inlined; `with_denormals_flushed` does that.
    """
    if target.name == "aarch64":
        word = ir.IntType(64)
        saved = builder.call(_intrinsic(module, "llvm.aarch64.get.fpcr", word, []), [])
        flush = builder.or_(saved, ir.Constant(word, _ARM_FLUSH))
        builder.call(_intrinsic(module, "llvm.aarch64.set.fpcr", ir.VoidType(), [word]), [flush])
        return saved
    word = ir.IntType(32)
    slot = builder.alloca(word)
    builder.call(_intrinsic(module, "llvm.x86.sse.stmxcsr", ir.VoidType(), [_pointer()]), [slot])
    saved = builder.load(slot, typ=word)
    _load_mxcsr(builder, module, builder.or_(saved, ir.Constant(word, _X86_FLUSH)))
    return saved


def emit_restore_mode(builder: ir.IRBuilder, module: ir.Module, target: Target, saved: Any) -> None:
    """Emit: give this thread back the mode that `emit_flush_mode` returned."""
    if target.name == "aarch64":
        set_mode = _intrinsic(module, "llvm.aarch64.set.fpcr", ir.VoidType(), [ir.IntType(64)])
        builder.call(set_mode, [saved])
    else:
        _load_mxcsr(builder, module, saved)


def with_denormals_flushed(module: ir.Module, body: ir.Function, name: str, target: Target) -> ir.Function:
    """Emit `name`: the same arguments and result as `body`, run with denormals flushed and the mode put back."""
    body.attributes.add("noinline")
    function = ir.Function(module, body.function_type, name)
    builder = ir.IRBuilder(function.append_basic_block())
    saved = emit_flush_mode(builder, module, target)
    result = builder.call(body, function.args)
    emit_restore_mode(builder, module, target, saved)
    if isinstance(body.function_type.return_type, ir.VoidType):
        builder.ret_void()
    else:
        builder.ret(result)
    return function


def _pointer() -> ir.Type:
    return ir.PointerType()


def _load_mxcsr(builder: ir.IRBuilder, module: ir.Module, mode: Any) -> None:
    slot = builder.alloca(ir.IntType(32))
    builder.store(mode, slot)
    builder.call(_intrinsic(module, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [_pointer()]), [slot])


def _intrinsic(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    function = module.globals.get(name)
    return function or ir.Function(module, ir.FunctionType(result, arguments), name)
