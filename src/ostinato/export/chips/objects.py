"""Reads object files: the sizes of their parts, and the symbols that a linker has to find elsewhere."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...errors import InputError, phrase


@dataclass(frozen=True)
class ObjectParts:
    """What an object file holds.

    code       bytes of machine code
    constants  bytes of other data that is read only
    undefined  names of symbols that are not its own
    """

    code: int
    constants: int
    undefined: tuple[str, ...]


def parts_of(data: bytes) -> ObjectParts:
    """The parts of an ELF, Mach-O or COFF object, little endian. Raises InputError for anything else."""
    if data[:4] == b"\x7fELF":
        return _elf(data)
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return _macho(data)
    if data[:2] in (b"\x64\x86", b"\x64\xaa"):
        return _coff(data)
    remedy = "Other formats cannot be linked with C; a Wasm module is export.wasm's."
    raise InputError(phrase("export.c", "the object's format", "ELF, Mach-O or COFF", repr(data[:4]), remedy))


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def _elf(data: bytes) -> ObjectParts:
    wide = data[4] == 2
    first, size, count = struct.unpack_from("<Q10xHH" if wide else "<I10xHH", data, 40 if wide else 32)[:1] + (
        struct.unpack_from("<HH", data, 58 if wide else 46)
    )
    # (type, flags, offset, size, link) of every section
    form = "<4xIQ8xQQI" if wide else "<4xII4xIII"
    sections = [struct.unpack_from(form, data, first + k * size) for k in range(count)]
    code = sum(s[3] for s in sections if s[1] & 4)
    constants = sum(s[3] for s in sections if s[0] == 1 and s[1] & 2 and not s[1] & 4)
    undefined = []
    for kind, _, offset, length, link in sections:
        if kind == 2:
            names = sections[link][2]
            for at in range(offset, offset + length, 24 if wide else 16):
                name, index = struct.unpack_from("<IxxH" if wide else "<I10xH", data, at)
                if index == 0 and name:
                    undefined.append(_text(data, names + name))
    return ObjectParts(code, constants, tuple(undefined))


def _macho(data: bytes) -> ObjectParts:
    count, at = struct.unpack_from("<I", data, 16)[0], 32
    code = constants = 0
    undefined = []
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == 0x19:
            for k in range(struct.unpack_from("<I", data, at + 64)[0]):
                section = at + 72 + 80 * k
                segment = data[section + 16 : section + 32].rstrip(b"\0")
                length, flags = (
                    struct.unpack_from("<Q", data, section + 40)[0],
                    struct.unpack_from("<I", data, section + 64)[0],
                )
                if flags & 0x80000000:
                    code += length
                elif segment == b"__TEXT":
                    constants += length
        elif command == 2:
            symbols, number, names = struct.unpack_from("<III", data, at + 8)
            for k in range(number):
                name, kind = struct.unpack_from("<IB", data, symbols + 16 * k)
                if kind & 0xE == 0 and kind & 1:
                    undefined.append(_text(data, names + name).removeprefix("_"))
        at += size
    return ObjectParts(code, constants, tuple(undefined))


def _coff(data: bytes) -> ObjectParts:
    count, symbols, number, optional = struct.unpack_from("<H4xIIH", data, 2)
    code = constants = 0
    for k in range(count):
        at = 20 + optional + 40 * k
        length, flags = struct.unpack_from("<I", data, at + 16)[0], struct.unpack_from("<I", data, at + 36)[0]
        if flags & 0x20:
            code += length
        elif flags & 0x40 and not flags & 0x80000000 and not flags & 0x02000000:
            constants += length
    names, undefined, k = symbols + 18 * number, [], 0
    while k < number:
        at = symbols + 18 * k
        section, kind, more = struct.unpack_from("<hxxBB", data, at + 12)
        if section == 0 and kind == 2 and struct.unpack_from("<I", data, at + 8)[0] == 0:
            if data[at : at + 4] == b"\0\0\0\0":
                undefined.append(_text(data, names + struct.unpack_from("<I", data, at + 4)[0]))
            else:
                undefined.append(data[at : at + 8].rstrip(b"\0").decode())
        k += 1 + more
    return ObjectParts(code, constants, tuple(undefined))
