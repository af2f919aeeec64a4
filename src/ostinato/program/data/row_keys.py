"""A digest of each row's input, or generated text: by it duplicates are found and parts are chosen."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from .examples import Examples, InputKind


def row_key(kind: InputKind, value: Any) -> bytes:
    """SHA-256 of one input; equal inputs, and no others, have equal keys. A missing number equals a missing one."""
    if kind in ("passage", "window"):
        return value.sha256()
    if kind == "roll":
        return hashlib.sha256(
            f"roll\0{value.shape}\0".encode() + np.ascontiguousarray(value, np.uint8).tobytes()
        ).digest()
    if kind == "text":
        return hashlib.sha256(b"text\0" + value.encode("utf-8", "surrogatepass")).digest()
    if kind in ("tokens", "given"):
        lengths = ",".join(str(len(token)) for token in value)
        return hashlib.sha256(f"{kind}\0{lengths}\0{''.join(value)}".encode("utf-8", "surrogatepass")).digest()
    array = np.asarray(value, np.float64) + 0.0  # -0.0 becomes 0.0
    array = np.where(np.isnan(array), np.nan, array)  # one of the many bit patterns of NaN
    return hashlib.sha256(f"{kind}\0{array.shape}\0".encode() + array.astype("<f8").tobytes()).digest()


def by_target(examples: Examples) -> bool:
    """Whether a row is known by its target: many texts are generated from one condition."""
    return examples.target_kind == "text" and examples.kind in ("given", "features") and examples.targets is not None


def row_keys(examples: Examples) -> list[bytes]:
    """[N] keys, 32 bytes each: of the input, or of a text that is generated."""
    if by_target(examples):
        return [row_key("text", target) for target in examples.targets or ()]
    return [row_key(examples.kind, value) for value in examples.inputs]


def row_hashes(examples: Examples) -> list[str]:
    """[N] keys in hexadecimal, as split.json keeps them."""
    return [key.hex() for key in row_keys(examples)]
