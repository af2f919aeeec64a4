"""Compiles exported networks with cross compilers and runs them under emulators: are the bits those of the stream?"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostinato.export import CFiles
from ostinato.kernels.system.target import can_run, target_by_name
from ostinato.network import Network
from ostinato.streaming.streams import Stream

CODE = Path(__file__).with_name("emulated_c")
STRICT = "-std=c99 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wno-unused-command-line-argument -Werror".split()
_GCC_STRICT = [word for word in STRICT if "unused-command" not in word]
_ARM = ["-ffreestanding", "-nostdlib", "-nostartfiles", "-fno-tree-loop-distribute-patterns"]


@dataclass(frozen=True)
class Machine:
    """How programs for one target are made and run here.

    compiler  the command, with the flags of the machine
    run       the emulator's command, before the program's path; empty where this machine runs it
    start     the file of `emulated_c` that has the beginning of the program and its output
    script    the linker script of a machine without a system
    libgcc    whether the compiler has its support library for this machine
    level     the instruction set that this machine needs where it runs the program itself
    """

    compiler: list[str]
    run: list[str] = field(default_factory=list)
    start: str = "hosted.c"
    script: str = ""
    libgcc: bool = False
    level: str = ""

    def missing(self) -> str:
        """The first tool that is not installed, or the instruction set that this machine lacks; "" for neither."""
        if self.level and not can_run(target_by_name(self.level)):
            return self.level
        return next((tool for tool in (self.compiler[0], *self.run[:1]) if not shutil.which(tool)), "")


def _cortex(model: str, board: str, script: str = "low.ld", floats: str = "hard") -> Machine:
    compiler = ["arm-none-eabi-gcc", f"-mcpu=cortex-{model}", "-mthumb", f"-mfloat-abi={floats}", *_ARM]
    run = ["qemu-system-arm", "-M", board, "-nographic", "-monitor", "none", "-serial", "none"]
    run += ["-semihosting-config", "enable=on,target=native", "-kernel"]
    return Machine(compiler, run, "semihosting.c", script, True)


def _riscv32(extensions: str) -> list[str]:
    return ["riscv64-linux-gnu-gcc", f"-march=rv32{extensions}", "-mabi=ilp32f", "-static", "-Wl,--no-relax", *_ARM]


MACHINES = {
    "x86-64-v3": Machine(["gcc"], level="avx2"),
    "x86-64-v4": Machine(["gcc"], level="avx512"),
    "aarch64": Machine(["aarch64-linux-gnu-gcc", "-static"], ["qemu-aarch64"]),
    "armv7": Machine(["arm-none-eabi-gcc", "-mcpu=cortex-a7", "-mfpu=neon-vfpv4", "-mfloat-abi=hard", *_ARM],
                     ["qemu-arm", "-cpu", "cortex-a7"], "syscalls.c", "", True),
    "cortex-m4": _cortex("m4", "mps2-an386"),
    "cortex-m7": _cortex("m7", "mps2-an500"),
    "cortex-m33": _cortex("m33", "mps2-an505", "secure.ld"),
    "cortex-m55": _cortex("m55", "mps3-an547"),
    "riscv64": Machine(["riscv64-linux-gnu-gcc", "-static"], ["qemu-riscv64"]),
    "riscv64v": Machine(["riscv64-linux-gnu-gcc", "-static"], ["qemu-riscv64", "-cpu", "rv64,v=true,vlen=128"]),
    "riscv32": Machine(_riscv32("imafc"), ["qemu-riscv32"], "syscalls.c"),
    "riscv32v": Machine(_riscv32("imafc"), ["qemu-riscv32", "-cpu", "rv32,v=true,vlen=128"], "syscalls.c"),
}  # fmt: skip
"""Target's name → how it is run here."""

SOFT = {
    name: _cortex(name.removeprefix("cortex-"), board, script, "soft")
    for name, board, script in [("cortex-m3", "mps2-an385", "low.ld"), ("cortex-m0", "microbit", "small.ld")]
}
"""The same for targets without a floating point unit, which take C source only."""


@dataclass(frozen=True)
class Outcome:
    """What the program found.

    differing  outputs whose bits differ
    failed     the first check that failed, "" where none did
    stack      bytes of stack that a call took; 0 where it was not measured
    """

    differing: int
    failed: str
    stack: int

    @property
    def equal(self) -> bool:
        return self.differing == 0 and not self.failed


