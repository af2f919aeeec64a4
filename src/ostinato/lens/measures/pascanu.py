"""Pascanu's test: whether gradients must vanish, by the largest singular value of U alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cells import Cell
from ...cells.operations import OPERATIONS
from ...cells.operations.operation import numbers
from ...cells.value import Value


@dataclass(frozen=True)
class Pascanu:
    """σ_max(U) against 1/γ, γ the activation's greatest slope.

    Formula: ‖∂h_t/∂h_{t-1}‖ ≤ γ σ_max(U). Below 1/γ every step shrinks every gradient, which must vanish; above it
    they may explode, and need not. A condition on U alone, whatever the input.
    Unit: none. Range: 0 and up. Healthy: a little above the bound.
    Source: R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 2.1: γ = 1 for tanh, 1/4 for sigmoid.
    Cost: one singular value decomposition of U [H, H].
    """

    largest_singular_value_of_u: float
    """σ_max(U), no unit, 0 and up."""
    greatest_slope: float
    """γ, no unit."""

    @property
    def bound(self) -> float:
        """1/γ."""
        return 1 / self.greatest_slope

    @property
    def must_vanish(self) -> bool:
        """σ_max(U) < 1/γ."""
        return self.largest_singular_value_of_u < self.bound

    @property
    def may_explode(self) -> bool:
        """σ_max(U) > 1/γ, the necessary condition."""
        return self.largest_singular_value_of_u > self.bound


def pascanu(cell: Cell, weights: Sequence[Tensor]) -> tuple[Pascanu | None, str]:
    """(the test, "") for a cell h = φ(… + U h) with an activation of bounded slope; (None, why) for every other."""
    slope = _slope(cell)
    if isinstance(slope, str):
        return None, slope
    (u,) = cell.split(weights)["U"].values()
    largest = torch.linalg.matrix_norm(u.detach().to(torch.float64), 2)
    return Pascanu(float(largest), slope), ""


def _slope(cell: Cell) -> float | str:
    """γ, or why the test does not apply to the cell."""
    t = cell.trace
    if len(t.states) != 1:
        return f"the test is about one state, and the cell {cell.name} has {len(t.states)}: {' '.join(t.states)}"
    products = cell.gates.get("U", ())
    if len(products) != 1:
        return f"the test is about one product with U, and the cell {cell.name} has {len(products)}"
    new = t.next_states[0]
    row = OPERATIONS.get(new.op)
    if new.op in ("add", "mm"):
        slope, inner = 1.0, new
    elif row is not None and row.greatest_slope is not None:
        slope, inner = row.greatest_slope(*numbers(new.attr)), new.args[0]
    else:
        return f"the new state of the cell {cell.name} is no activation of bounded slope of a sum ({new.op})"
    if not all(_is_term(v, t.previous_states[0]) for v in _terms(inner)):
        return f"the state enters the cell {cell.name} otherwise than by U alone"
    return slope


def _terms(v: Value) -> list[Value]:
    """The terms of the sum v, each value once."""
    seen: dict[int, Value] = {}
    stack = [v]
    while stack:
        a = stack.pop()
        if a.id not in seen:
            seen[a.id] = a
            stack.extend(a.args if a.op == "add" else ())
    return [a for a in seen.values() if a.op != "add"]


def _is_term(v: Value, old: Value) -> bool:
    """Whether a term is U @ the old state, or does not depend on the state."""
    if v.op == "mm" and v.attr[0] == "U":
        return v.args[0] is old
    return v.id not in v.graph.from_state
