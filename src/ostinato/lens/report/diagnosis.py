"""The diagnosis: a few rules, each a threshold with a source, each a sentence with a remedy to try.

A rule does not apply where its quantity was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...cells import catalogue
from ...cells.operations import BOUNDED
from .data import Finding, LayerReport, ReportData
from .format import number
from .statistics import median

FORGETS_BELOW = 0.25
"""Share of a segment's steps that gradients of at least 1 % must reach."""
SHORTEST_STEPS = 20
"""Segments shorter than this are too short to be forgotten."""
GAIN_ABOVE = 1.1
"""Mean step gain of the probe: 1.1 over 50 steps is a factor of 100."""
SHARE_BELOW = 1e-3
"""The share of the last step's gradient at the lag of a dependency. Of the lab's runs 11 of 50 learned below, after 2 %
of their updates, and 62 of 86 above; before training 10 of 51 and 63 of 85."""
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
_LAB = "136 training runs of docs/lab-lag.md, of which 11 of 50 with less learned"
_RATIO = "A. Karpathy, CS231n notes, Neural Networks 3, ratio of weights to updates (about 0.001)"


@dataclass(frozen=True)
class _Case:
    """A rule that applies to one layer; layers with the same sentence become one finding."""

    rule: str
    """As `Finding.rule`."""
    layer: LayerReport
    """The layer."""
    sentence: str
    """With {who} for the layers, {s} for the verb's ending, and {0}, {1} … for `values`."""
    values: tuple[tuple[float, Callable[[float], str]], ...]
    """Numbers of the sentence, each with its format."""
    measured: float
    """As `Finding.measured`."""
    threshold: float
    """As `Finding.threshold`."""
    source: str
    """As `Finding.source`."""
    worst: Callable[[Iterable[float]], float] = max
    """The measured number of several layers is the worst of theirs by this function."""


def diagnose(report: ReportData) -> tuple[Finding, ...]:
    """All findings, the ones that make every other number meaningless first."""
    cases = [case for layer in report.layers for case in _not_finite(layer)]
    for rule in (_vanishing, _exploding, _saturated, _dead):
        cases += [case for layer in report.layers if (case := rule(layer)) is not None]
    alike: dict[tuple[str, str], list[_Case]] = {}
    for case in cases:
        alike.setdefault((case.rule, case.sentence), []).append(case)
    return (*map(_finding, alike.values()), *_dependency(report), *_optimiser(report))


def _finding(cases: Sequence[_Case]) -> Finding:
    """One sentence for all layers of which it holds."""
    first, who = cases[0], layers_named([case.layer for case in cases])
    values = []
    for same in zip(*(case.values for case in cases), strict=True):
        write = same[0][1]
        ends = [write(end(value for value, _ in same)) for end in (min, max)]
        values.append(ends[0] if ends[0] == ends[1] else " to ".join(ends))
    sentence = first.sentence.format(*values, who=who, s="s" if len(cases) == 1 else "")
    measured = first.worst(case.measured for case in cases)
    return Finding(first.rule, who, sentence, measured, first.threshold, first.source)


def layers_named(layers: Sequence[LayerReport]) -> str:
    """As a sentence names them: "rnn layer 1, reversed", or "rnn layers 0 and 1 in both directions"."""
    if len(layers) == 1:
        return layers[0].label
    directions: dict[tuple[str, int, int], list[bool]] = {}
    for layer in layers:
        directions.setdefault((layer.module or layer.kind, layer.call, layer.depth), []).append(layer.reverse)
    depths: dict[tuple[str, int, tuple[bool, ...]], list[int]] = {}
    for (name, call, depth), reverse in directions.items():
        depths.setdefault((name, call, tuple(reverse)), []).append(depth)
    phrases = []
    for (name, call, ways), which in depths.items():
        noun = "layer" + "s" * (len(which) > 1)
        part = name.removesuffix("layer") if name.endswith("layer") else f"{name} "
        part += f"{noun} {_listed(list(map(str, which)))}"
        part += " in both directions" * (len(ways) > 1) + " reversed" * (ways == (True,))
        phrases.append(part + f" of call {call}" * (call > 0))
    return _listed(phrases)


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _not_finite(layer: LayerReport) -> list[_Case]:
    cases = []
    begins: dict[int, list[str]] = {}
    for health in layer.health:
        if health.first_step_not_finite is not None:
            begins.setdefault(health.first_step_not_finite, []).append(health.state)
    for at, states in begins.items():
        what = f"state {states[0]} is" if len(states) == 1 else f"states {_listed(states)} are"
        sentence = f"{{who}}: {what} inf or NaN from step {at} on; look at x and the weights there"
        cases.append(_Case("not finite", layer, sentence, (), float(at), math.inf, "IEEE 754"))
    if not cases and layer.gradient is not None and layer.gradient.step_not_finite is not None:
        at = layer.gradient.step_not_finite
        what = f"gradients are inf or NaN at step {at}, and the states are finite"
        sentence = f"{{who}}: {what}; look at the loss, and at the gradients of later steps"
        cases.append(_Case("not finite", layer, sentence, (), float(at), math.inf, "IEEE 754"))
    return cases


