"""The verdict: a few rules, each a threshold with a source, each a sentence that says what to try.

A rule is silent where what it asks for was not measured.
"""

from __future__ import annotations

import math

from ..cells import catalogue
from .record import Finding, LayerReport, Report
from .writing import median, number

FORGETS_BELOW = 0.25
"""Share of a run's steps that gradients of at least 1 % must reach."""
SHORTEST_STEPS = 20
"""Runs shorter than this are too short to be forgotten."""
GAIN_ABOVE = 1.1
"""Mean step gain of the probe: 1.1 over 50 steps is a factor of 100."""
SATURATED_ABOVE = 0.8
"""Share of a gate's values that are saturated."""
DEAD_ABOVE = 0.1
"""Share of a state's units that never move."""
CLIPPED_ABOVE = 10.0
"""The factor by which clipping cuts the gradient."""
UPDATE_ABOVE, UPDATE_BELOW = 0.05, 1e-6
"""‖ΔW‖ / ‖W‖ of a weight matrix in one step."""

_PASCANU = "R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013"
_GLOROT = "X. Glorot, Y. Bengio, AISTATS 2010, section 3"
_RATIO = "A. Karpathy, CS231n notes, Neural Networks 3, ratio of weights to updates (about 0.001)"


def verdict(report: Report) -> tuple[Finding, ...]:
    """All findings, the ones that make every other number meaningless first."""
    found = [f for layer in report.layers for f in _not_finite(layer)]
    for rule in (_vanishing, _exploding, _saturated, _dead):
        found += [f for layer in report.layers if (f := rule(layer)) is not None]
    return (*found, *_optimiser(report))


def _not_finite(layer: LayerReport) -> list[Finding]:
    found = []
    for health in layer.health:
        if health.first_step_not_finite is not None:
            at = health.first_step_not_finite
            what = f"state {health.state} is inf or NaN from step {at} on"
            sentence = f"{layer.label}: {what}; look at x and the weights there"
            found.append(Finding("not finite", layer.label, sentence, float(at), math.inf, "IEEE 754"))
    if not found and layer.gradient is not None and layer.gradient.step_not_finite is not None:
        at = layer.gradient.step_not_finite
        what = f"gradients are inf or NaN at step {at} and the states are not"
        sentence = f"{layer.label}: {what}; look at the loss, and at what grows on the way back"
        found.append(Finding("not finite", layer.label, sentence, float(at), math.inf, "IEEE 754"))
    return found


def _vanishing(layer: LayerReport) -> Finding | None:
    """reach(1 %) of the median run, against its length."""
    if layer.probe is None or not len(layer.lengths_steps):
        return None
    steps, reach = int(layer.lengths_steps.median()), median(layer.probe.reach_steps(0.01))
    if math.isnan(reach) or steps < SHORTEST_STEPS or reach >= FORGETS_BELOW * (steps - 1):
        return None
    sentence = f"{layer.label} forgets: gradients reach {reach:.0f} of {steps} steps (1 %)"
    for carry in layer.carries:
        half = median(carry.half_life_steps_per_unit)
        if carry.formula != "0" and math.isfinite(half):
            sentence += f"; what {carry.state} carries halves every {number(half, 2)} steps"
    return Finding(
        "vanishing", layer.label, f"{sentence}; {_remember(layer.cell, steps)}", reach, FORGETS_BELOW * (steps - 1),
        f"{_PASCANU}, section 2; R. Jozefowicz, W. Zaremba, I. Sutskever, ICML 2015; C. Tallec, Y. Ollivier, ICLR 2018",
    )  # fmt: skip


def _remember(cell: str, steps: int) -> str:
    known = catalogue().get(cell)
    if known is not None and "forget" in known.roles:
        return f'try forget_bias=1 or init="chrono({steps})"'
    return 'try init="orthogonal", or a cell with gates such as "lstm" or "gru"'


def _exploding(layer: LayerReport) -> Finding | None:
    """Mean step gain of the median run."""
    if layer.probe is None:
        return None
    gain = median(layer.probe.mean_step_gain)
    if math.isnan(gain) or gain <= GAIN_ABOVE:
        return None
    sentence = (
        f"{layer.label}: gradients grow by {number(gain)} with every step back; "
        'try clip_grad_norm_, init="orthogonal", or a smaller learning rate'
    )
    return Finding("exploding", layer.label, sentence, gain, GAIN_ABOVE, f"{_PASCANU}, section 3.2")


def _saturated(layer: LayerReport) -> Finding | None:
    """The gate of which most values are at the ends of its range. Carrying gates that stay open are meant to."""
    worst, share = None, SATURATED_ABOVE
    carried = {c.formula for c in layer.carries}
    for gate in layer.gates:
        ends = [gate.low_share_per_unit, gate.high_share_per_unit]
        keeping = {f"1 - {gate.name}": 0, gate.name: 1}
        for formula, end in keeping.items():
            if formula in carried:
                ends[end] = ends[end] * 0
        here = float((ends[0] + ends[1]).mean())
        if gate.activation in ("sigmoid", "tanh") and here > share:
            worst, share = gate, here
    if worst is None:
        return None
    sentence = (
        f"{layer.label}: {100 * share:.0f} % of gate {worst.name} is saturated and passes little gradient; "
        "scale x to about 1, start from smaller weights, or try layer norm"
    )
    return Finding("saturated", layer.label, sentence, share, SATURATED_ABOVE, _GLOROT)


def _dead(layer: LayerReport) -> Finding | None:
    """Units whose state never moves."""
    for health in layer.health:
        dead = health.dead_units
        share = float(dead.double().mean()) if len(dead) else 0.0
        if share > DEAD_ABOVE and int(layer.lengths_steps.sum()) > 1:
            sentence = (
                f"{layer.label}: {int(dead.sum())} of {len(dead)} units of {health.state} never move; "
                "try smaller weights or a lower learning rate, or fewer units"
            )
            return Finding("dead units", layer.label, sentence, share, DEAD_ABOVE, "L. Lu and others, arXiv 1903.06733")
    return None


def _optimiser(report: Report) -> list[Finding]:
    found, clipping = [], report.clipping
    pairs = zip(clipping.norms_before_loss_per_weight_unit, clipping.norms_after_loss_per_weight_unit, strict=True)
    factors = [before / after for before, after in pairs if after > 0 and not math.isnan(before)]
    if factors and min(factors) > CLIPPED_ABOVE:
        sentence = (
            f"optimiser: clipping cut the gradient by {number(min(factors))} at every step, so its size says nothing "
            "any more; raise the bound, or look for what explodes"
        )
        found.append(Finding("clipped", "optimiser", sentence, min(factors), CLIPPED_ABOVE, f"{_PASCANU}, section 3.2"))
    moved = [
        (w.relative_update, w) for w in report.weights if "weight" in w.parameter and w.relative_update is not None
    ]
    if moved:
        most, fast = max(moved, key=lambda pair: pair[0])
        if UPDATE_ABOVE < most < math.inf:
            what = f"gate {fast.gate} of {fast.parameter} moved by {100 * most:.2g} % of its size in one step"
            sentence = f"optimiser: {what}; lower the learning rate"
            found.append(Finding("update too large", "optimiser", sentence, most, UPDATE_ABOVE, _RATIO))
        elif most < UPDATE_BELOW:
            what = f"no recurrent weight moved by more than {number(most)} of its size"
            sentence = f"optimiser: {what}; raise the learning rate, or look whether gradients arrive"
            found.append(Finding("update too small", "optimiser", sentence, most, UPDATE_BELOW, _RATIO))
    return found
