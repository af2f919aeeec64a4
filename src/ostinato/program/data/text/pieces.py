"""A file of text, read piece by piece: decoded, with line feeds as line ends, in Unicode's composed form.

A piece ends after a line break or before a single space, so that what is divided into words or characters piece by
piece is divided as the whole text would be, whatever the size of the pieces.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .. import bounded
from ..decoding import MARKS, other
from ..refusals import refused, shown

PIECE = 4 << 20
"""Bytes that are decoded at a time."""
CUT = re.compile(r"(?<=\n)|(?<=\S)(?= \S)")
"""Where a text may be divided."""
_NEAR = 1 << 12
"""Characters from the end of a piece in which its last cut is looked for first."""


class TextFile:
    """A text file that is read once. After its pieces: `encoding`, `sha256` of the file as stored, `carriage_returns`.

    path      .txt, or .txt.gz
    encoding  the user's, or None: UTF-8, or UTF-16 by its mark
    """

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.path, self._asked = path, encoding
        self.encoding, self.sha256, self.lines, self.carriage_returns = "", "", 0, 0
        """Lines so far, and line ends that were not a line feed alone."""

    def pieces(self, size: int = PIECE) -> Iterator[str]:
        """The whole text, in order, none of the pieces empty.

        Raises InputError for what `bounded.read_bytes` and `decoding.decode` refuse.
        """
        rest = ""
        for text in self._unified(self._decoded(size)):
            rest += text
            cut = last_cut(rest)
            if cut:
                yield unicodedata.normalize("NFC", rest[:cut])
                rest = rest[cut:]
        if rest:
            yield unicodedata.normalize("NFC", rest)

    def _unified(self, texts: Iterator[str]) -> Iterator[str]:
        """Line feeds for all line ends; a carriage return at the end of a piece waits for what follows it."""
        waiting = ""
        for text in texts:
            text = waiting + text
            waiting = "\r" if text.endswith("\r") else ""
            text = text.removesuffix("\r")
            self.carriage_returns += text.count("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            self.lines += text.count("\n")
            yield text
        if waiting:
            self.carriage_returns, self.lines = self.carriage_returns + 1, self.lines + 1
            yield "\n"

    def _decoded(self, size: int) -> Iterator[str]:
        decoder: Any = None
        line = 1
        for data, final in _with_last(self._bytes(size)):
            if decoder is None:
                decoder, data = self._decoder(data)
            try:
                text = decoder.decode(data, final)
                if self._asked is not None:
                    text.encode("utf-8")  # a lone surrogate, which some decoders let through, is no character
            except UnicodeError as error:
                raise self._not_text(error, line) from error
            if "\0" in text:
                place = line + text.count("\n", 0, text.index("\0"))
                remedy = "If the file is UTF-16 without a byte-order mark, add --encoding utf-16-le or utf-16-be."
                raise refused(self.path, f"line {place}", "text", "a NUL character", remedy)
            line += text.count("\n")
            yield text

    def _decoder(self, head: bytes) -> tuple[Any, bytes]:
        """The decoder that the first bytes or the user name, and the bytes without their mark."""
        self.encoding = self._asked or "utf-8"
        for mark, announced in MARKS:
            if self._asked in (None, announced) and head.startswith(mark):
                self.encoding, head = announced, head[len(mark) :]
                break
        if not self.encoding:
            expected = "UTF-8, or UTF-16 with a byte-order mark"
            raise refused(self.path, "the encoding", expected, "UTF-32", "Save it as UTF-8.")
        try:
            return codecs.getincrementaldecoder(self.encoding)(), head
        except (LookupError, ValueError, TypeError) as error:
            remedy = "Such as --encoding latin-1, cp1252, utf-16-le or shift_jis."
            expected = "the name of a text encoding"
            raise refused("read", "--encoding", expected, shown(self._asked), remedy) from error

    def _not_text(self, error: UnicodeError, line: int) -> Exception:
        found = f"none ({error})"
        if isinstance(error, UnicodeDecodeError):
            before = error.object[: error.start].decode(self.encoding, "ignore")
            line, found = line + before.count("\n"), f"byte 0x{error.object[error.start]:02x}"
        return refused(self.path, f"line {line}", f"{self.encoding} text", found, other(self._asked))

    def _bytes(self, size: int) -> Iterator[bytes]:
        """The decompressed bytes; the hash is of the stored ones."""
        path, digest, total = bounded.local(self.path), hashlib.sha256(), 0
        try:
            with path.open("rb") as stored:
                compressed = stored.read(2) == b"\x1f\x8b"
                _same_as_name(path, compressed)
                stored.seek(0)
                file = _Hashed(stored, digest)
                stream: Any = gzip.GzipFile(fileobj=io.BufferedReader(file)) if compressed else file
                while piece := stream.read(max(size, 4) if not total else size):  # a mark has up to four bytes
                    total += len(piece)
                    if compressed and total > bounded.LIMIT:
                        raise bounded.too_large(path, f"more than {bounded.LIMIT:,} bytes")
                    yield piece
                while file.read(size):
                    pass  # bytes after the compressed ones are part of the hash
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise refused(
                path, "the file", "a whole gzip file", f"a damaged one ({error})", "Copy it again."
            ) from error
        except OSError as error:
            remedy = "Check its name and permissions."
            raise refused(path, "the file", "readable", error.strerror or error, remedy) from error
        self.sha256 = digest.hexdigest()


class _Hashed(io.RawIOBase):
    """A file whose bytes go through a hash as they are read."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self._file, self._digest = file, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def _same_as_name(path: Path, compressed: bool) -> None:
    named = path.suffix.lower() == ".gz"
    if compressed and not named:
        raise refused(path, "the name", "one that ends in .gz, as the content is compressed", path.suffix, "Rename it.")
    if named and not compressed:
        raise refused(path, "the content", "gzip, as the name ends in .gz", "other bytes", "Rename the file.")


def _with_last(parts: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each part, and whether it is the last; one empty part where there is none."""
    held = b""
    for part in parts:
        if held:
            yield held, False
        held = part
    yield held, True


def last_cut(text: str) -> int:
    """The last place at which a text may be divided, its end if a line ends there; 0 where there is none."""
    if text.endswith("\n"):
        return len(text)
    near, start = _NEAR, len(text)
    while start:
        start = max(0, len(text) - near)
        found = [match.start() for match in CUT.finditer(text, start) if match.start() > start]
        if found:
            return found[-1]
        near *= 8
    return 0
