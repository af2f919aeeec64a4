"""What one watched training step looked like from inside: the record that `lens.watch` makes. Every number is measured.

Letters: T steps of a call, B rows of its batch, S states of a cell, H units of a state (P behind a projection), N runs,
K lags. A run is an unbroken row: a row of the batch up to its length, or a piece of it between two resets. Lag is
counted in steps back from a run's last step, in the order in which the steps were taken: for the second direction of a
bidirectional layer lag 0 is the row's first step. Tensors are on the CPU, float64; NaN stands past a row's end.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.1, 0.5, 0.9)
"""The quantiles that are shown where nothing else is asked for."""


def quantiles(values: Tensor, levels: tuple[float, ...] = LEVELS) -> Tensor:
    """Over the last dimension, NaN left out, the nearest value: [..., N] → [Q, ...]; NaN where nothing is left."""
    return values.nanquantile(values.new_tensor(levels), dim=-1, interpolation="nearest")


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
        return torch.arange(self.norms_by_lag_loss_per_state_unit.shape[1])

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
class Carry:
    """What a state carries over by itself, per unit: ∂new/∂old with products cut, out of the cell's own graph."""

    state: str
    formula: str
    """As `lens.carry` gives it: "f" for an LSTM's c; "0" for a state that lives on through products alone."""
    mean_per_unit: Tensor
    """[H], mean over all steps and rows, no unit. 1 keeps, 0 forgets at once, negative turns over."""
    retention_by_lag_per_unit: Tensor
    """[K, H], R(k) = Π |carry| over the last k steps of a run, geometric mean over the runs that have them; 1 at lag 0.
    Range 0 to 1 where the carry is a gate. Healthy: some units well above 0 at the lag that matters."""

    @property
    def time_constant_steps_per_unit(self) -> Tensor:
        """-1 / ln(mean carry), [H] in steps: in this time what is kept falls to 1/e. inf from 1 on, 0 for 0."""
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
    activation: str
    """The operation: "sigmoid", "tanh", "relu", …"""
    mean_per_unit: Tensor
    """[H], in the activation's own range, no unit."""
    low_share_per_unit: Tensor
    """[H], share of steps and rows at which it is saturated low, between 0 and 1; NaN for an activation without."""
    high_share_per_unit: Tensor
    """[H], the same for high."""
    mean_square_slope: float
    """E[φ'²], mean over everything of the squared derivative of the activation, no unit. 0: nothing passes back.
    NaN for an activation whose slope does not follow from its value."""
    mean_per_step: Tensor
    """[T], over the units of a sample of rows, in the order of x."""
    quantiles_per_step: Tensor
    """[3, T]: 0.1, 0.5 and 0.9 over a sample of rows and units."""
    histogram_edges: Tensor
    """[E+1], edges of the bins, in the activation's own range."""
    histogram_shares: Tensor
    """[E], share of a sample of the values in each bin; they add up to 1."""


