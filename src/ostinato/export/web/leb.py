"""LEB128, the integers of WebAssembly's binary format."""

from __future__ import annotations


def unsigned(n: int) -> bytes:
    """The shortest form of n ≥ 0."""
    written = bytearray()
    while n > 0x7F:
        written.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*written, n])


def signed(n: int) -> bytes:
    """The shortest form of a signed n."""
    written = bytearray()
    while not -64 <= n < 64:
        written.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes([*written, n & 0x7F])


def padded(n: int) -> bytes:
    """n in five bytes, the form that relocations are patched in: the same bytes for signed numbers below 2^31."""
    return bytes([n & 0x7F | 0x80, n >> 7 & 0x7F | 0x80, n >> 14 & 0x7F | 0x80, n >> 21 & 0x7F | 0x80, n >> 28])


def vector(items: list[bytes]) -> bytes:
    """A sequence with its length in front."""
    return unsigned(len(items)) + b"".join(items)


def name(text: str) -> bytes:
    """A name with its length in front."""
    data = text.encode()
    return unsigned(len(data)) + data


class Reader:
    """Reads bytes from `at` on."""

    def __init__(self, data: bytes, at: int = 0):
        self.data, self.at = data, at

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def byte(self) -> int:
        """One byte."""
        self.at += 1
        return self.data[self.at - 1]

    def take(self, count: int) -> bytes:
        """`count` bytes."""
        self.at += count
        return self.data[self.at - count : self.at]

    def unsigned(self) -> int:
        """An unsigned integer."""
        n = shift = 0
        while True:
            b = self.byte()
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n

    def signed(self) -> int:
        """A signed integer."""
        n = shift = 0
        while True:
            b = self.byte()
            n |= (b & 0x7F) << shift
            shift += 7
            if b < 0x80:
                return n - (1 << shift) if b & 0x40 else n

    def name(self) -> str:
        """A name."""
        return self.take(self.unsigned()).decode()
