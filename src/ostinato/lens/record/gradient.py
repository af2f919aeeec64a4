"""What gradients do on their way back: the curve of the whole loss, the probe of the last step, each weight's share.

Letters: T steps, B rows, S states, N runs, K lags; the package says what a run and a lag are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .numbers import LEVELS, half_life_steps, quantiles


@dataclass(frozen=True)
class GradientCurve:
    """The gradient that reaches each state: ‖δ_t‖ = ‖dL/ds_t‖, everything that the loss sends, by whatever way.

    What `s_t.grad` would hold after `retain_grad()` in a loop of single steps: through the output and through the next
    step. The gradient of an LSTM's c_t counts its way through h_t, and h_t's is what arrives at h_t itself.
    Unit: the loss's per unit of the state. Range: 0 and up. Healthy: of one order over the steps that matter.
    """

    states: tuple[str, ...]
    """Names of the states, in the order of the cell: S of them."""
    norms_loss_per_state_unit: Tensor
    """[S, T, B], ‖dL/ds_t‖ of each row, in the order of x. 0: nothing arrives there."""
    underflowed_share: Tensor
    """[S], share of the entries of δ_t that are 0 or below the smallest normal number, from 0 to 1. Healthy: 0."""
    backward_passes: int
    """How many backward passes went through this call; the numbers are those of the last."""
    step_not_finite: int | None
    """The latest step, in the order of x, at which a gradient is inf or NaN: backpropagation met it first. None: all
    are finite."""

    def quantiles(self, levels: tuple[float, ...] = LEVELS) -> Tensor:
        """Over the batch, of each state: [S, Q, T]."""
        return quantiles(self.norms_loss_per_state_unit, levels).transpose(0, 1)


@dataclass(frozen=True)
class Probe:
    """How far back a gradient gets: the one that arrives at each run's last step, sent back alone.

    Only what arrives at the last step (through the output, and as the gradient of the final state) goes back through
    the layer's own recurrence; what the loss sends to earlier steps is left out, so the curve falls by what the
    recurrence does to it and by nothing else. Runs to whose last step nothing arrives are NaN.
    """

    states: tuple[str, ...]
    norms_by_lag_loss_per_state_unit: Tensor
    """[S, K, N], ‖δ‖ of each state at lag k = 0 … K-1, as `GradientCurve` defines δ; NaN beyond a run's first step."""
    additive_norms_by_lag_loss_per_state_unit: Tensor
    """[S, K, N], what of it comes by the additive path alone: δ at lag 0 times what each unit carries over by itself,
    step for step. For an LSTM's c: δ_T ⊙ f_T ⊙ f_{T-1} …; 0 for a state that carries nothing by itself."""

    @property
    def lags(self) -> Tensor:
        """0 … K-1, in steps: int64 [K]."""
        return torch.arange(self.norms_by_lag_loss_per_state_unit.shape[1], device="cpu")

    @property
    def norm_by_lag_loss_per_state_unit(self) -> Tensor:
        """All states together, √(Σ_s ‖δ‖²): [K, N]."""
        return self.norms_by_lag_loss_per_state_unit.square().sum(0).sqrt()

    @property
    def ratio_by_lag(self) -> Tensor:
        """All states together, against lag 0: [K, N], no unit. 1 at lag 0. Healthy: near 1 where it matters."""
        whole = self.norm_by_lag_loss_per_state_unit
        return whole / whole[:1].where(whole[:1] > 0, math.nan)

    def reach_steps(self, epsilon: float = 0.01) -> Tensor:
        """reach(ε): the largest lag whose ratio is at least ε, of each run: [N] in steps, NaN where nothing arrives.

        At most the run's own length less 1: a run that is shorter than its reach shows its length.
        """
        ratio = self.ratio_by_lag
        last = torch.where(ratio >= epsilon, self.lags[:, None], -1).amax(0).to(ratio)
        return last.where(ratio[0].isfinite(), math.nan)

    @property
    def half_life_steps(self) -> Tensor:
        """The first lag at which the ratio is at most 1/2, [N], between two lags on a logarithmic scale.

        inf where it stays above; NaN where nothing arrives. For a ratio a^k: ln 2 / -ln a.
        """
        return half_life_steps(self.ratio_by_lag)

    @property
    def step_gain_by_lag(self) -> Tensor:
        """‖δ at lag k+1‖ / ‖δ at lag k‖, all states together: [K-1, N], no unit. Healthy: about 1."""
        whole = self.norm_by_lag_loss_per_state_unit
        return whole[1:] / whole[:-1].where(whole[:-1] > 0, math.nan)

    @property
    def mean_step_gain(self) -> Tensor:
        """Geometric mean of the step gains of each run, while something arrives: [N], no unit. Healthy: about 1."""
        return self.step_gain_by_lag.log().where(self.step_gain_by_lag > 0, math.nan).nanmean(0).exp()

    @property
    def omega(self) -> Tensor:
        """Pascanu's Ω = Σ (step gain - 1)² over a run: [N], no unit. 0: the gradient keeps its size at every step.

        R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013, section 3.3.
        """
        gain = self.step_gain_by_lag
        return (gain - 1).square().nansum(0).where(self.ratio_by_lag[0].isfinite(), math.nan)


@dataclass(frozen=True)
class WeightGradients:
    """Which steps a weight learns from: ‖G_t‖_F, where the weight's gradient is Σ_t G_t."""

    parameter: str
    """The parameter's name in the model, such as "rnn.weight_hh_l0"."""
    norms_per_step_loss_per_weight_unit: Tensor
    """[T], in the order of x: all gates together, summed over the rows of the batch before the norm is taken."""
