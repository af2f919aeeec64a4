"""Which format a recording is in, by its first bytes, and whether all of the file is there.

libsndfile reads a cut WAV file as a shorter one, and takes a cut OGG file for one of no samples; both are held here
against the sizes in their own headers (RIFF of 1991; RFC 3533 for OGG).
"""

from __future__ import annotations

UNKNOWN = (0xFFFFFFFF, 0x7FFFFFFF)
"""What a program that cannot go back in its output, as in a pipe, writes for the size of the samples in WAV."""
FRAME_HEADER = 64
"""Bytes from the start of an MP3 file's first frame in which the word is that its length follows."""
LAST_PAGE = 4
"""The bit of an OGG page's header that the last page of a stream has."""


def container_of(data: bytes) -> str:
    """WAV, FLAC, OGG or MP3; empty for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "WAV"
    if data[:4] == b"fLaC":
        return "FLAC"
    if data[:4] == b"OggS":
        return "OGG"
    frame = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0
    return "MP3" if data[:3] == b"ID3" or frame else ""


def missing_bytes(data: bytes, container: str) -> str:
    """What is missing at the end of a file, as its own header says it; empty where nothing is, or where none says."""
    if container == "WAV":
        return _of_wav(data)
    return _of_ogg(data) if container == "OGG" else ""


def declares_length(data: bytes, container: str) -> bool:
    """Whether a header of an MP3 or FLAC file gives its number of samples, so that fewer are too few.

    That of MP3 is in the first frame, behind the tags of names and pictures (ID3), under the word Xing or Info.
    """
    if container != "MP3":
        return container == "FLAC"
    start = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        start = 10 + sum((byte & 127) << (7 * (3 - k)) for k, byte in enumerate(data[6:10]))
    return any(tag in data[start : start + FRAME_HEADER] for tag in (b"Xing", b"Info"))


def _of_wav(data: bytes) -> str:
    place = 12
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        there = len(data) - place - 8
        if name == b"data" and size in UNKNOWN:
            return ""
        if size > there:
            return f"{there:,} of {size:,} bytes of {'samples' if name == b'data' else 'a header'}"
        if name == b"data":
            return ""
        place += 8 + size + size % 2
    return "a header without samples"


def _of_ogg(data: bytes) -> str:
    place, last = 0, False
    while place < len(data):
        header = data[place : place + 27]
        segments = data[place + 27 : place + 27 + header[26]] if len(header) == 27 else b""
        if header[:4] != b"OggS" or len(header) < 27 or len(segments) < header[26]:
            return "a page without its beginning" if header[:4] != b"OggS"[: len(header)] else "a part of a page"
        place += 27 + len(segments) + sum(segments)
        last = bool(header[5] & LAST_PAGE)
    if place > len(data):
        return "a part of a page"
    return "" if last else "a stream without its last page"
