"""Files that are whole or not there: written under another name, synchronised to the disk, then renamed."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from ..errors import InputError, StorageError, phrase

HEADER_BYTES = 100 << 20
"""The longest header of a safetensors file that is read; the format's own limit."""

_FULL = tuple(getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EFBIG"))
"""What the system says where there is no room."""
_ROOM, _PLACE = "Make room, or name another place.", "Name a place in a folder that is there and can be written."


def write_bytes(path: Path, content: bytes, where: str) -> None:
    """Writes a file, or replaces it. A kill or an error at any moment leaves the earlier file as it was.

    Raises StorageError where the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.unfinished")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):  # where it cannot be removed either, the error below is the one that matters
            temporary.unlink(missing_ok=True)
        whole = "What was saved before is whole. " if path.exists() else ""
        remedy = whole + (_ROOM if error.errno in _FULL else _PLACE)
        received = f"{path} ({error.strerror or error})"
        raise StorageError(phrase(where, "the file", "writable", received, remedy)) from error


def read_bytes(path: Path, limit: int, where: str) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises InputError for a missing file, one that is no regular file or too long, and one that cannot be read.
    """
    remedy = "Copy the folder again from where it was made."
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(phrase(where, path.name, "a regular file", f"{path}, which is none", remedy))
        if found.st_size > limit:
            raise InputError(phrase(where, path.name, f"at most {limit} bytes", f"{path} of {found.st_size}", remedy))
        with path.open("rb") as file:
            return file.read(found.st_size)
    except FileNotFoundError:
        raise InputError(phrase(where, path.name, "in the folder", f"no such file in {path.parent}", remedy)) from None
    except OSError as error:
        received = f"{path} ({error.strerror or error})"
        raise InputError(phrase(where, path.name, "readable", received, "Look at its permissions.")) from None


def read_safetensors(path: Path, limit: int, where: str) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """The tensors of a file, each of any shape, and its metadata.

    Raises InputError for a file that `read_bytes` refuses, one that is no safetensors file (a pickle, say), and one
    whose header is longer than the format allows or than the file.
    """
    content = read_bytes(path, limit, where)
    remedy = "Weights are read from safetensors files alone; a pickle could run any code."
    if content[8:9] != b"{" and (content[:2] == b"PK" or content[:1] == b"\x80"):
        received = f"{path}, which is a pickle or an archive"
        raise InputError(phrase(where, path.name, "a safetensors file", received, remedy))
    size, most = int.from_bytes(content[:8], "little"), max(0, min(HEADER_BYTES, len(content) - 8))
    if size > most:
        expected = f"a safetensors file with a header of at most {most} bytes"
        raise InputError(phrase(where, path.name, expected, f"{path} with one of {size}", remedy))
    try:
        return load(content), json.loads(content[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        received = f"{path} ({' '.join(str(error).split())})"
        raise InputError(phrase(where, path.name, "a safetensors file", received, remedy)) from None


def _sync_folder(folder: Path) -> None:
    """Puts the new name on the disk too, where the system can synchronise a folder."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