def _vanishing(layer: LayerReport) -> _Case | None:
    """reach(1 %) of the median segment, against its length."""
    if layer.probe is None or not len(layer.lengths_steps):
        return None
    steps, reach = int(layer.lengths_steps.median()), median(layer.probe.reach_steps(0.01))
    if math.isnan(reach) or steps < SHORTEST_STEPS or reach >= FORGETS_BELOW * (steps - 1):
        return None
    sentence = f"{{who}} forget{{s}}: gradients above 1 % reach {{0}} of {steps} steps"
    values: list[tuple[float, Callable[[float], str]]] = [(reach, lambda v: f"{v:.0f}")]
    for carry in layer.carries:
        half = median(carry.half_life_steps_per_unit)
        if carry.formula != "0" and math.isfinite(half):
            sentence += f"; what {carry.state} carries halves every {{{len(values)}}} steps"
            values.append((half, lambda v: number(v, 2)))
    return _Case(
        "vanishing", layer, f"{sentence}; {_remember(layer.cell, steps)}", tuple(values), reach,
        FORGETS_BELOW * (steps - 1),
        f"{_PASCANU}, section 2; R. Jozefowicz, W. Zaremba, I. Sutskever, ICML 2015; C. Tallec, Y. Ollivier, ICLR 2018",
        min,
    )  # fmt: skip


def _remember(cell: str, steps: int) -> str:
    known = catalogue().get(cell)
    if known is not None and "forget" in known.roles:
        return f'try forget_bias=1 or init="chrono({steps})"'
    return 'try init="orthogonal", or a cell with gates such as "lstm" or "gru"'


def _dependency(report: ReportData) -> list[Finding]:
    """The share of the gradient at the lag of the dependency, of the layer that has the largest: one is enough."""
    lag = report.lag
    shares = {} if lag is None else {share_at(layer, lag): layer for layer in report.layers}
    known = [share for share in shares if not math.isnan(share)]
    if lag is None or not known or max(known) >= SHARE_BELOW:
        return []
    layer = shares[max(known)]
    sentence = (
        f"{layer.label}: the state {lag} steps before the last gets {number(100 * max(known))} % of the last step's "
        f"gradient; of runs with less than {number(100 * SHARE_BELOW)} % one in five learned; "
        + _remember(layer.cell, lag)
    )
    return [Finding("out of reach", layer.label, sentence, max(known), SHARE_BELOW, _LAB)]


def share_at(layer: LayerReport, lag: int) -> float:
    """The share of the last step's gradient at this lag, of the median segment; NaN where none is as long, or known.

    A second direction, which starts at the last step, carries nothing from there: NaN.
    """
    return median(layer.probe.share_by_lag[lag]) if layer.probe is not None and _has(layer, lag) else math.nan


def ratio_at(layer: LayerReport, lag: int) -> float:
    """The ratio of the gradient at this lag to that at lag 0, of the median segment; NaN where `share_at` is."""
    return median(layer.probe.ratio_by_lag[lag]) if layer.probe is not None and _has(layer, lag) else math.nan


def _has(layer: LayerReport, lag: int) -> bool:
    return layer.probe is not None and not layer.reverse and lag < layer.probe.norms.shape[1]


def _exploding(layer: LayerReport) -> _Case | None:
    """Mean step gain of the median segment."""
    if layer.probe is None:
        return None
    gain = median(layer.probe.mean_step_gain)
    if math.isnan(gain) or gain <= GAIN_ABOVE:
        return None
    sentence = (
        "{who}: gradients grow by {0} with every step back; "
        'try clip_grad_norm_, init="orthogonal", or a smaller learning rate'
    )
    return _Case("exploding", layer, sentence, ((gain, number),), gain, GAIN_ABOVE, f"{_PASCANU}, section 3.2")


