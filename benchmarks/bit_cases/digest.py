"""The SHA-256 of any value that a case gives: every bit of it, -0.0 apart from 0.0, and nothing of its strides."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, TypedDict

import numpy as np
import torch
from torch import Tensor

Case = Callable[[], Mapping[str, Any]]
"""Computes the parts of a case, name → value."""


class Result(TypedDict):
    """sha256 of all parts together, `parts` the SHA-256 of each by name; {} and the error where the case raised."""

    sha256: str
    parts: dict[str, str]
    error: str


class _Sink(Protocol):
    def update(self, data: bytes, /) -> None: ...


def result(case: Case) -> Result:
    """Runs a case on one thread, with torch's generator at a seed; what it raises is its result."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    try:
        found = case()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Result(sha256=digest(text), parts={}, error=text)
    finally:
        torch.set_num_threads(threads)
    parts = {name: digest(value) for name, value in found.items()}
    return Result(sha256=digest(parts), parts=parts, error="")


def digest(value: Any) -> str:
    """SHA-256 of a value, in hexadecimal digits."""
    sink = hashlib.sha256()
    _feed(sink, value)
    return sink.hexdigest()


def _feed(sink: _Sink, value: Any) -> None:
    """A tag with type and size before each value, so that no two values give the same bytes."""
    if isinstance(value, Tensor):
        dense = value.detach().resolve_neg().cpu().contiguous()
        sink.update(f"tensor {dense.dtype} {list(dense.shape)};".encode())
        sink.update(dense.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray):
        sink.update(f"array {value.dtype} {list(value.shape)};".encode())
        sink.update(np.ascontiguousarray(value).tobytes())
    elif value is None or isinstance(value, bool | int):
        sink.update(f"{value!r};".encode())
    elif isinstance(value, float):
        sink.update(f"{value.hex()};".encode())
    elif isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        sink.update(f"{type(value).__name__} {len(data)};".encode() + data)
    elif isinstance(value, tuple | list):
        sink.update(f"list {len(value)};".encode())
        for each in value:
            _feed(sink, each)
    elif isinstance(value, Mapping):
        sink.update(f"dict {len(value)};".encode())
        for name, each in value.items():
            _feed(sink, name)
            _feed(sink, each)
    elif is_dataclass(value) and not isinstance(value, type):
        # Without the names of class and fields, which may change where no number does.
        _feed(sink, [getattr(value, f.name) for f in fields(value)])
    else:
        kind = type(value).__name__
        raise TypeError(f"bits: a part must be of tensors, numbers, texts or records, got {kind}. Give what it holds.")
