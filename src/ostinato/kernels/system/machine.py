"""The machine: which instructions kernels may use, LLVM text to machine code, and the cache of compiled kernels.

A kernel is compiled once for a machine and then loaded from an object file. The file's name is the SHA-256 of
everything that the code depends on: the caller's key, the target, the sources that emit kernels, and the versions of
llvmlite, LLVM and Ostinato. So nothing in the cache is ever stale, and nothing in it ever needs invalidating.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding as llvm

from ostinato._version import __version__
from ostinato.errors import InputError, NoKernelsError, phrase
from ostinato.kernels.system.sources import digest

Source = Any  # text of LLVM IR, or an llvmlite ir.Module, whose str() is that text

_NAMES = ("host", "avx512", "avx2", "sse", "aarch64")
_ITEM_BITS = {"float32": 32, "float64": 64}
# What an x86-64 level needs of the machine that runs it: x86-64-v3 and v4, as far as compiled code can meet them.
_V3 = ("avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe", "popcnt")
_NEEDS = {"avx2": _V3, "avx512": (*_V3, "avx512f", "avx512dq", "avx512vl", "avx512bw", "avx512cd")}
# On some processors (skylake-avx512 and its heirs) LLVM prefers 256 bits where it chooses by itself. Vectors that are
# written in 512 bits stay whole even there.
_WHOLE_VECTORS = "-prefer-256-bit"


@dataclass(frozen=True)
class Target:
    """The instructions that a kernel may use. `name` is the level: avx512, avx2 or aarch64."""

    name: str
    triple: str
    cpu: str
    features: str
    vector_bits: int

    @property
    def registers(self) -> int:
        """Vector registers that the instruction set names."""
        return 16 if self.name == "avx2" else 32

    def lanes(self, scalar: str) -> int:
        """Numbers of type `scalar`, float32 or float64, in one vector register."""
        if scalar not in _ITEM_BITS:
            raise InputError(phrase("Target.lanes", "scalar", " or ".join(_ITEM_BITS), repr(scalar)))
        return self.vector_bits // _ITEM_BITS[scalar]


def host() -> Target:
    """The target that kernels are compiled for and run on.

    The environment variable OSTINATO_TARGET (host, avx512, avx2, sse, aarch64) asks for another one than the host's
    best. Raises InputError when the name is unknown or this machine cannot run it, and NoKernelsError when this
    machine, or the level asked for, has no fused multiply-add.
    """
    return _runnable(os.environ.get("OSTINATO_TARGET") or "host")


@functools.cache
def _runnable(name: str) -> Target:
    target = named(name)
    if not _runs(target):
        raise InputError(
            phrase(
                "OSTINATO_TARGET",
                "target",
                f"one that this machine ({_host_cpu()}, {_host_triple()}) can run",
                repr(target.name),
                "Leave it unset to use the best this machine has.",
            )
        )
    return target


@functools.cache
def named(name: str) -> Target:
    """A target by name, whether or not this machine can run it: host, avx512, avx2, sse, aarch64."""
    if name == "host":
        return _detect()
    triple = _host_triple()
    x86 = triple if triple.startswith("x86_64") else "x86_64-unknown-linux-gnu"
    if name == "avx512":
        return Target("avx512", x86, "x86-64-v4", _WHOLE_VECTORS, 512)
    if name == "avx2":
        return Target("avx2", x86, "haswell", "", 256)
    if name == "sse":
        raise NoKernelsError(_without_fma("sse"))
    if name == "aarch64":
        arm = triple if triple.startswith(("aarch64", "arm64")) else "aarch64-unknown-linux-gnu"
        return Target("aarch64", arm, "generic", "", 128)
    raise InputError(phrase("machine.named", "target", "one of " + ", ".join(_NAMES), repr(name)))


def _detect() -> Target:
    triple, cpu = _host_triple(), _host_cpu()
    features = ",".join(f"{'+' if on else '-'}{key}" for key, on in sorted(_host_features().items()))
    if triple.startswith(("aarch64", "arm64")):
        return Target("aarch64", triple, cpu, features, 128)
    if not triple.startswith("x86_64"):
        raise NoKernelsError(f"Kernels exist for x86-64 and aarch64, and this machine is {triple}.")
    if _has("avx512"):
        return Target("avx512", triple, cpu, f"{features},{_WHOLE_VECTORS}", 512)
    if _has("avx2"):
        return Target("avx2", triple, cpu, features, 256)
    raise NoKernelsError(_without_fma(cpu))


def _without_fma(what: str) -> str:
    # Without the instruction, llvm.fma becomes a library call per number: right, and far slower than torch.
    return f"Kernels need fused multiply-add (FMA) and the other instructions of x86-64-v3, which {what} lacks."


def _has(level: str) -> bool:
    features = _host_features()
    return all(features.get(feature, False) for feature in _NEEDS[level])


def _runs(target: Target) -> bool:
    if target.name == "aarch64":
        return _host_triple().startswith(("aarch64", "arm64"))
    return _host_triple().startswith("x86_64") and _has(target.name)


@functools.cache
def _host_triple() -> str:
    return llvm.get_process_triple()


@functools.cache
def _host_cpu() -> str:
    return llvm.get_host_cpu_name()


@functools.cache
def _host_features() -> dict[str, bool]:
    return dict(llvm.get_host_cpu_features())


# Compilation.


class Library:
    """Compiled functions, by name. Their addresses are valid for as long as the library is referenced.

    nbytes  what it takes in memory: its code twice, as the file and where it runs, and what LLVM keeps for it
    """

    def __init__(self, name: str, engine: Any, code_bytes: int) -> None:
        self.name, self.nbytes = name, 2 * code_bytes + _ENGINE_BYTES
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def address(self, function: str) -> int:
        """The address of a function, for ctypes or for `threads.parallel`."""
        address = self._addresses.get(function)
        if address is None:
            with _lock:
                address = self._engine.get_function_address(function)
            if not address:
                raise InputError(phrase(f"kernel {self.name}", "function", "one that it defines", repr(function)))
            self._addresses[function] = address
        return address


# Reentrant, because the caller's emitter runs under it. Held across a fork, so that a child never inherits LLVM, or
# this module, in the middle of something.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)

# Whoever calls a library keeps it alive; when nobody does any more, its executable memory goes back to the system.
_libraries: weakref.WeakValueDictionary[str, Library] = weakref.WeakValueDictionary()
_ENGINE_BYTES = 64 << 10
_compiled = 0


def compiled_count() -> int:
    """How many kernels this process has compiled; loading one from the cache does not count."""
    return _compiled


def compile(source: Source | Callable[[], Source], *, name: str, key: str, target: Target | None = None) -> Library:
    """The library of a kernel: from this process, else from the cache, else compiled now.

    source: LLVM text or module, or a function without arguments that makes it and is called only when needed.
    name:   what error messages call the kernel.
    key:    identifies the source: two sources that differ have keys that differ (cell text, options, dtype).
    target: the host's by default. Raises InputError when this machine cannot run it.
    """
    target = target or host()
    if not _runs(target):
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
    """Object code from the cache, or compiled now and left there."""
    global _compiled
    # Where the sources cannot be read, a file might be that of another build.
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
        return machine.emit_object(_optimised(source, target, machine, name))


def emit_assembly(source: Source, target: Target, *, name: str = "kernel") -> str:
    """The assembly text of exactly the code that `emit_object` gives."""
    with _lock:
        machine = _target_machine(target)
        return machine.emit_assembly(_optimised(source, target, machine, name))


def _optimised(source: Source, target: Target, machine: Any, name: str) -> Any:
    try:
        module = llvm.parse_assembly(str(source))
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise InputError(f"kernel {name}: LLVM does not accept its text. {error}") from error
    for value in [*module.functions, *module.global_variables]:
        # LLVM would end the process when it cannot find one of these.
        if value.is_declaration and not value.name.startswith("llvm."):
            raise InputError(
                phrase(f"kernel {name}", "everything it calls", "its own or an intrinsic of LLVM", repr(value.name),
                       "Hand over the address of a foreign function in the kernel's frame.")
            )  # fmt: skip
    # Kernels arrive as vector code with tiles of full height. LLVM's vectorisers and its unrolling could only look for
    # what is not there. Of all other passes these make kernels with products as fast as the whole of a level does, and
    # that takes ten times as long. Elementwise cells miss a few per cent.
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.add_loop_rotate_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1)))
    return module


def _target_machine(target: Target) -> Any:
    if target.triple == _host_triple():
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    description = llvm.Target.from_triple(target.triple)
    return description.create_target_machine(cpu=target.cpu, features=target.features, opt=3, jit=_runs(target))


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
    """Digest of what decides a kernel's content: the emitters, and the cells' rules of derivation. None: not known."""
    return digest(Path(__file__).parents[2], __name__.split(".")[0], ("kernels", "cells"))


def _read(path: Path) -> bytes | None:
    """The object code in a cache file, or None when it is not there or not whole. The last 32 bytes are its SHA-256."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code, seal = data[:-32], data[-32:]
    return code if hashlib.sha256(code).digest() == seal else None


def _write(path: Path, code: bytes) -> None:
    """Written aside and renamed, so that no reader sees half a file. A folder that cannot be written is left alone."""
    aside = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        os.replace(aside, path)
    except OSError:
        # The cache saves time and nothing else: the kernel is already compiled and runs from memory.
        if aside is not None:
            with contextlib.suppress(OSError):
                Path(aside).unlink(missing_ok=True)
