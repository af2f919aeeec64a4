"""Targets: the instruction sets that kernels are compiled for, and those that this machine can run."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from llvmlite import binding as llvm

from ostinato.errors import InputError, NoKernelsError, phrase

_NAMES = ("host", "avx512", "avx2", "sse", "aarch64")
_ITEM_BITS = {"float32": 32, "float64": 64}
# The processor features of x86-64-v3 and v4 that LLVM may use in compiled code.
X86_64_V3 = ("avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe", "popcnt")
_AVX512 = ("avx512f", "avx512dq", "avx512vl", "avx512bw", "avx512cd")
REQUIRED_FEATURES = {"avx2": X86_64_V3, "avx512": (*X86_64_V3, *_AVX512)}
# On some processors (skylake-avx512 and its successors) LLVM splits 512-bit vectors; with this feature it does not.
_WHOLE_VECTORS = "-prefer-256-bit"


@dataclass(frozen=True)
class Target:
    """An instruction set. `name` is its level: avx512, avx2 or aarch64."""

    name: str
    triple: str
    cpu: str
    features: str
    vector_bits: int

    @property
    def registers(self) -> int:
        """Architectural vector registers."""
        return 16 if self.name == "avx2" else 32

    def lanes(self, scalar: str) -> int:
        """Numbers of type `scalar`, float32 or float64, in one vector register."""
        if scalar not in _ITEM_BITS:
            raise InputError(phrase("Target.lanes", "scalar", " or ".join(_ITEM_BITS), repr(scalar)))
        return self.vector_bits // _ITEM_BITS[scalar]


def host() -> Target:
    """The target that kernels are compiled for and run on.

    The environment variable OSTINATO_TARGET (host, avx512, avx2, sse, aarch64) selects another one than the host's
    best. Raises InputError when the name is unknown or this machine cannot run it, and NoKernelsError when this
    machine, or the level asked for, has no fused multiply-add.
    """
    return _runnable(os.environ.get("OSTINATO_TARGET") or "host")


@functools.cache
def _runnable(name: str) -> Target:
    target = target_by_name(name)
    if not can_run(target):
        raise InputError(
            phrase(
                "OSTINATO_TARGET",
                "target",
                f"one that this machine ({_host_cpu()}, {host_triple()}) can run",
                repr(target.name),
                "Leave it unset to use the best this machine has.",
            )
        )
    return target


@functools.cache
def target_by_name(name: str) -> Target:
    """A target by name, whether or not this machine can run it: host, avx512, avx2, sse, aarch64."""
    if name == "host":
        return _detect()
    triple = host_triple()
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
    raise InputError(phrase("target_by_name", "target", "one of " + ", ".join(_NAMES), repr(name)))


def _detect() -> Target:
    triple, cpu = host_triple(), _host_cpu()
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
    # Without the instruction, llvm.fma becomes a library call per number: correct, and far slower than torch.
    return f"Kernels need fused multiply-add (FMA) and the other instructions of x86-64-v3, which {what} lacks."


def _has(level: str) -> bool:
    features = _host_features()
    return all(features.get(feature, False) for feature in REQUIRED_FEATURES[level])


def can_run(target: Target) -> bool:
    """Whether this machine has the target's architecture and features."""
    if target.name == "aarch64":
        return host_triple().startswith(("aarch64", "arm64"))
    return host_triple().startswith("x86_64") and _has(target.name)


@functools.cache
def host_triple() -> str:
    """The target triple of this process."""
    return llvm.get_process_triple()


@functools.cache
def _host_cpu() -> str:
    return llvm.get_host_cpu_name()


@functools.cache
def _host_features() -> dict[str, bool]:
    return dict(llvm.get_host_cpu_features())
