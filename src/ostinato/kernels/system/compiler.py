"""From the text of LLVM IR to machine code of one target, on several threads at once, and its place in memory.

Two kernels are compiled side by side in one process: while LLVM generates the code of one, which takes most of the
time, the text of the next is emitted, parsed and optimised. All but the generation of code holds `lock`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import binding as llvm
from llvmlite.binding import ffi

from ostinato.errors import InputError, phrase
from ostinato.kernels.system.object_code import optimise
from ostinato.kernels.system.target import Target, can_run, host_triple

Source = Any
"""Text of LLVM IR, or an llvmlite ir.Module, whose str() is that text."""

lock = threading.RLock()
"""Held by a thread that emits, or calls LLVM. Reentrant, because the caller's emitter runs under it."""
_finished = threading.Condition(lock)
_compiling: set[int] = set()
"""Threads inside `emit_object`, whose last part does not hold `lock`."""
_collector_was_on = True


def _before_fork() -> None:
    # A child that inherited LLVM, or this module, in the middle of a change could not compile any more.
    lock.acquire()
    while _compiling - {threading.get_ident()}:
        _finished.wait()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=lock.release, after_in_child=lock.release)


def emit_object(source: Source | Callable[[], Source], target: Target, *, name: str = "kernel") -> bytes:
    """Relocatable object code, in the format of the target's system. A function as `source` is called first."""
    with _announced():
        return _object(source, target, name)


def _object(source: Source | Callable[[], Source], target: Target, name: str) -> bytes:
    # A function of its own, which frees LLVM's objects before `_announced` ends.
    with lock:
        machine = _target_machine(target)
        module = _optimised(source() if callable(source) else source, machine, name)
    return _generate(machine, module)


def emit_assembly(source: Source, target: Target, *, name: str = "kernel") -> str:
    """The assembly text of exactly the code that `emit_object` gives."""
    with lock:
        return _assembly(source, target, name)


def _assembly(source: Source, target: Target, name: str) -> str:
    machine = _target_machine(target)
    return machine.emit_assembly(_optimised(source, machine, name))


def load(code: bytes, target: Target) -> Any:
    """Object code as executable memory: LLVM's engine, which has the addresses of its functions."""
    with lock:
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine(target))
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        return engine


@contextmanager
def _announced() -> Iterator[None]:
    """A fork waits until no thread is inside, and Python's cyclic garbage collector is off meanwhile.

    Emitting makes 100,000 objects and leaves none. Their number would start a collection of all objects of the process,
    torch's included, in the first call of every cell.
    """
    global _collector_was_on
    with lock:
        if not _compiling:
            _collector_was_on = gc.isenabled()
            gc.disable()
        _compiling.add(threading.get_ident())
    try:
        yield
    finally:
        with lock:
            _compiling.discard(threading.get_ident())
            if not _compiling and _collector_was_on:
                gc.enable()
            _finished.notify_all()


def _optimised(source: Source, machine: Any, name: str) -> Any:
    try:
        # In a context of its own: LLVM allows threads to work at once on modules of different contexts.
        module = llvm.parse_assembly(str(source), llvm.create_context())
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise InputError(f"kernel {name}: LLVM does not accept its text. {error}") from error
    for value in [*module.functions, *module.global_variables]:
        # LLVM would abort the process if it cannot resolve one of these.
        if value.is_declaration and not value.name.startswith("llvm."):
            raise InputError(
                phrase(f"kernel {name}", "everything it calls", "its own or an intrinsic of LLVM", repr(value.name),
                       "Pass the address of a foreign function in the kernel's argument block.")
            )  # fmt: skip
    optimise(module, machine)
    return module


def _target_machine(target: Target) -> Any:
    if target.triple == host_triple():
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    description = llvm.Target.from_triple(target.triple)
    return description.create_target_machine(cpu=target.cpu, features=target.features, opt=3, jit=can_run(target))


def _generate(machine: Any, module: Any) -> bytes:
    """`machine.emit_object(module)`, without the lock that llvmlite holds during every call of LLVM.

    That lock is there for modules that share a context, or a target machine; these two belong to the caller alone.
    """
    with ffi.OutputString() as error:
        buffer = _emit_to_memory()(machine, module, 1, error)
        if not buffer:
            raise RuntimeError(str(error))
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _emit_to_memory() -> Any:
    """The function of llvmlite's library behind `emit_object`, as ctypes calls it."""
    locked = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    function = ctypes.CDLL(ffi.lib._name, handle=ffi.lib._handle).LLVMPY_TargetMachineEmitToMemory
    function.argtypes, function.restype = locked.argtypes, locked.restype
    return function
