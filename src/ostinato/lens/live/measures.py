"""A report as scalars, histograms and sentences for a log, each under a fixed name."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..report.data import LayerReport, ReportData
from ..report.diagnosis import diagnose
from ..report.statistics import median
from .early import EarlyWord


@dataclass(frozen=True)
class Measures:
    """The measurements of one training step."""

    scalars: dict[str, float]
    """"part/quantity_in_unit" → number; undefined ones are absent."""
    histograms: dict[str, tuple[Tensor, Tensor]]
    """"part/quantity" → (edges [E+1], shares [E], which add up to 1)."""
    verdict: tuple[str, ...] = ()
    """The sentences of the report's verdict."""


def measures(report: ReportData, early: EarlyWord | None = None) -> Measures:
    """Scalars and histograms of a report. Several calls of a layer in one step: those of the last one.

    Of each layer and direction: gradient_first_step and gradient_last_step, ‖dL/ds_t‖ at the row's ends (median over
    the batch, all states); reach_1_percent_steps, half_life_steps and mean_step_gain of the probe; of each state with a
    carry of its own carry_half_life_steps (median over the units); dead_units_share; of each gate its mean and
    saturated_share. Of each weight's gate gradient_norm and relative_update. Of all gradients together norm_before_clip
    and norm_after_clip. Of the early word, where there is one, early/ratio, early/loss, early/score and its sentence.
    """
    scalars: dict[str, float] = {}
    histograms: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in report.layers:
        part = "_".join([layer.module or layer.kind, f"layer{layer.depth}"] + ["reversed"] * layer.reverse)
        for name, value in _scalars(layer).items():
            scalars[f"{part}/{name}"] = value
        for gate in layer.gates:
            scalars[f"{part}/gate_{gate.name}_mean"] = float(gate.mean_per_unit.mean())
            saturated = gate.low_share_per_unit.nan_to_num() + gate.high_share_per_unit.nan_to_num()
            scalars[f"{part}/gate_{gate.name}_saturated_share"] = float(saturated.mean())
            histograms[f"{part}/gate_{gate.name}"] = gate.histogram_edges, gate.histogram_shares
    for weight in report.weights:
        part = f"{weight.parameter}/{weight.gate}_" if weight.gate else f"{weight.parameter}/"
        if weight.gradient_norm is not None:
            scalars[part + "gradient_norm"] = weight.gradient_norm
        if weight.relative_update is not None:
            scalars[part + "relative_update"] = weight.relative_update
    for name, norms in (
        ("norm_before_clip", report.clipping.norms_before),
        ("norm_after_clip", report.clipping.norms_after),
    ):
        if norms:
            scalars[f"gradients/{name}"] = norms[-1]
    sentences = [str(finding) for finding in diagnose(report)]
    if early is not None:
        scalars |= {"early/ratio": early.ratio, "early/loss": early.loss, "early/score": early.score}
        sentences.insert(0, early.sentence)
    known = {name: value for name, value in scalars.items() if not math.isnan(value)}
    return Measures(known, histograms, tuple(sentences))


def _scalars(layer: LayerReport) -> dict[str, float]:
    scalars: dict[str, float] = {}
    if layer.gradient is not None:
        whole = layer.gradient.norms.square().sum(0).sqrt()
        lengths = whole.isfinite().sum(0)
        rows = lengths.nonzero()[:, 0]
        if len(rows):
            scalars["gradient_first_step"] = median(whole[0, rows])
            scalars["gradient_last_step"] = median(whole[lengths[rows] - 1, rows])
    if layer.probe is not None:
        scalars["reach_1_percent_steps"] = median(layer.probe.reach_steps(0.01))
        scalars["half_life_steps"] = median(layer.probe.half_life_steps)
        scalars["mean_step_gain"] = median(layer.probe.mean_step_gain)
    for carry in layer.carries:
        if carry.formula != "0":
            scalars[f"{carry.state}_carry_half_life_steps"] = median(carry.half_life_steps_per_unit)
    for health in layer.health:
        scalars[f"{health.state}_dead_units_share"] = float(health.dead_units.double().mean())
    return scalars
