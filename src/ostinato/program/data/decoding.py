"""Bytes → text: UTF-8, UTF-16 by its byte-order mark, or the encoding that the user names."""

from __future__ import annotations

from pathlib import Path

from .refusals import refused, shown

MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", ""), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
"""Byte-order marks and what they announce; "" is UTF-32, which is refused."""


def decode(data: bytes, path: Path, encoding: str | None) -> tuple[str, str]:
    """The text without its byte-order mark, and the name of its encoding.

    Raises InputError with the line of the first byte that is not of the encoding.
    """
    name = encoding or "utf-8"
    for mark, announced in MARKS:
        if encoding is None and data.startswith(mark):
            name, data = announced, data[len(mark) :]
            break
    if not name:
        raise refused(path, "the encoding", "UTF-8, or UTF-16 with a byte-order mark", "UTF-32", "Save it as UTF-8.")
    try:
        text = data.decode(name)
        if encoding is not None:
            text.encode("utf-8")  # a lone surrogate, which some decoders let through, is no character
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        found = f"byte 0x{data[start]:02x}" if isinstance(error, UnicodeDecodeError) else f"none ({error})"
        raise refused(path, f"line {line_of(data, start, name)}", f"{name} text", found, other(encoding)) from error
    except (LookupError, ValueError) as error:
        remedy = "Such as --encoding latin-1, cp1252, utf-16-le or shift_jis."
        raise refused("read", "--encoding", "the name of a text encoding", shown(encoding), remedy) from error
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        remedy = "If the file is UTF-16 without a byte-order mark, add --encoding utf-16-le or utf-16-be."
        raise refused(path, f"line {line}", "text", "a NUL character", remedy)
    return text, name


def line_of(data: bytes, start: int, name: str) -> int:
    """The line of a byte, counted from 1."""
    wide = {"utf-16-le": b"\n\0", "utf-16-be": b"\0\n"}.get(name, b"\n")
    return data.count(wide, 0, start) + 1


def other(encoding: str | None) -> str:
    """What to do about bytes that are not of the encoding."""
    if encoding is None:
        return "Add --encoding latin-1 for a file of western Europe, or the encoding that it was saved in."
    return "Name the encoding that the file was saved in, or save it as UTF-8."


def unified(text: str) -> str:
    """The text with every line end as a line feed; the number of lines stays."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def count_lines(text: str) -> int:
    """Physical lines; a last line without a line end is one."""
    plain = unified(text)
    return plain.count("\n") + (not plain.endswith("\n") and bool(plain))
