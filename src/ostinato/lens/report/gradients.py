"""Gradients of a backward pass: the curve of the whole loss, the probe of the last step, the steps of each weight.

Letters: T steps, B rows, S states, N segments, K lags, Q quantiles; `lens.report` says what a segment and a lag are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..._renamed import RenamedAttribute
from .fields import quantity
from .statistics import LEVELS, half_life_steps, quantiles, quantiles_last

_STATE = "loss per unit of the state"


@dataclass(frozen=True)
class GradientCurve:
    """The gradient of the whole loss in each state, ‖δ_t‖ = ‖dL/ds_t‖, along every path from the state to the loss.

    The value of `s_t.grad` after `retain_grad()` in a loop of single steps: through the output and through the next
    step. The gradient of an LSTM's c_t includes the path through h_t; that of h_t has no path through c_t.
    """

    states: tuple[str, ...]
    """Names of the states, in the order of the cell: S of them."""
    norms: Tensor = field(metadata=quantity(_STATE, json="norms_loss_per_state_unit", over_rows=True))
    """[S, T, B], ‖dL/ds_t‖ of each row, in the order of x, in units of the loss per unit of the state. Range: 0 and up;
    0: no gradient reaches the step. Healthy: of one order of magnitude over the steps that matter."""
    underflowed_share: Tensor = field(metadata=quantity("share"))
    """[S], share of the entries of δ_t that are 0 or below the smallest normal number, from 0 to 1. Healthy: 0."""
    backward_passes: int
    """How many backward passes went through this call; the numbers are those of the last."""
    step_not_finite: int | None
    """The latest step, in the order of x, at which a gradient is inf or NaN: the first one in the order of
    backpropagation. None: all are finite."""

    norms_loss_per_state_unit = RenamedAttribute("norms")

    def quantiles(self, levels: tuple[float, ...] = LEVELS) -> Tensor:
        """Over the batch, of each state: [S, Q, T]."""
        return quantiles(self.norms, levels).transpose(0, 1)


@dataclass(frozen=True)
class Probe:
    """The gradient at each segment's last step, propagated back alone: how far back a gradient reaches.

    Only the gradient at the last step (of the output, and of the final state) is propagated through the layer's own
    recurrence. The loss's gradients at earlier steps are left out, so the curve shows the effect of the recurrence
    alone. NaN for segments whose last step receives no gradient.
    """

    states: tuple[str, ...]
    """Names of the states, in the order of the cell: S of them."""
    norms: Tensor = field(metadata=quantity(_STATE, json="norms_by_lag_loss_per_state_unit", over_rows=True))
    """[S, K, N], ‖δ‖ of each state at lag k = 0 … K-1, as `GradientCurve` defines δ, in units of the loss per unit of
    the state. Range: 0 and up; NaN beyond a segment's first step."""
    additive_norms: Tensor = field(
        metadata=quantity(_STATE, json="additive_norms_by_lag_loss_per_state_unit", over_rows=True)
    )
    """[S, K, N], the part of it along the additive path alone: δ at lag 0 times the diagonal of the state's Jacobian
    without products (`lens.carry`), step by step, in the same unit. For an LSTM's c: δ_T ⊙ f_T ⊙ f_{T-1} …; 0 for a
    state that carries nothing over by itself."""

    norms_by_lag_loss_per_state_unit = RenamedAttribute("norms")
    additive_norms_by_lag_loss_per_state_unit = RenamedAttribute("additive_norms")
    norm_by_lag_loss_per_state_unit = RenamedAttribute("whole")

    @property
    def lags(self) -> Tensor:
        """0 … K-1, in steps: int64 [K]."""
        return torch.arange(self.norms.shape[1], device="cpu")

    @property
    def whole(self) -> Tensor:
        """The norm over all states together, √(Σ_s ‖δ‖²): [K, N], in units of the loss per unit of the state."""
        return self.norms.square().sum(0).sqrt()

    @property
    def ratio_by_lag(self) -> Tensor:
        """`whole` divided by its value at lag 0: [K, N], no unit. 1 at lag 0. Healthy: near 1 where it matters."""
        whole = self.whole
        return whole / whole[:1].where(whole[:1] > 0, math.nan)

    @property
    def share_by_lag(self) -> Tensor:
        """`whole` over its sum over all lags of a segment: [K, N], no unit, from 0 to 1.

        How much of what the last step teaches goes to the state at that lag, beside all that distracts from it. NaN
        beyond a segment's first step, and where the last step receives no gradient. Healthy: 0.01 and more at the lag
        of the dependency; docs/lab-lag.md has what became of 136 runs with more and with less.
        """
        whole = self.whole
        total = whole.nansum(0)
        return whole / total.where(total > 0, math.nan)

    def reach_steps(self, epsilon: float = 0.01) -> Tensor:
        """reach(ε): the largest lag whose ratio is at least ε, of each segment: [N] in steps.

        NaN where the last step receives no gradient. At most the segment's own length less 1.
        """
        ratio = self.ratio_by_lag
        last = torch.where(ratio >= epsilon, self.lags[:, None], -1).amax(0).to(ratio)
        return last.where(ratio[0].isfinite(), math.nan)

    @property
    def half_life_steps(self) -> Tensor:
        """The first lag at which the ratio is at most 1/2, [N] in steps, interpolated on a logarithmic scale.

        inf where it stays above; NaN where the last step receives no gradient. For a ratio a^k: ln 2 / -ln a.
        """
        return half_life_steps(self.ratio_by_lag)

    @property
    def step_gain_by_lag(self) -> Tensor:
        """‖δ at lag k+1‖ / ‖δ at lag k‖, all states together: [K-1, N], no unit. Healthy: about 1."""
        whole = self.whole
        return whole[1:] / whole[:-1].where(whole[:-1] > 0, math.nan)

    @property
    def mean_step_gain(self) -> Tensor:
        """Geometric mean of a segment's step gains over the lags with a gradient: [N], no unit. Healthy: about 1."""
        return self.step_gain_by_lag.log().where(self.step_gain_by_lag > 0, math.nan).nanmean(0).exp()

    @property
    def omega(self) -> Tensor:
        """Pascanu's Ω = Σ (step gain - 1)² over a segment: [N], no unit. 0: the norm is the same at every step.

        R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 3.3.
        """
        gain = self.step_gain_by_lag
        return (gain - 1).square().nansum(0).where(self.ratio_by_lag[0].isfinite(), math.nan)

    def derived(self) -> dict[str, Any]:
        """The values that follow from the fields, as JSON has them: quantiles over the segments."""
        values = {
            "ratio_by_lag": self.ratio_by_lag,
            "share_by_lag": self.share_by_lag,
            "half_life_steps": self.half_life_steps,
            "mean_step_gain": self.mean_step_gain,
            "omega": self.omega,
            "reach_steps_1_percent": self.reach_steps(0.01),
            "reach_steps_10_percent": self.reach_steps(0.1),
        }
        return {name: quantiles_last(v) for name, v in values.items()}


@dataclass(frozen=True)
class WeightGradients:
    """Which steps a weight learns from: ‖G_t‖_F, where the weight's gradient is Σ_t G_t."""

    parameter: str
    """The parameter's name in the model, such as "rnn.weight_hh_l0"."""
    norms: Tensor = field(metadata=quantity("loss per unit of the weight", json="norms_per_step_loss_per_weight_unit"))
    """[T], in the order of x, in units of the loss per unit of the weight: all gates together, summed over the rows of
    the batch before the norm is taken. Range: 0 and up; 0: nothing is learned from this step."""

    norms_per_step_loss_per_weight_unit = RenamedAttribute("norms")