def _saturated(layer: LayerReport) -> _Case | None:
    """The gate with the largest share of values at the ends of its range. Open gates that carry a state are healthy."""
    worst, share = None, SATURATED_ABOVE
    carried = {c.formula for c in layer.carries}
    for gate in layer.gates:
        ends = [gate.low_share_per_unit, gate.high_share_per_unit]
        keeping = {f"1 - {gate.name}": 0, gate.name: 1}
        for formula, end in keeping.items():
            if formula in carried:
                ends[end] = ends[end] * 0
        here = float((ends[0] + ends[1]).mean())
        if gate.activation in BOUNDED and here > share:
            worst, share = gate, here
    if worst is None:
        return None
    sentence = (
        f"{{who}}: {{0}} % of gate {worst.name} is saturated and passes little gradient; "
        "scale x to about 1, start from smaller weights, or try layer norm"
    )
    values = ((100 * share, lambda v: f"{v:.0f}"),)
    return _Case("saturated", layer, sentence, values, share, SATURATED_ABOVE, _GLOROT)


def _dead(layer: LayerReport) -> _Case | None:
    """Units whose state never moves."""
    for health in layer.health:
        dead = health.dead_units
        share = float(dead.double().mean()) if len(dead) else 0.0
        if share > DEAD_ABOVE and int(layer.lengths_steps.sum()) > 1:
            sentence = (
                f"{{who}}: {{0}} of {len(dead)} units of {health.state} never move; "
                "try smaller weights or a lower learning rate, or fewer units"
            )
            values = ((float(dead.sum()), lambda v: f"{v:.0f}"),)
            return _Case("dead units", layer, sentence, values, share, DEAD_ABOVE, "L. Lu and others, arXiv 1903.06733")
    return None


def _optimiser(report: ReportData) -> list[Finding]:
    findings, clipping = [], report.clipping
    pairs = list(zip(clipping.norms_before, clipping.norms_after, strict=True))
    factors = [before / after for before, after in pairs if after > 0 and not math.isnan(before)]
    if factors and min(factors) > CLIPPED_ABOVE:
        sentence = (
            f"optimiser: clipping cut the gradient by {number(min(factors))} at every step, so its size is "
            "that of the bound; raise the bound, or look for the layer whose gradient explodes"
        )
        source = f"{_PASCANU}, section 3.2"
        findings.append(Finding("clipped", "optimiser", sentence, min(factors), CLIPPED_ABOVE, source))
    zeroed = [before for before, after in pairs if after == 0 < before]
    if zeroed:
        size = max(zeroed)
        steps = "a step" if len(zeroed) == 1 else f"{len(zeroed)} steps"
        if size > clipping.largest_norm:
            sentence = (
                f"optimiser: at {steps} the gradient's norm, {number(size)}, overflowed to inf in clip_grad_norm_, "
                "which then multiplied every gradient by 0; look for the layer whose gradient explodes, and set "
                "error_if_nonfinite=True to stop there"
            )
        else:
            sentence = (
                f"optimiser: at {steps} a gradient of norm {number(size)} was 0 when the optimiser read it; "
                "look at what is done to gradients between backward and the step"
            )
        findings.append(Finding("gradient set to 0", "optimiser", sentence, size, 0.0, "IEEE 754"))
    moved = [
        (w.relative_update, w) for w in report.weights if "weight" in w.parameter and w.relative_update is not None
    ]
    if moved:
        most, fast = max(moved, key=lambda pair: pair[0])
        if UPDATE_ABOVE < most < math.inf:
            what = f"gate {fast.gate} of {fast.parameter} moved by {100 * most:.2g} % of its size in one step"
            sentence = f"optimiser: {what}; lower the learning rate"
            findings.append(Finding("update too large", "optimiser", sentence, most, UPDATE_ABOVE, _RATIO))
        elif most < UPDATE_BELOW and not zeroed:
            what = f"no recurrent weight moved by more than {number(most)} of its size"
            sentence = f"optimiser: {what}; raise the learning rate, or check that gradients are not 0"
            findings.append(Finding("update too small", "optimiser", sentence, most, UPDATE_BELOW, _RATIO))
    return findings
