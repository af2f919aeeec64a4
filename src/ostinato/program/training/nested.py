"""Nested values of tensors, arrays and plain values as JSON beside tensors, and as bytes: without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

TENSOR, TUPLE, ARRAY = "a tensor", "a tuple", "an array"
"""The keys under which JSON names a tensor, holds the values of a tuple, and names an array of NumPy."""
HEAD = 8
"""Bytes in front of packed bytes: the length of the JSON."""


def without_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON holds it; its tensors go into `tensors`, under names that stand in their places."""
    name = str(len(tensors))
    if isinstance(value, Tensor):
        tensors[name] = value
        return {TENSOR: name}
    if isinstance(value, np.ndarray):
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
        return {ARRAY: name}
    if isinstance(value, Mapping):
        return {key: without_tensors(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        inside = [without_tensors(inner, tensors) for inner in value]
        return inside if isinstance(value, list) else {TUPLE: inside}
    return value.item() if isinstance(value, np.generic) else value


def with_tensors(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `without_tensors` was given."""
    if isinstance(value, Mapping):
        if TENSOR in value:
            return tensors[value[TENSOR]]
        if ARRAY in value:
            return tensors[value[ARRAY]].numpy()
        if TUPLE in value:
            return tuple(with_tensors(inner, tensors) for inner in value[TUPLE])
        return {key: with_tensors(inner, tensors) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_tensors(inner, tensors) for inner in value]
    return value


def packed(value: Any) -> bytes:
    """A nested value as bytes: the length of the JSON, the JSON, and the tensors as a safetensors file."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(without_tensors(value, tensors)).encode()
    copied = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    return len(text).to_bytes(HEAD, "little") + text + (save(copied) if copied else b"")


def unpacked(content: bytes) -> Any:
    """What `packed` was given; tensors are on the CPU."""
    end = HEAD + int.from_bytes(content[:HEAD], "little")
    tensors = load(content[end:]) if len(content) > end else {}
    return with_tensors(json.loads(content[HEAD:end]), tensors)
