"""The cache of compiled kernels, in memory and on disk.

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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
from llvmlite import binding as llvm

from ostinato._version import __version__
from ostinato.errors import InputError, phrase
from ostinato.kernels.system import compiler
from ostinato.kernels.system.compiler import Source
from ostinato.kernels.system.sources import digest
from ostinato.kernels.system.target import Target, can_run, host


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
            with compiler.lock:
                address = self._engine.get_function_address(function)
            if not address:
                raise InputError(phrase(f"kernel {self.name}", "function", "one that it defines", repr(function)))
            self._addresses[function] = address
        return address


# Libraries are alive as long as a caller refers to them; then their executable memory is freed.
_libraries: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()
_ENGINE_BYTES = 64 << 10
_compiled = 0
_busy: dict[str, threading.Event] = {}
"""The kernels that a thread is compiling or loading: others wait for it, and then look again."""
_ahead: dict[str, bytes] = {}
"""Object code that no call of `compile` has asked for yet."""
_AHEAD_BYTES = 16 << 20
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_busy.clear)  # a child has none of these threads


def compiled_count() -> int:
    """Kernels compiled by this process; those loaded from the cache do not count."""
    return _compiled


class Order(NamedTuple):
    """A kernel to compile.

    source: LLVM text or module, or a function without arguments that makes it and is called only when needed.
    name:   of the kernel in error messages.
    key:    identifies the source: two sources that differ have keys that differ (cell text, options, dtype).
    target: of the code.
    """

    source: Source | Callable[[], Source]
    name: str
    key: str
    target: Target

    @property
    def identity(self) -> str:
        """The name of its cache entry."""
        return _identity(self.key, self.target)


def compile(source: Source | Callable[[], Source], *, name: str, key: str, target: Target | None = None) -> Library:
    """The library of a kernel: from this process, else from the cache on disk, else compiled now.

    The arguments are those of an `Order`, the target the host's by default. Raises InputError when this machine cannot
    run it.
    """
    target = target or host()
    if not can_run(target):
        raise InputError(
            phrase(f"kernel {name}", "target", "one that this machine can run", repr(target.name),
                   "Use emit_assembly or emit_object to look at its code.")
        )  # fmt: skip
    identity = _identity(key, target)
    while True:
        with compiler.lock:
            library = _libraries.get(identity)
            if library is not None:
                return library
            busy = _busy.get(identity)
            if busy is None:
                code = _ahead.pop(identity, None)
                _busy[identity] = threading.Event()
                break
        busy.wait()
    try:
        if code is None:
            code = _cached(identity, source, name, target)
        library = Library(name, compiler.load(code, target), len(code))
        with compiler.lock:
            _libraries[identity] = library
        return library
    finally:
        _release(identity)


def missing(orders: Iterable[Order]) -> list[Order]:
    """Those of the orders that are neither in memory, nor being compiled, nor in the cache on disk; each once."""
    found = {order.identity: order for order in orders}
    with compiler.lock:
        return [order for name, order in found.items() if not _known(name) and _on_disk(name) is None]


def compile_ahead(order: Order) -> None:
    """Compiles a kernel for a later call of `compile`, unless it is in memory or being compiled.

    An error is not raised here: `compile` then compiles the kernel again, and raises the error where it is asked for.
    """
    if _claimed(order.identity):
        _compile_claimed(order)


def start_ahead(order: Order) -> None:
    """`compile_ahead` in a thread of its own, for which `compile` waits. A process ends after these threads have."""
    if not _claimed(order.identity):
        return
    try:
        threading.Thread(target=_compile_claimed, args=(order,), name="ostinato-compile").start()
    except RuntimeError:
        # No thread can be started: there are too many, or the interpreter is ending. `compile` does the work.
        _release(order.identity)


def _compile_claimed(order: Order) -> None:
    identity = order.identity
    try:
        with contextlib.suppress(Exception):  # `compile` raises it
            code = _cached(identity, order.source, order.name, order.target)
            with compiler.lock:
                _ahead[identity] = code
                while sum(map(len, _ahead.values())) > _AHEAD_BYTES:
                    del _ahead[next(iter(_ahead))]
    finally:
        _release(identity)


def _known(identity: str) -> bool:
    return identity in _libraries or identity in _ahead or identity in _busy


def _claimed(identity: str) -> bool:
    """Whether the caller is now the one that compiles this kernel, and calls `_release` afterwards."""
    with compiler.lock:
        if _known(identity):
            return False
        _busy[identity] = threading.Event()
        return True


def _release(identity: str) -> None:
    with compiler.lock:
        done = _busy.pop(identity, None)
    if done is not None:
        done.set()


def _cached(identity: str, source: Source | Callable[[], Source], name: str, target: Target) -> bytes:
    """Object code from the cache, or compiled now and written there."""
    global _compiled
    code = _on_disk(identity)
    if code is None:
        code = compiler.emit_object(source, target, name=name)
        with compiler.lock:
            _compiled += 1
        folder = _folder()
        if folder is not None:
            _write(folder / f"{identity}.o", code)
    return code


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


def _folder() -> Path | None:
    # Where the sources cannot be read, a cached file might belong to another build.
    return None if _sources() is None else cache_folder()


def _on_disk(identity: str) -> bytes | None:
    """The object code in the cache on disk."""
    folder = _folder()
    return None if folder is None else _read(folder / f"{identity}.o")


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
