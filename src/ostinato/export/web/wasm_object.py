"""Reads a relocatable WebAssembly object, as LLVM writes it, for `wasm_module.link`.

Source: WebAssembly/tool-conventions, Linking.md, version 2. What the linker has no rule for is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import OstinatoError, phrase
from .leb import Reader

MAGIC = b"\0asm\1\0\0\0"
_DROPPED = ("producers", "target_features", "name")
"""Custom sections that say nothing about the code."""
_KINDS = {0: "function", 1: "data", 2: "global"}
_UNDEFINED, _EXPLICIT_NAME = 0x10, 0x40
RELOCATIONS = {
    0: "R_WASM_FUNCTION_INDEX_LEB",
    3: "R_WASM_MEMORY_ADDR_LEB",
    4: "R_WASM_MEMORY_ADDR_SLEB",
    6: "R_WASM_TYPE_INDEX_LEB",
    7: "R_WASM_GLOBAL_INDEX_LEB",
}
"""Number of a relocation's type → its name, for those that `link` resolves."""


class LinkError(OstinatoError):
    """LLVM's object has something that the linker of this package has no rule for."""


def refused(what: str, expected: str, received: object) -> LinkError:
    """The error for an object that cannot be linked."""
    remedy = "Report the model and the version of llvmlite: the emitter and the linker of export.wasm disagree."
    return LinkError(phrase("export.wasm", what, expected, received, remedy))


@dataclass(frozen=True)
class Symbol:
    """An entry of the symbol table.

    kind     "function", "data" or "global"
    name     None for an undefined function or global without a name of its own: that of its import
    index    of a function or global in the object's index space; None for data
    defined  whether the object has its content
    """

    kind: str
    name: str | None
    index: int | None
    defined: bool


@dataclass(frozen=True)
class Relocation:
    """Five bytes at `offset` of the content of the code section, which depend on `target`.

    target  index of a symbol; of a type for R_WASM_TYPE_INDEX_LEB
    """

    kind: str
    offset: int
    target: int
    addend: int


@dataclass
class WasmObject:
    """The parts of an object that a module is made of.

    types      content of the type section
    functions  index of the type of each function that the object defines
    code       content of the code section, its relocations not resolved
    imported_functions, imported_globals  names, which precede the object's own in the index spaces
    """

    types: bytes
    functions: list[int]
    code: bytes
    imported_functions: list[str]
    imported_globals: list[str]
    symbols: list[Symbol]
    relocations: list[Relocation]


def read_object(data: bytes) -> WasmObject:
    """Raises LinkError for what is not known here: data of the object, sections and relocations of other kinds."""
    if data[:8] != MAGIC:
        raise refused("the object", "WebAssembly's magic number and version 1", data[:8].hex() or "nothing")
    found = WasmObject(b"\0", [], b"\0", [], [], [], [])
    reader, order = Reader(data, 8), []
    while reader:
        kind, section = reader.byte(), Reader(reader.take(reader.unsigned()))
        title = section.name() if kind == 0 else ""
        order.append(kind)
        if kind == 1:
            found.types = section.data
        elif kind == 2:
            _imports(section, found)
        elif kind == 3:
            found.functions = [section.unsigned() for _ in range(section.unsigned())]
        elif kind == 10:
            found.code = section.data
        elif title == "linking":
            _linking(section, found)
        elif title == "reloc.CODE":
            _relocations(section, found, order)
        elif title not in _DROPPED:
            raise refused(
                "a section", "types, imports, functions, code, linking or reloc.CODE", title or f"number {kind}"
            )
    return found


def _imports(section: Reader, found: WasmObject) -> None:
    for _ in range(section.unsigned()):
        _, title, kind = section.name(), section.name(), section.byte()
        if kind == 0:
            section.unsigned()
            found.imported_functions.append(title)
        elif kind == 1 and title == "__indirect_function_table":
            # Imported by every object for features that it does not use: a relocation would name it.
            section.byte()
            _limits(section)
        elif kind == 2 and title == "__linear_memory":
            _limits(section)
        elif kind == 3:
            section.take(2)
            found.imported_globals.append(title)
        else:
            raise refused("an import", "a function, a global, __linear_memory", title)


def _limits(section: Reader) -> None:
    if section.byte() & 1:
        section.unsigned()
    section.unsigned()


def _linking(section: Reader, found: WasmObject) -> None:
    version = section.unsigned()
    if version != 2:
        raise refused("the linking section", "version 2", version)
    while section:
        kind, part = section.byte(), Reader(section.take(section.unsigned()))
        if kind != 8:
            raise refused("a part of the linking section", "the symbol table, 8", kind)
        found.symbols = [_symbol(part) for _ in range(part.unsigned())]


def _symbol(part: Reader) -> Symbol:
    number, flags = part.byte(), part.unsigned()
    kind, defined = _KINDS.get(number), not flags & _UNDEFINED
    if kind == "data":
        title = part.name()
        if defined:
            raise refused("a symbol", "a function, or data of the caller", f"data of the object, {title}")
        return Symbol(kind, title, None, False)
    if kind is None:
        if number == 5:  # a table, which only a relocation would make use of
            part.unsigned()
            if defined or flags & _EXPLICIT_NAME:
                part.name()
            return Symbol("table", None, None, defined)
        raise refused("a symbol", "a function, data or a global", f"kind {number}")
    index = part.unsigned()
    return Symbol(kind, part.name() if defined or flags & _EXPLICIT_NAME else None, index, defined)


def _relocations(section: Reader, found: WasmObject, order: list[int]) -> None:
    target = section.unsigned()
    if target >= len(order) or order[target] != 10:
        raise refused("the section of reloc.CODE", "the code section", f"section {target}")
    for _ in range(section.unsigned()):
        number = section.byte()
        kind = RELOCATIONS.get(number)
        if kind is None:
            raise refused("a relocation", ", ".join(RELOCATIONS.values()), f"type {number}")
        offset, symbol = section.unsigned(), section.unsigned()
        addend = section.signed() if "MEMORY" in kind else 0
        found.relocations.append(Relocation(kind, offset, symbol, addend))
