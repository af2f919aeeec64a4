"""Hashes of values, weights and examples: the same values give the same hash in any process and on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data.examples import Examples


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Of the names, types, shapes and values of tensors of any shape, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def json_sha256(value: Any) -> str:
    """Of a value of strings, numbers, lists and mappings; the order of a mapping's keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def examples_sha256(examples: Examples) -> str:
    """Of the inputs and targets of all N rows in their order, not of where they came from."""
    found = hashlib.sha256(json.dumps([examples.kind, examples.target_kind, len(examples)]).encode())
    for values in (examples.inputs, examples.targets or ()):
        for value in values:
            found.update(_bytes(value))
    return found.hexdigest()


def _bytes(value: Any) -> bytes:
    """A value with its kind and length in front, so that no two sequences of values give the same bytes."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
    elif isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        content = json.dumps([str(array.dtype), array.shape]).encode() + array.tobytes()
    elif hasattr(value, "sha256"):  # a passage of a text, a window of a series
        content = value.sha256()
    elif isinstance(value, Sequence):
        content = b"".join(map(_bytes, value))
    else:
        content = repr(value).encode()
    return b"%s %d " % (type(value).__name__.encode(), len(content)) + content