@dataclass(frozen=True)
class StateHealth:
    """The values of a state after each step."""

    state: str
    rms_per_step: Tensor
    """[T], root mean square over batch and units, in the order of x, in units of the state. Healthy: no drift."""
    standard_deviation_per_unit: Tensor
    """[H], over steps and rows, in units of the state. 0: a dead unit, which says nothing about its input."""
    denormal_share: float
    """Share of values that are neither 0 nor normal numbers, between 0 and 1; slow on many machines. Healthy: 0."""
    first_step_not_finite: int | None
    """The first step, in the order of x, at which the state is inf or NaN; None where all are finite."""

    @property
    def dead_units(self) -> Tensor:
        """bool [H]: the value is the same at all steps of all rows, to 1 in 10⁶ of the largest deviation."""
        deviation = self.standard_deviation_per_unit
        return deviation <= 1e-6 * deviation.max().clamp(min=torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class WeightGradients:
    """Which steps a weight learns from: ‖G_t‖_F, where the weight's gradient is Σ_t G_t."""

    parameter: str
    """The parameter's name in the model, such as "rnn.weight_hh_l0"."""
    norms_per_step_loss_per_weight_unit: Tensor
    """[T], in the order of x: all gates together, summed over the rows of the batch before the norm is taken."""


@dataclass(frozen=True)
class LayerReport:
    """One layer and direction of one call of a recurrent layer."""

    module: str
    """The layer's name in the model; "" where it is the model itself."""
    kind: str
    """Its class: "LSTM", "Recurrent", …"""
    cell: str
    """The cell's name."""
    depth: int
    """Which of its L layers, from 0."""
    reverse: bool
    """True for the second direction, whose first step is the row's last."""
    call: int
    """Which call of this module within the watched step, from 0."""
    training: bool
    """Whether the module was in training mode."""
    steps: int
    """T, of the call."""
    rows: int
    """B, of the call."""
    units: int
    """H, of the first state."""
    lengths_steps: Tensor
    """int64 [N], steps of each run."""
    gradient: GradientCurve | None
    """None where no backward pass was seen; `gradient_absent` says why."""
    gradient_absent: str
    probe: Probe | None
    """None where `gradient` is."""
    carries: tuple[Carry, ...]
    """One for each state."""
    gates: tuple[Gate, ...]
    """Those that have one activation of their own, in the order of the cell."""
    health: tuple[StateHealth, ...]
    """One for each state."""
    weight_gradients: tuple[WeightGradients, ...]
    """One for each weight matrix; () where `gradient` is None."""

    @property
    def label(self) -> str:
        """As messages name it: "rnn layer 1, reversed, call 2"."""
        name = self.module or self.kind
        parts = [f"{name if name.endswith('layer') else f'{name} layer'} {self.depth}"]
        return ", ".join(parts + ["reversed"] * self.reverse + [f"call {self.call}"] * (self.call > 0))


@dataclass(frozen=True)
class WeightReport:
    """One gate's part of one parameter of a recurrent layer, or a parameter without gates, over the watched step."""

    parameter: str
    gate: str
    """"" for a parameter without gates."""
    norm_weight_units: float
    """‖W‖ before the update."""
    gradient_norm_loss_per_weight_unit: float | None
    """‖dL/dW‖ as the optimiser read it, after clipping; the last step's where there were several. None: not seen."""
    update_norm_weight_units: float | None
    """‖ΔW‖ over the watched step; None where no optimiser took a step."""

    @property
    def relative_update(self) -> float | None:
        """‖ΔW‖ / ‖W‖, no unit. Healthy: about 0.001; inf for a parameter that was 0."""
        if self.update_norm_weight_units is None:
            return None
        if not self.norm_weight_units:
            return math.inf if self.update_norm_weight_units else 0.0
        return self.update_norm_weight_units / self.norm_weight_units


@dataclass(frozen=True)
class Clipping:
    """The norm of all the model's gradients together, as backward left it and as the optimiser read it."""

    norms_before_loss_per_weight_unit: tuple[float, ...]
    """For each step of an optimiser, before clipping; NaN where backward ran outside of the watch."""
    norms_after_loss_per_weight_unit: tuple[float, ...]
    """For each step of an optimiser, as it read them."""

    @property
    def steps(self) -> int:
        """How often an optimiser took a step while watched."""
        return len(self.norms_after_loss_per_weight_unit)

    @property
    def rate(self) -> float:
        """Share of the steps at which the norm was cut by more than 1 in 1000; NaN where no step shows it."""
        pairs = zip(self.norms_before_loss_per_weight_unit, self.norms_after_loss_per_weight_unit, strict=True)
        cut = [after < 0.999 * before for before, after in pairs if not math.isnan(before)]
        return sum(cut) / len(cut) if cut else math.nan


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict."""

    rule: str
    """"vanishing", "exploding", …: the name under which docs/lens.md gives threshold and source."""
    where: str
    """The label of the layer, or "optimiser"."""
    sentence: str
    """What is the matter, how it was measured, and what to try."""
    measured: float
    threshold: float
    """The bound that `measured` went past, in the same unit."""
    source: str
    """Where the rule comes from."""


@dataclass(frozen=True)
class Report:
    """All that was seen between entering and leaving `lens.watch`."""

    layers: tuple[LayerReport, ...]
    """In the order of the calls; within a call the layers' order, of each the first direction first."""
    weights: tuple[WeightReport, ...]
    """The parameters of the model's recurrent layers, by gates."""
    clipping: Clipping

    def table(self) -> str:
        """One line for each layer, direction and call: how far gradients reach and what is kept, as plain text."""
        from .writing import table

        return table(self)

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts, lists and None only. A dimension over rows or runs is written as its quantiles `LEVELS`."""
        from .writing import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON; NaN is written as null, inf as the text "inf"."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def picture(self) -> Figure:
        """A sheet of the first layers: gradient curve, probe, retention, gates, weight gradients. Needs matplotlib."""
        from .pictures.report import report_picture

        return report_picture(self)

    def to_html(self, **options: Any) -> str:
        """One page that opens offline: the verdict first, then pictures and every number. No script, no address.

        title     of the page
        about     name → value, facts to stand under the title, such as the model's file
        pictures  heading → `Diagram` or figure of matplotlib, such as `lens.fold(model, x)`
        """
        from .page import to_html

        return to_html(self, **options)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Writes the page (.html, options as `to_html`), the record (.json) or the sheet (.png, .svg)."""
        from .writing import save

        return save(self, Path(path), **options)

    @property
    def verdict(self) -> tuple[Finding, ...]:
        """What is the matter, in words, from few rules with thresholds and sources; () where no rule has a say."""
        from .verdict import verdict

        return verdict(self)

    def __str__(self) -> str:
        """The table, then the verdict."""
        return "\n".join([self.table(), *(f"- {finding.sentence}" for finding in self.verdict)])


def half_life_steps(ratio: Tensor) -> Tensor:
    """The first lag at which ratio [K, ...] is at most 1/2, between two lags on a logarithmic scale; inf if none."""
    if not len(ratio):
        return ratio.new_full(ratio.shape[1:], math.nan)
    below = ratio <= 0.5
    at = below.to(torch.int64).argmax(0, keepdim=True)
    here = ratio.gather(0, at)
    before = ratio.gather(0, (at - 1).clamp(min=0))
    part = (math.log(0.5) - before.log()) / (here.log() - before.log())
    found = at - 1 + torch.where(here > 0, part, 1.0)
    known = torch.where(below.any(0, keepdim=True), found, math.inf)
    return known.where(ratio[:1].isfinite(), math.nan)[0]
