"""From LLVM IR to machine code, and the cache of compiled kernels.

A kernel is compiled once for a machine and then loaded from an object file. The file's name is the SHA-256 of
everything that the code depends on: the caller's key, the target, the sources that emit kernels, and the versions of
llvmlite, LLVM and Ostinato. Entries are therefore never stale and need no invalidation.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding as llvm

from ostinato._version import __version__
from ostinato.errors import InputError, phrase
from ostinato.kernels.system.object_code import optimise
from ostinato.kernels.system.sources import digest
from ostinato.kernels.system.target import Target, can_run, host, host_triple

Source = Any  # text of LLVM IR, or an llvmlite ir.Module, whose str() is that text


class Library:
    """Compiled functions, by name. Their addresses are valid for as long as the library is referenced.

    nbytes  its memory: the code twice, as object file and as executable memory, and LLVM's own data
    """

    def __init__(self, name: str, engine: Any, code_bytes: int) -> None:
        self.name, self.nbytes = name, 2 * code_bytes + _ENGINE_BYTES
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def address(self, function: str) -> int:
        """The address of a function, for ctypes or for `openmp.parallel`."""
        address = self._addresses.get(function)
        if address is None:
            with _lock:
                address = self._engine.get_function_address(function)
            if not address:
                raise InputError(phrase(f"kernel {self.name}", "function", "one that it defines", repr(function)))
            self._addresses[function] = address
        return address


# Reentrant, because the caller's emitter runs under it. Held across a fork, so that a child never inherits LLVM or this
# module in an inconsistent state.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

# Libraries are alive as long as a caller refers to them; then their executable memory is freed.
_libraries: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()
_ENGINE_BYTES = 64 << 10
_compiled = 0


def compiled_count() -> int:
    """Kernels compiled by this process; those loaded from the cache do not count."""
    return _compiled


def compile(source: Source | Callable[[], Source], *, name: str, key: str, target: Target | None = None) -> Library:
    """The library of a kernel: from this process, else from the cache on disk, else compiled now.

    source: LLVM text or module, or a function without arguments that makes it and is called only when needed.
    name:   of the kernel in error messages.
    key:    identifies the source: two sources that differ have keys that differ (cell text, options, dtype).
    target: the host's by default. Raises InputError when this machine cannot run it.
    """
    target = target or host()
    if not can_run(target):
        raise InputError(
            phrase(f"kernel {name}", "target", "one that this machine can run", repr(target.name),
                   "Use emit_assembly or emit_object to look at its code.")
        )  # fmt: skip
    identity = _identity(key, target)
    library = _libraries.get(identity)
    if library is None:
        with _lock:
            library = _libraries.get(identity)
            if library is None:
                code = _cached(identity, source, name, target)
                library = Library(name, _load(code, target), len(code))
                _libraries[identity] = library
    return library


def _cached(identity: str, source: Source | Callable[[], Source], name: str, target: Target) -> bytes:
    """Object code from the cache, or compiled now and written there."""
    global _compiled
    # Where the sources cannot be read, a cached file might belong to another build.
    folder = None if _sources() is None else cache_folder()
    if folder is not None:
        code = _read(folder / f"{identity}.o")
        if code is not None:
            return code
    code = emit_object(source() if callable(source) else source, target, name=name)
    _compiled += 1
    if folder is not None:
        _write(folder / f"{identity}.o", code)
    return code


def emit_object(source: Source, target: Target, *, name: str = "kernel") -> bytes:
    """Relocatable object code, in the format of the target's system."""
    with _lock:
        machine = _target_machine(target)
        return machine.emit_object(_optimised(source, machine, name))


def emit_assembly(source: Source, target: Target, *, name: str = "kernel") -> str:
    """The assembly text of exactly the code that `emit_object` gives."""
    with _lock:
        machine = _target_machine(target)
        return machine.emit_assembly(_optimised(source, machine, name))


def _optimised(source: Source, machine: Any, name: str) -> Any:
    try:
        module = llvm.parse_assembly(str(source))
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


def _load(code: bytes, target: Target) -> Any:
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine(target))
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


# The cache on disk.


def cache_folder() -> Path | None:
    """$OSTINATO_CACHE, else ostinato/kernels in the user's cache folder; None where there is no home."""
    asked = os.environ.get("OSTINATO_CACHE")
    if asked:
        return Path(asked)
    try:
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or "")
            # The XDG specification: a path that is not absolute is to be ignored.
            base = base if base.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "ostinato" / "kernels"


def _identity(key: str, target: Target) -> str:
    versions = (llvmlite.__version__, llvm.llvm_version_info, __version__)
    return hashlib.sha256(repr((key, target, versions, _sources())).encode()).hexdigest()


@functools.cache
def _sources() -> str | None:
    """Digest of the sources that determine a kernel: emitters, and the cells' rules of derivation. None: unknown."""
    return digest(Path(__file__).parents[2], __name__.split(".")[0], ("kernels", "cells"))


def _read(path: Path) -> bytes | None:
    """The object code in a cache file; None if the file is missing or damaged. The last 32 bytes are its SHA-256."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code, seal = data[:-32], data[-32:]
    return code if hashlib.sha256(code).digest() == seal else None


def _write(path: Path, code: bytes) -> None:
    """Writes a temporary file and renames it, so that no reader sees a partial file. Write errors disable the cache."""
    aside = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        os.replace(aside, path)
    except OSError:
        # The cache only saves time: the kernel is compiled already and runs from memory.
        if aside is not None:
            with contextlib.suppress(OSError):
                Path(aside).unlink(missing_ok=True)
