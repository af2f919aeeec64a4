"""`State`: the states of a stream's rows by name, with the fingerprint of the network that they belong to."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, phrase

MAGIC = b"OSTSTATE"
VERSION = 1
_WHERE = "State.from_bytes"
_TYPES = {"float32": "<f4", "float64": "<f8"}


class State(Mapping[str, Tensor]):
    """State's name → its values [B, width], for the rows B of a stream, as `Stream.state` returns them.

    structure  SHA-256 of the network's equations, sizes and states, as hexadecimal digits
    weights    SHA-256 of the values of its parameters
    """

    def __init__(self, values: Mapping[str, Tensor], structure: str, weights: str):
        self._values = dict(values)
        self.structure, self.weights = structure, weights

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name} {list(v.shape)}" for name, v in self._values.items())
        return f"State({inside})"

    @property
    def rows(self) -> int:
        """B, the rows of every value; 0 for a network without states."""
        return next((len(v) for v in self._values.values()), 0)

    def to_bytes(self) -> bytes:
        """The state as bytes that any machine reads back: the version, the names, the numbers in little endian.

        Layout: 8 bytes OSTSTATE; uint32 version, 1; uint32 length of the header; the header, JSON in UTF-8, with
        structure, weights, and a list of (name, sizes, "float32" or "float64"); the numbers in this order; SHA-256 of
        all before it.
        """
        fields = [(name, list(v.shape), str(v.dtype).removeprefix("torch.")) for name, v in self._values.items()]
        header = json.dumps({"structure": self.structure, "weights": self.weights, "states": fields}).encode()
        parts = [MAGIC, struct.pack("<II", VERSION, len(header)), header]
        for (_, _, kind), value in zip(fields, self._values.values()):
            parts.append(value.contiguous().numpy().astype(_TYPES[kind], copy=False).tobytes())
        whole = b"".join(parts)
        return whole + hashlib.sha256(whole).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The state that `to_bytes` wrote. Raises InputError for bytes that are no state, damaged, or too new."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InputError(phrase(_WHERE, "data", "bytes", type(data).__name__, "Read the file with mode 'rb'."))
        data = bytes(data)
        if not data.startswith(MAGIC) or len(data) < 16:
            raise InputError(phrase(_WHERE, "data", "what State.to_bytes wrote", f"{len(data)} other bytes"))
        version, length = struct.unpack_from("<II", data, 8)
        if not 1 <= version <= VERSION:
            remedy = "Update Ostinato on this machine." if version else "Save the state again."
            raise InputError(
                phrase(_WHERE, "the version", f"at most {VERSION}" if version else "at least 1", version, remedy)
            )
        whole, seal = data[:-32], data[-32:]
        if hashlib.sha256(whole).digest() != seal:
            remedy = "The bytes are cut off or changed; save the state again."
            raise InputError(phrase(_WHERE, "the checksum", "that of the content", "another one", remedy))
        try:
            return cls(*_content(whole, length))
        except (ValueError, KeyError, TypeError) as error:
            remedy = "Another program wrote them; save the state again with to_bytes."
            received = f"one that it does not write ({type(error).__name__})"
            raise InputError(phrase(_WHERE, "the header", "as to_bytes writes it", received, remedy)) from error


def _content(whole: bytes, length: int) -> tuple[dict[str, Tensor], str, str]:
    """(the values, structure, weights) of a state's bytes without the checksum; the header has `length` bytes."""
    header: dict[str, Any] = json.loads(whole[16 : 16 + length])
    values, at = {}, 16 + length
    for name, sizes, kind in header["states"]:
        rows, width = sizes
        if rows < 0 or width < 0:
            raise ValueError("negative sizes")
        numbers = np.frombuffer(whole, _TYPES[kind], rows * width, at).reshape(rows, width)
        values[name] = torch.from_numpy(numbers.astype(kind))
        at += numbers.nbytes
    return values, header["structure"], header["weights"]
