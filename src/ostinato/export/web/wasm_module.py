"""Turns a relocatable object into a module: its imports become definitions, and its relocations are resolved.

The memory of a module, from address 0: the stack, which grows downwards and traps below 0, then the regions that the
caller names, each at a multiple of 64 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import leb
from .wasm_object import MAGIC, WasmObject, refused

PAGE = 65536
_I32, _CONST, _END = b"\x7f", b"\x41", b"\x0b"
_FUNCTION, _MEMORY, _GLOBAL = 0, 2, 3


@dataclass(frozen=True)
class Region:
    """A part of the memory, whose address is the symbol and the exported global `name`.

    content  what the module writes there when it is instantiated; zeros past it, and None for zeros alone
    """

    name: str
    size: int
    content: bytes | None = None


@dataclass(frozen=True)
class Module:
    """A linked module.

    data       the file
    addresses  of the regions, and "heap", the first byte past them
    """

    data: bytes
    addresses: dict[str, int]


def link(found: WasmObject, regions: Sequence[Region], exports: Sequence[str], stack: int) -> Module:
    """A module with its own memory, without imports.

    exports  names of functions, exported beside the memory, the regions' addresses and "heap"
    stack    bytes of the stack
    """
    addresses = _place(regions, stack)
    functions = {s.name: s.index for s in found.symbols if s.kind == "function" and s.defined}
    if found.imported_functions:
        raise refused("everything that the code calls", "its own", f"the function {found.imported_functions[0]}")
    for name in found.imported_globals:
        if name != "__stack_pointer":
            raise refused("a global", "__stack_pointer", name)
    missing = [n for n in exports if n not in functions]
    if missing:
        raise refused("an exported function", ", ".join(sorted(n for n in functions if n)), missing[0])
    code = _resolve(found, addresses)
    top = _global(stack, mutable=True)
    listed = [leb.name("memory") + bytes([_MEMORY, 0])]
    listed += [leb.name(n) + bytes([_FUNCTION]) + leb.unsigned(functions[n] or 0) for n in exports]
    listed += [leb.name(n) + bytes([_GLOBAL]) + leb.unsigned(1 + k) for k, n in enumerate(addresses)]
    filled = [r for r in regions if r.content]
    segments = [
        b"\0" + _CONST + leb.signed(addresses[r.name]) + _END + leb.unsigned(len(r.content)) + r.content
        for r in filled
        if r.content
    ]
    sections = [
        (1, found.types),
        (3, leb.vector([leb.unsigned(t) for t in found.functions])),
        (5, leb.vector([b"\0" + leb.unsigned(-(-addresses["heap"] // PAGE))])),
        (6, leb.vector([top, *(_global(a) for a in addresses.values())])),
        (7, leb.vector(listed)),
        (10, code),
        *([(11, leb.vector(segments))] if segments else []),
    ]
    return Module(MAGIC + b"".join(bytes([k]) + leb.unsigned(len(s)) + s for k, s in sections), addresses)


def _place(regions: Sequence[Region], stack: int) -> dict[str, int]:
    """region → its address, and "heap"."""
    found, at = {}, -(-stack // 64) * 64
    for region in regions:
        found[region.name] = at
        at += -(-region.size // 64) * 64
    found["heap"] = at
    if at >= 1 << 31:
        raise refused("the memory of the network", "less than 2 GiB", f"{at} bytes")
    return found


def _global(value: int, mutable: bool = False) -> bytes:
    return _I32 + bytes([mutable]) + _CONST + leb.signed(value) + _END


def _resolve(found: WasmObject, addresses: Mapping[str, int]) -> bytes:
    """The content of the code section with every relocation resolved."""
    code = bytearray(found.code)
    for r in found.relocations:
        if r.kind == "R_WASM_TYPE_INDEX_LEB":
            value = r.target  # the type section is taken over as it is
        else:
            symbol = found.symbols[r.target]
            if r.kind == "R_WASM_FUNCTION_INDEX_LEB" and symbol.kind == "function" and symbol.index is not None:
                value = symbol.index - len(found.imported_functions)
            elif r.kind == "R_WASM_GLOBAL_INDEX_LEB" and symbol.kind == "global" and symbol.index is not None:
                value = symbol.index  # 0, the stack pointer, the only one
            elif r.kind.startswith("R_WASM_MEMORY_ADDR") and (symbol.name or "") in addresses:
                value = addresses[symbol.name or ""] + r.addend
            else:
                raise refused("a relocation", "of a symbol of its kind that is defined", f"{r.kind} of {symbol.name}")
        code[r.offset : r.offset + 5] = leb.padded(value)
    return bytes(code)