CHECKS = (
    "self-test", "steps", "run", "saved and loaded", "damaged state accepted", "token accepted", "weights",
    "mode of subnormal numbers",
)  # fmt: skip
"""What `check.c` checks: its results 1, 2, …"""


def run(files: CFiles, network: Network, x: torch.Tensor, machine: Machine) -> Outcome:
    """Steps, the whole sequence, and a state saved and loaded half way, on x [T, C] or int64 [T]: all bits compared."""
    folder, name = Path(files.folder), files.files[0].removesuffix(".h")
    y = Stream(network).push(x)
    (folder / "expected.h").write_text(_data(files, name, x, y), encoding="utf-8")
    own = [f"{name}_tools.c", next(f for f in files.files if f.endswith((".o", f"{name}.c")))]
    flags = STRICT if "clang" in machine.compiler[0] else _GCC_STRICT
    command = [*machine.compiler, *flags, "-I.", f"-I{CODE}", str(CODE / "check.c"), str(CODE / machine.start), *own]
    command += ["-o", "check", *(["-T", str(CODE / machine.script)] if machine.script else [])]
    _done(command + (["-lgcc"] if machine.libgcc else []), folder)
    done = subprocess.run([*machine.run, "./check"], cwd=folder, capture_output=True, text=True, timeout=120)
    # A board has no output but the one of its debugger.
    said = (done.stdout or done.stderr).split()
    if len(said) != 3:
        raise RuntimeError(f"{files.target}: {done.returncode}: {done.stdout} {done.stderr}")
    failed = int(said[0])
    return Outcome(int(said[1]), CHECKS[failed - 1] if failed else "", int(said[2]))


def _done(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def _data(files: CFiles, name: str, x: torch.Tensor, y: torch.Tensor) -> str:
    """expected.h: inputs and the bits of the outputs, and what the network is called."""
    real = "float" if y.dtype is torch.float32 else "double"
    tokens = not x.dtype.is_floating_point
    blob = f"{name}.weights" in files.files
    n, N = name, name.upper()
    lines = [f'#include "{n}.h"', f"#define STEPS {len(x)}u", f"typedef {real} real;"]
    lines.append(f"typedef uint{8 * y.dtype.itemsize}_t word;")
    lines += [f"#define {w} {N}_{w}" for w in ("INPUT", "OUTPUT", "STATE_BYTES", "WORK_BYTES", "SAVED_BYTES", "OK")]
    for function in ("reset", "step", "run", "save", "load", "selftest"):
        given = "state, work" if function in ("step", "run", "selftest") else "state"
        lines.append(f"#define do_{function}(state, work, ...) {n}_{function}({given}{', weights' if blob else ''}"
                     f"{', __VA_ARGS__' if function != 'reset' else ''})")  # fmt: skip
    if tokens:
        lines += ["#define TOKENS 1", f"static const int64_t inputs[] = {{{_list(x)}}};", "#define INPUTS inputs"]
    else:
        lines.append(f"static const union {{ word bits[{x.numel()}]; real numbers[{x.numel()}]; }} inputs = "
                     f"{{{{{_list(_bits(x))}}}}};\n#define INPUTS inputs.numbers")  # fmt: skip
    if blob:
        content = (Path(files.folder) / f"{n}.weights").read_bytes()
        words = np.frombuffer(content, "<u4")
        lines += [f"static const uint32_t blob[] = {{{_list(words)}}};", "#define BLOB 1"]
        lines += ["static const void *const weights = blob;", f"#define weights_check {n}_weights_check"]
        lines.append(f"#define WEIGHTS_BYTES {N}_WEIGHTS_BYTES")
    return "\n".join([*lines, f"static const word expected[] = {{{_list(_bits(y))}}};", ""])


def _bits(values: torch.Tensor) -> Any:
    array = values.contiguous().numpy()
    return array.reshape(-1).view(np.uint32 if array.itemsize == 4 else np.uint64)


def _list(values: Any) -> str:
    suffix = "" if isinstance(values, torch.Tensor) else "ull" if values.itemsize == 8 else "u"
    return ",".join(f"{int(v)}{suffix}" for v in values)
