"""The same letters on tensors, for the reference: `W.i @ x` is x @ W_iᵀ."""

from __future__ import annotations

from typing import Any

from torch import Tensor

Seen = tuple[str, dict[tuple[str, str], Tensor]] | None
"""The letter and where its products are put down by (letter, name), if anywhere."""


class TensorLetter:
    """A letter whose names are tensors. Matrix letters: `W.i @ v`, [B, K] -> [B, H]; vector letters: `b.i`, [H]."""

    def __init__(self, parameters: dict[str, Tensor], matrix: bool, seen: Seen = None):
        self._parameters, self._matrix, self._seen = parameters, matrix, seen

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Weight(self._parameters[name], name, self._seen) if self._matrix else self._parameters[name]


class _Weight:
    def __init__(self, weight: Tensor, name: str, seen: Seen):
        self._weight, self._name, self._seen = weight, name, seen

    def __matmul__(self, v: Tensor) -> Tensor:
        product = v @ self._weight.t()
        if self._seen is None:
            return product
        letter, products = self._seen
        # The same product written twice is one, as in the graph.
        return products.setdefault((letter, self._name), product)


class ZeroLetter:
    """A bias that a layer does not have: every name is the number 0 as a tensor without dimensions."""

    def __init__(self, like: Tensor):
        self._zero = like.new_zeros(())

    def __getattr__(self, name: str) -> Tensor:
        return self._zero
