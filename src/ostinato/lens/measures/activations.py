"""The activations: formula, derivative, range, and where they are flat. The table of docs/activations.md."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, where
from torch.nn.functional import leaky_relu, softplus

from ...cells import Cell
from ...cells.cell import cell
from ...cells.derivative import carries
from ..capture.evaluate import evaluate

FLAT = 0.05
"""An activation is called flat, or saturated, where its slope is below this share of its greatest."""


@dataclass(frozen=True)
class Activation:
    """One activation φ of a number a. Neither a nor φ(a) has a unit."""

    name: str
    """Its name."""
    cell: Cell
    """φ in the notation, from which the derivative follows as for any cell."""
    formula: str
    """φ(a) as text."""
    derivative: str
    """φ'(a) as text."""
    range: str
    """The values that φ takes, as text."""
    greatest_slope: float
    """The largest φ'(a)."""
    flat_below: float | None = None
    """φ'(a) < FLAT · greatest_slope for a below it; None where that is nowhere."""
    flat_above: float | None = None
    """The same for a above it."""
    setting: float | None = None
    """The value of its parameter, such as PReLU's slope; None where it has none."""

    def value(self, a: Tensor) -> Tensor:
        """φ(a), [N] → [N]."""
        return self._at(a, self.cell.trace.output)

    def slope(self, a: Tensor) -> Tensor:
        """φ'(a), [N] → [N], from the table of derivatives that the kernels use."""
        return self._at(a, self._slope)

    @cached_property
    def _slope(self) -> object:
        return carries(self.cell.retrace())[0]

    def _at(self, a: Tensor, node: object) -> Tensor:
        weights = [] if self.setting is None else [a.new_full((1,), self.setting)]
        return evaluate(self.cell, weights, a.new_zeros(*a.shape, 1), [a[..., None]], [node])[0][..., 0]  # type: ignore


@cell
def _sigmoid(x, h):  # type: ignore[no-untyped-def]
    return torch.sigmoid(h)


@cell
def _tanh(x, h):  # type: ignore[no-untyped-def]
    return torch.tanh(h)


@cell
def _relu(x, h):  # type: ignore[no-untyped-def]
    return torch.relu(h)


@cell
def _leaky_relu(x, h):  # type: ignore[no-untyped-def]
    return leaky_relu(h, 0.1)


@cell
def _prelu(p, x, h):  # type: ignore[no-untyped-def]
    return where(h > 0, h, p.s * h)


@cell
def _softplus(x, h):  # type: ignore[no-untyped-def]
    return softplus(h)


_FLAT_SIGMOID = math.log((1 + math.sqrt(1 - FLAT)) / (1 - math.sqrt(1 - FLAT)))  # s (1 - s) = FLAT / 4

ACTIVATIONS = (
    Activation("sigmoid", _sigmoid, "1 / (1 + e⁻ᵃ)", "s (1 - s)", "(0, 1)", 0.25, -_FLAT_SIGMOID, _FLAT_SIGMOID),
    Activation(
        "tanh", _tanh, "(eᵃ - e⁻ᵃ) / (eᵃ + e⁻ᵃ)", "1 - t²", "(-1, 1)", 1.0, -_FLAT_SIGMOID / 2, _FLAT_SIGMOID / 2
    ),
    Activation("ReLU", _relu, "max(0, a)", "1 for a > 0, else 0", "[0, ∞)", 1.0, 0.0),
    Activation("leaky ReLU", _leaky_relu, "a for a > 0, else 0.1 a", "1 for a > 0, else 0.1", "(-∞, ∞)", 1.0),
    Activation("PReLU", _prelu, "a for a > 0, else p a", "1 for a > 0, else p", "(-∞, ∞)", 1.0, setting=0.25),
    Activation("softplus", _softplus, "log(1 + eᵃ)", "sigmoid(a)", "(0, ∞)", 1.0, math.log(FLAT / (1 - FLAT))),
)
"""In the order of the sheet. leaky ReLU is drawn with slope 0.1 (torch's default is 0.01). PReLU's slope p is learned;
it is drawn at 0.25, torch's initial value."""


def sigmoid_again(a: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """sigmoid(sigmoid(… a)), `times` times, and its derivative in a: [N] → ([N], [N]), without a unit.

    The derivative is the product of the slopes, each at most 1/4, so it is at most 4^-times. The value goes to the
    fixed point 0.6590, where the slope is 0.2247.
    """
    value, slope = a, torch.ones_like(a)
    for _ in range(times):
        value = torch.sigmoid(value)
        slope = slope * value * (1 - value)
    return value, slope


def table() -> str:
    """The table as Markdown: `python -m ostinato.lens.measures.activations` prints it for docs/activations.md."""
    head = ("activation φ(a)", "formula", "derivative φ'(a)", "φ' at most", "range", "flat for")
    rows = [head, ("---",) * len(head)]
    for one in ACTIVATIONS:
        rows.append((one.name, one.formula, one.derivative, f"{one.greatest_slope:g}", one.range, _flat(one)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _flat(one: Activation) -> str:
    below = [] if one.flat_below is None else [f"a < {one.flat_below:.3g}"]
    above = [] if one.flat_above is None else [f"a > {one.flat_above:.3g}"]
    return " and ".join(below + above) or "no a"


if __name__ == "__main__":
    sys.stdout.buffer.write(table().encode("utf-8"))
