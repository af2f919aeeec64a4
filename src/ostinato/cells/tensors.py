"""The same letters on tensors, for the reference: `W.i @ x` is x @ W_iᵀ."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class TensorLetter:
    """A letter whose names are tensors. Matrix letters: `W.i @ v`, [B, K] -> [B, H]; vector letters: `b.i`, [H]."""

    def __init__(self, parameters: dict[str, Tensor], matrix: bool):
        self._parameters, self._matrix = parameters, matrix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Weight(self._parameters[name]) if self._matrix else self._parameters[name]


class _Weight:
    def __init__(self, weight: Tensor):
        self._weight = weight

    def __matmul__(self, v: Tensor) -> Tensor:
        return v @ self._weight.t()


class ZeroLetter:
    """A bias that a layer does not have: every name is the number 0 as a tensor without dimensions."""

    def __init__(self, like: Tensor):
        self._zero = like.new_zeros(())

    def __getattr__(self, name: str) -> Tensor:
        return self._zero
