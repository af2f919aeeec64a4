"""`Chip`: a machine that networks are exported for, and the table of those with names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...errors import InputError, did_you_mean, phrase

WHERE = "export.c"


@dataclass(frozen=True)
class Chip:
    """A machine that code is emitted for; `export.chip` makes one."""

    name: str
    """What it is called in files and messages."""
    triple: str
    """LLVM's name of architecture, vendor, system and ABI; "" where LLVM has no code for it that can be used."""
    cpu: str = ""
    """LLVM's name of the processor; "" for the plainest one."""
    features: str = ""
    """LLVM's features, as "+v,+zvl128b"."""
    lanes: int = 1
    """float32 numbers in a vector; 1 for code without vectors."""
    registers: int = 16
    """Floating point registers of that width."""
    bits: int = 64
    """Bits of an address, 32 or 64."""
    float64: bool = False
    """Whether it has a fused multiply-add of float64."""
    lanes64: int = 1
    """float64 numbers in a vector."""
    abi: str = ""
    """LLVM's name of the calling convention, where an architecture has several."""
    pic: bool = False
    """Whether the code can be loaded anywhere, as a hosted system's programs and libraries need."""
    link: str = "cc"
    """A command that compiles and links C for it."""
    note: str = ""
    """Why there is no object for it, where there is none."""
    flash: int | None = None
    """Bytes for code and constants; None for what an address reaches."""
    ram: int | None = None
    """Bytes for state, workspace and stack; None for what an address reaches."""

    @property
    def source_only(self) -> bool:
        """Whether only form="source" exists for it."""
        return bool(self.note)

    def lanes_of(self, scalar: str) -> int:
        """Numbers of type float32 or float64 in a vector."""
        return self.lanes if scalar == "float32" else self.lanes64


_NO_FMA = "it has no fused multiply-add, which every sum needs"
_NO_LLVM = "LLVM has no code generator for it"


