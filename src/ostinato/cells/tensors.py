"""The letters on tensors, for the reference: `W.i @ x` computes x @ W_iᵀ."""

from __future__ import annotations

from typing import Any

from torch import Tensor

RecordedProducts = tuple[str, dict[tuple[str, str], Tensor]] | None
"""(letter, the dict that receives its products by (letter, name)); None where they are not recorded."""


class TensorLetter:
    """A letter whose names are tensors. Matrix letters: `W.i @ v`, [B, K] -> [B, H]; vector letters: `b.i`, [H]."""

    def __init__(self, parameters: dict[str, Tensor], matrix: bool, recorded: RecordedProducts = None):
        self._parameters, self._matrix, self._recorded = parameters, matrix, recorded

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Weight(self._parameters[name], name, self._recorded) if self._matrix else self._parameters[name]


class _Weight:
    def __init__(self, weight: Tensor, name: str, recorded: RecordedProducts):
        self._weight, self._name, self._recorded = weight, name, recorded

    def __matmul__(self, v: Tensor) -> Tensor:
        product = v @ self._weight.t()
        if self._recorded is None:
            return product
        letter, products = self._recorded
        # A product that is written twice is computed once, as in the graph.
        return products.setdefault((letter, self._name), product)
