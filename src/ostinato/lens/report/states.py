"""The forward pass: what states carry over, the values of gates, and the health of states.

Letters: T steps, H units of a state (P behind a projection), K lags, E bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .statistics import half_life_steps


@dataclass(frozen=True)
class Carry:
    """The carry of a state, per unit: the diagonal of ∂new/∂old with products cut, from the cell's graph."""

    state: str
    """The state's name."""
    formula: str
    """As `lens.carry` gives it: "f" for an LSTM's c; "0" for a state that is carried through products alone."""
    mean_per_unit: Tensor
    """[H], mean over all steps and rows, no unit. 1 keeps, 0 forgets at once, negative turns over."""
    retention_by_lag_per_unit: Tensor
    """[K, H], R(k) = Π |carry| over the last k steps of a segment, geometric mean over the segments that have them, no
    unit; 1 at lag 0. Range: 0 to 1 where the carry is a gate. Healthy: some units well above 0 at the lag that
    matters."""

    @property
    def time_constant_steps_per_unit(self) -> Tensor:
        """-1 / ln(mean carry), [H] in steps: the time in which what is kept falls to 1/e. inf from 1 on, 0 for 0."""
        mean = self.mean_per_unit
        return torch.where(
            mean >= 1, math.inf, torch.where(mean > 0, -1 / mean.log(), mean.new_zeros(()).expand_as(mean))
        )

    @property
    def half_life_steps_per_unit(self) -> Tensor:
        """The first lag at which R(k) is at most 1/2, [H]; inf where it stays above."""
        return half_life_steps(self.retention_by_lag_per_unit)


@dataclass(frozen=True)
class Gate:
    """The values of a gate's activation over all steps and rows.

    Saturated low or high: sigmoid below 0.1 or above 0.9; tanh below -0.9 or above 0.9; ReLU at 0 (low only). There the
    activation is nearly flat, and little gradient passes.
    """

    name: str
    """The gate's name."""
    activation: str
    """The operation: "sigmoid", "tanh", "relu", …"""
    mean_per_unit: Tensor
    """[H], in the activation's own range, no unit."""
    low_share_per_unit: Tensor
    """[H], share of steps and rows at which it is saturated low, between 0 and 1; NaN for an activation without."""
    high_share_per_unit: Tensor
    """[H], the same share for saturated high."""
    mean_square_slope: float
    """E[φ'²], mean over everything of the squared derivative of the activation, no unit. 0: nothing passes back.
    NaN for an activation whose slope does not follow from its value."""
    mean_per_step: Tensor
    """[T], mean over the units of a sample of rows, in the order of x, in the activation's own range, no unit."""
    quantiles_per_step: Tensor
    """[3, T]: quantiles 0.1, 0.5 and 0.9 over a sample of rows and units, in the activation's own range, no unit."""
    histogram_edges: Tensor
    """[E+1], edges of the bins, in the activation's own range, no unit."""
    histogram_shares: Tensor
    """[E], share of a sample of the values in each bin; they add up to 1."""


@dataclass(frozen=True)
class StateHealth:
    """The values of a state after each step."""

    state: str
    """The state's name."""
    rms_per_step: Tensor
    """[T], root mean square over batch and units, in the order of x, in units of the state. Healthy: no drift."""
    standard_deviation_per_unit: Tensor
    """[H], over steps and rows, in units of the state. 0: a dead unit, which does not depend on its input."""
    denormal_share: float
    """Share of values that are neither 0 nor normal numbers, between 0 and 1; slow on many machines. Healthy: 0."""
    first_step_not_finite: int | None
    """The first step, in the order of x, at which the state is inf or NaN; None where all are finite."""

    @property
    def dead_units(self) -> Tensor:
        """bool [H]: the value is the same at all steps of all rows, to 1 in 10⁶ of the largest deviation."""
        deviation = self.standard_deviation_per_unit
        return deviation <= 1e-6 * deviation.max().clamp(min=torch.finfo(torch.float32).tiny)