def _x86(name: str, system: str, wide: bool) -> Chip:
    cpu, features, lanes, registers = ("x86-64-v4", "-prefer-256-bit", 16, 32) if wide else ("x86-64-v3", "", 8, 16)
    link = "cl" if "windows" in system else "cc"
    return Chip(name, f"x86_64-{system}", cpu, features, lanes, registers, 64, True, lanes // 2, pic=True, link=link)


def _arm64(name: str, triple: str, cpu: str, link: str) -> Chip:
    return Chip(name, triple, cpu, "", 4, 32, 64, True, 2, pic=True, link=link)


def _cortex_m(model: str, arch: str, **more: object) -> Chip:
    link = f"arm-none-eabi-gcc -mcpu=cortex-{model} -mthumb -mfloat-abi=hard"
    chip = Chip(f"cortex-{model}", f"{arch}-none-unknown-eabihf", f"cortex-{model}", "", 1, 32, 32, link=link)
    return replace(chip, **more)  # type: ignore[arg-type]


def _riscv(name: str, extensions: str, **more: object) -> Chip:
    bits = int(name[5:7])
    features = ",".join("+" + e for e in extensions.split())
    triple = "riscv64-unknown-linux-gnu" if bits == 64 else "riscv32-unknown-unknown-elf"
    chip = Chip(name, triple, f"generic-rv{bits}", features, 1, 32, bits, pic=bits == 64)
    return replace(chip, **more)  # type: ignore[arg-type]


def _source(name: str, note: str, bits: int = 32, link: str = "cc", **more: object) -> Chip:
    return replace(Chip(name, "", bits=bits, link=link, note=note), **more)  # type: ignore[arg-type]


_RV64, _RV32 = "riscv64-linux-gnu-gcc -mabi=lp64d", "riscv32-unknown-elf-gcc -mabi=ilp32f"
_ROWS = [
    _x86("x86-64-v3", "unknown-linux-gnu", False),
    _x86("x86-64-v4", "unknown-linux-gnu", True),
    _x86("x86-64-v3-macos", "apple-macosx11.0.0", False),
    _x86("x86-64-v3-windows", "pc-windows-msvc", False),
    _x86("x86-64-v4-windows", "pc-windows-msvc", True),
    _source("x86-64", _NO_FMA, 64),
    _arm64("aarch64", "aarch64-unknown-linux-gnu", "generic", "aarch64-linux-gnu-gcc"),
    _arm64("aarch64-macos", "arm64-apple-macosx11.0.0", "apple-m1", "cc -arch arm64"),
    _arm64("aarch64-windows", "aarch64-pc-windows-msvc", "generic", "cl"),
    Chip("armv7", "armv7-unknown-linux-gnueabihf", "cortex-a7", "+neon,+vfp4", 4, 16, 32, True, 1, pic=True,
         link="arm-linux-gnueabihf-gcc -mfpu=neon-vfpv4"),
    _source("cortex-m0", _NO_FMA, link="arm-none-eabi-gcc -mcpu=cortex-m0 -mthumb"),
    _source("cortex-m3", _NO_FMA, link="arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb"),
    _cortex_m("m4", "thumbv7em"),
    _cortex_m("m7", "thumbv7em", float64=True),
    _cortex_m("m33", "thumbv8m.main"),
    _cortex_m("m55", "thumbv8.1m.main", features="+mve.fp", lanes=4, registers=8, float64=True),
    _riscv("riscv64", "m a f d c", abi="lp64d", float64=True, link=f"{_RV64} -march=rv64gc"),
    _riscv("riscv64v", "m a f d c v zvl128b", abi="lp64d", float64=True, lanes=4, lanes64=2,
           link=f"{_RV64} -march=rv64gc"),
    _riscv("riscv32", "m a f c", abi="ilp32f", link=f"{_RV32} -march=rv32imafc"),
    _riscv("riscv32v", "m a f c zve32f zvl128b", abi="ilp32f", lanes=4, link=f"{_RV32} -march=rv32imafc"),
    _source("riscv32imc", _NO_FMA, link="riscv32-unknown-elf-gcc -march=rv32imc -mabi=ilp32"),
    _source("esp32", _NO_LLVM, link="xtensa-esp32-elf-gcc"),
    _source("esp32-s3", _NO_LLVM, link="xtensa-esp32s3-elf-gcc"),
    _source("esp32-c3", _NO_FMA, link="riscv32-esp-elf-gcc -march=rv32imc -mabi=ilp32"),
    _source("c99", "it names a language and no machine", 64, float64=True),
]  # fmt: skip
CHIPS = {row.name: row for row in _ROWS}
"""Name → the machine."""

_SHORT_ARM = re.compile(r"(?:arm|thumb)\w*[\w.]*-(?:none|linux)-\w*eabi\w*")


def chip(name: str | None = None, *, triple: str = "", flash: int | None = None, ram: int | None = None,
         **fields: object) -> Chip:  # fmt: skip
    """A machine for `export.c`: one of the table by name, or any that LLVM has code for by its `triple`.

    flash, ram  bytes that it has; an export that needs more is refused
    fields      other fields of `Chip` that differ from the table's, as cpu="cortex-a53", lanes=4, features="+v"

    Raises InputError for a name that the table does not have, and for a triple whose parts are not complete.
    """
    where = f"{WHERE}: chip"
    if (name is None) == (not triple):
        raise InputError(phrase(where, "the machine", "either a name or a triple", f"{name!r}, triple={triple!r}"))
    for what, size in (("flash", flash), ("ram", ram)):
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size <= 0):
            raise InputError(phrase(where, what, "a number of bytes above 0", repr(size), "Write ram=256 << 10."))
    known = set(Chip.__dataclass_fields__) - {"name", "triple", "flash", "ram", "note"}
    for field in fields:
        if field not in known:
            remedy = f"{did_you_mean(field, known)}Fields of a Chip can be set."
            raise InputError(phrase(where, "an argument", f"one of {', '.join(sorted(known))}", repr(field), remedy))
    if name is not None:
        if name not in CHIPS:
            remedy = f"{_near(name)}Others that LLVM has code for: triple='...'; for all others target='c99'."
            raise InputError(phrase(where, "target", f"one of {', '.join(CHIPS)}", repr(name), remedy))
        row = CHIPS[name]
    else:
        row = _from_triple(where, triple)
    return replace(row, flash=flash, ram=ram, **fields)  # type: ignore[arg-type]


def _near(name: object) -> str:
    """The suggestion for a name that is near one of the table: spelled alike, or the same letters and digits."""
    plain = {re.sub(r"[^a-z0-9]", "", n): n for n in CHIPS}
    same = plain.get(re.sub(r"[^a-z0-9]", "", str(name).lower()))
    return f"Did you mean {same!r}? " if same else did_you_mean(name, CHIPS)


def _from_triple(where: str, triple: str) -> Chip:
    if not isinstance(triple, str) or triple.count("-") < 2:
        remedy = "Write triple='aarch64-unknown-linux-gnu'."
        raise InputError(phrase(where, "triple", "architecture-vendor-system", repr(triple), remedy))
    if _SHORT_ARM.fullmatch(triple):
        # LLVM takes the system for the vendor, and the object loses the mark of floats in registers.
        arch, rest = triple.split("-", 1)
        fixed = f"{arch}-none-unknown-{rest.split('-')[-1]}" if rest.startswith("none") else f"{arch}-unknown-{rest}"
        remedy = f"Without the vendor linkers find another calling convention in it. Write triple={fixed!r}."
        raise InputError(phrase(where, "triple", "one with a vendor", repr(triple), remedy))
    bits = 64 if "64" in triple.split("-")[0] and "64_32" not in triple else 32
    hosted = any(system in triple for system in ("linux", "darwin", "macos", "windows", "bsd"))
    return Chip(triple, triple, bits=bits, pic=hosted, float64=bits == 64)
