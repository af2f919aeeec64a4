"""Emits the object of a network in a process of its own, because LLVM ends the process where it cannot go on."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, phrase
from ...kernels.system import object_code
from .chip import WHERE, Chip
from .objects import ObjectParts, parts_of

_FRAME = re.compile(r"stack frame size \((\d+)\) exceeds limit \(0\) in function '([^']+)'")
_SYSTEM = {"_fltused", "__aeabi_unwind_cpp_pr0", ".TOC.", "_GLOBAL_OFFSET_TABLE_"}
"""Symbols that are no code: the marks of floats on Windows and of frames on ARM, tables of addresses."""
_VECTOR = 16
"""Bytes of a vector register of RISC-V with 128 bits, the least that code here runs on."""


@dataclass(frozen=True)
class Emitted:
    """An object.

    data   the file
    parts  what is in it
    stack  bytes of the deepest chain of calls, at most
    """

    data: bytes
    parts: ObjectParts
    stack: int


def emit(text: str, chip: Chip) -> Emitted:
    """The object of a module's text. Raises InputError where LLVM has no code for the machine, or only with calls."""
    order = {
        "text": text,
        "triple": chip.triple,
        "cpu": chip.cpu,
        "features": chip.features,
        "abi": chip.abi,
        "reloc": "pic" if chip.pic else "static",
    }
    command = [sys.executable, "-I", object_code.__file__]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True)
    failed = {"error": _last_words(done.stderr)}
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else failed
    remedy = "form='source' writes C for its own compiler; the names of the table are in ostinato.export.CHIPS."
    described = f"{chip.triple}, cpu {chip.cpu or 'generic'}, features {chip.features or 'none'}"
    if "error" in answer:
        received = f"{described}: {answer['error'].strip()}"
        raise InputError(phrase(WHERE, "the machine", "one that LLVM emits objects for", received, remedy))
    for part in ("is not a recognized processor", "is not a recognized feature"):
        if part in done.stderr:
            said = next(line for line in done.stderr.splitlines() if part in line)
            raise InputError(phrase(WHERE, "cpu and features", f"LLVM's for {chip.triple}", said.strip(), remedy))
    _check_layout(answer["layout"], chip, described)
    data = base64.b64decode(answer["code"])
    parts = parts_of(data)
    foreign = sorted(set(parts.undefined) - _SYSTEM)
    if foreign:
        why = "a machine with a fused multiply-add and square root of this type"
        calls = f"{described}, which calls {', '.join(foreign)}"
        more = "Give the processor: chip(triple=..., cpu=..., features=...); or write form='source'."
        raise InputError(phrase(WHERE, "the machine", why, calls, more))
    frames = {name: int(size) for size, name in _FRAME.findall(done.stderr)}
    for name, slots in answer["slots"].items():
        frames[name] = frames.get(name, 0) + slots * _VECTOR
    return Emitted(data, parts, _deepest(answer["calls"], frames, chip))


def _last_words(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not _FRAME.search(line)]
    fatal = [line for line in lines if "LLVM ERROR" in line or "Assertion" in line]
    return (fatal or lines or ["LLVM ended the process"])[0]


def _check_layout(layout: str, chip: Chip, described: str) -> None:
    """Refuses a machine whose numbers begin with the highest byte, and one with other addresses than `bits`."""
    if layout.startswith("E"):
        remedy = "form='source' writes C, whose weights are numbers and not bytes."
        raise InputError(phrase(WHERE, "the machine", "little endian", f"{described}, big endian", remedy))
    pointer = re.search(r"-p:(\d+)", layout)
    bits = int(pointer[1]) if pointer else 64
    if bits != chip.bits:
        remedy = f"Write chip(..., bits={bits})."
        raise InputError(phrase(WHERE, "bits", f"{bits}, those of an address of {chip.triple}", chip.bits, remedy))


def _deepest(calls: dict[str, list[str]], frames: dict[str, int], chip: Chip) -> int:
    """Bytes of the frames along the deepest chain of calls; every call also has a return address, rounded up to 16."""

    def depth(name: str) -> int:
        below = [depth(other) for other in calls[name] if other in calls]
        return frames.get(name, 0) + 16 + max(below, default=0)

    return max(depth(name) for name in calls)
