"""Bytes of a local file: no address of a network, no pattern, and no more than a limit when it is decompressed."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path

from .refusals import refused, shown

LIMIT = 4 * 1024**3
"""Bytes that a compressed file may decompress to: a file of some megabytes can hold terabytes of zeros."""
CHUNK = 1 << 20
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""A scheme of at least two letters, so that the drive C:/ is none; Path makes one slash of two."""


def ending(path: Path) -> str:
    """The extension in small letters, before .gz where the name ends so; empty without one."""
    return next((suffix.lower() for suffix in reversed(path.suffixes) if suffix.lower() != ".gz"), "")


def local(path: Path) -> Path:
    """The path of an existing regular file or folder, taken literally.

    Raises InputError where it is an address, is missing, or is a device or a pipe.
    """
    if URL.match(str(path)):
        raise refused(
            "read", "a path", "a file or folder of this machine", shown(str(path)), "Download the file first."
        )
    try:
        exists, regular = path.exists(), path.is_file() or path.is_dir()
    except (OSError, ValueError) as error:
        raise refused("read", "a path", "a readable file or folder", f"{shown(str(path))} ({error})") from error
    if not exists:
        remedy = (
            "A pattern such as *.csv is expanded by the shell, never here." if "*" in str(path) else "Check its name."
        )
        raise refused("read", "a path", "an existing file or folder", f"{shown(str(path))}, which is none", remedy)
    if not regular:
        raise refused(path, "the file", "a regular file", "a device or a pipe", "Write it to a file first.")
    return path


def read_bytes(path: Path) -> tuple[bytes, str]:
    """The bytes of a file, decompressed where its name ends in .gz, and the SHA-256 of the file as it is stored.

    Raises InputError for an unreadable or damaged file, for one whose name and content disagree about
    compression, and for one that decompresses to more than `LIMIT` bytes.
    """
    try:
        stored = local(path).read_bytes()
    except OSError as error:
        raise refused(
            path, "the file", "readable", error.strerror or error, "Check its name and permissions."
        ) from error
    digest = hashlib.sha256(stored).hexdigest()
    compressed = stored[:2] == b"\x1f\x8b"
    if compressed and path.suffix.lower() != ".gz":
        raise refused(path, "the name", "one that ends in .gz, as the content is compressed", path.suffix, "Rename it.")
    if path.suffix.lower() != ".gz":
        return stored, digest
    if not compressed:
        raise refused(path, "the content", "gzip, as the name ends in .gz", shown(stored[:8]), "Rename the file.")
    return expanded(stored, path), digest


def expanded(stored: bytes, path: Path) -> bytes:
    """The decompressed bytes of one gzip file, at most `LIMIT`."""
    pieces, size = [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(stored)) as stream:
            while piece := stream.read(CHUNK):
                pieces.append(piece)
                size += len(piece)
                if size > LIMIT:
                    raise too_large(path, f"more than {LIMIT:,} bytes")
    except (OSError, EOFError, zlib.error) as error:
        raise refused(path, "the file", "a whole gzip file", f"a damaged one ({error})", "Copy it again.") from error
    return b"".join(pieces)


def too_large(path: Path, received: str) -> Exception:
    """The refusal of a compressed file that expands past the limit."""
    remedy = "If you trust the file, decompress it yourself and give the plain file, or give fewer rows."
    return refused(path, "the decompressed size", f"at most {LIMIT:,} bytes", received, remedy)
