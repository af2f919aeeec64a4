"""The tables of a layer: every number of its report, by state, gate, segment, step, lag and unit.

Letters: T steps, S states, K lags, N segments, H units, Q quantiles. Of more than 100
lines evenly spread ones are shown. Headings name the units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...report.data import LayerReport
from ...report.format import percent
from ...report.statistics import LEVELS, median, quantiles
from .markup import Html, details, table, together

MOST = 100
"""Lines of a table; the file behind the page's link holds all."""


def states(layer: LayerReport) -> Html:
    """A line for each state: its carry, its values, and its gradient."""
    rows = []
    for k, carry in enumerate(layer.carries):
        health = layer.health[k] if layer.health else None
        low = layer.gradient.underflowed_share[k] if layer.gradient is not None else None
        rows.append(
            (
                carry.state,
                carry.formula,
                float(carry.mean_per_unit.mean()),
                median(carry.time_constant_steps_per_unit),
                median(carry.half_life_steps_per_unit),
                f"{int(health.dead_units.sum())} of {len(health.dead_units)}" if health else None,
                percent(health.denormal_share) if health else None,
                percent(float(low)) if low is not None else None,
                health.first_step_not_finite if health else None,
            )
        )
    headings = (
        "state",
        "carries over by itself",
        "mean carry (no unit)",
        "time constant, median unit (steps)",
        "carry half-life, median unit (steps)",
        "dead units (count)",
        "denormal values (share)",
        "gradients underflowed (share)",
        "first inf or NaN (step)",
    )
    return table("States", headings, rows, named=2)


def gates(layer: LayerReport) -> Html:
    """A line for each gate."""
    rows = [
        (
            g.name,
            g.activation,
            float(g.mean_per_unit.mean()),
            percent(float(g.low_share_per_unit.mean())),
            percent(float(g.high_share_per_unit.mean())),
            g.mean_square_slope,
        )
        for g in layer.gates
    ]
    headings = (
        "gate", "activation", "mean (no unit)", "saturated low (share)", "saturated high (share)",
        "mean squared slope (no unit)",
    )  # fmt: skip
    return table("Gates", headings, rows, named=2) if rows else Html("")


def segments(layer: LayerReport) -> Html:
    """The probe's figures, as quantiles over the segments."""
    if layer.probe is None:
        return Html("")
    p = layer.probe
    rows = {
        "reach at 1 % (steps)": p.reach_steps(0.01),
        "reach at 10 % (steps)": p.reach_steps(0.1),
        "half-life (steps)": p.half_life_steps,
        "mean step gain (no unit)": p.mean_step_gain,
        "Pascanu's Ω (no unit)": p.omega,
        "length of the segment (steps)": layer.lengths_steps.double(),
    }
    lines = [(name, *quantiles(v, LEVELS).tolist()) for name, v in rows.items()]
    return table("The probe, over the segments", ("measured", *(f"quantile {q:g} of segments" for q in LEVELS)), lines)


def everything(layer: LayerReport) -> Html:
    """By step, by lag, by unit and by bin: tables that are closed at first."""
    steps: dict[str, Tensor] = {}
    if layer.gradient is not None:
        for state, curve in zip(layer.gradient.states, layer.gradient.quantiles()):
            steps |= _quantiles(f"‖dL/d{state}‖ (loss per unit of {state})", curve)
    steps |= {f"root mean square of {h.state} (units of {h.state})": h.rms_per_step for h in layer.health}
    steps |= {f"‖G‖ of {w.parameter} (loss per unit of w)": w.norms for w in layer.weight_gradients}
    opened: dict[str, Tensor] = {}
    for g in layer.gates:
        opened[f"gate {g.name}, mean (no unit)"] = g.mean_per_step
        opened |= _quantiles(f"gate {g.name} (no unit)", g.quantiles_per_step)
    lags: dict[str, Tensor] = {}
    if layer.probe is not None:
        p = layer.probe
        lags |= _quantiles("ratio to lag 0 (no unit)", quantiles(p.ratio_by_lag))
        for k, state in enumerate(p.states):
            unit = f"(loss per unit of {state})"
            lags |= _quantiles(f"‖δ‖ of {state} {unit}", quantiles(p.norms[k]))
            additive = p.additive_norms[k]
            lags |= _quantiles(f"‖δ‖ of {state}, additive path {unit}", quantiles(additive))
    for c in layer.carries:
        lags |= _quantiles(f"retention of {c.state} over units (no unit)", quantiles(c.retention_by_lag_per_unit))
    units: dict[str, Tensor] = {}
    for c in layer.carries:
        units[f"mean carry of {c.state} (no unit)"] = c.mean_per_unit
        units[f"time constant of {c.state} (steps)"] = c.time_constant_steps_per_unit
        units[f"carry half-life of {c.state} (steps)"] = c.half_life_steps_per_unit
    units |= {f"deviation of {h.state} (units of {h.state})": h.standard_deviation_per_unit for h in layer.health}
    for g in layer.gates:
        units[f"gate {g.name}, mean (no unit)"] = g.mean_per_unit
        units[f"gate {g.name}, saturated low (share)"] = g.low_share_per_unit
        units[f"gate {g.name}, saturated high (share)"] = g.high_share_per_unit
    bins = {}
    for g in layer.gates:
        bins[f"gate {g.name}, lower edge (no unit)"] = g.histogram_edges[:-1]
        bins[f"gate {g.name}, values in the bin (share)"] = g.histogram_shares
    return together(
        _by("Gradients and states by step", "step", steps),
        _by("Gates by step", "step", opened),
        _by("Gradients and retention by lag", "lag (steps)", lags),
        _by("States and gates by unit", "unit", units),
        _by("Gates by bin of their histogram", "bin", bins),
    )


def _quantiles(name: str, curve: Tensor) -> dict[str, Tensor]:
    """curve [Q, …] as a column for each of `LEVELS`."""
    return {f"{name}, quantile {q:g}": line for q, line in zip(LEVELS, curve)}


def _by(caption: str, counted: str, columns: dict[str, Tensor]) -> Html:
    """A table of columns of numbers [M] each, numbered from 0."""
    if not columns:
        return Html("")
    count = max(len(v) for v in columns.values())
    every = max(1, -(-count // MOST))
    shown = torch.arange(0, count, every, device="cpu").tolist()
    values = [v.tolist() for v in columns.values()]
    lines = [(str(k), *(v[k] if k < len(v) else None for v in values)) for k in shown]
    some = f", one line in {every}" if every > 1 else ""
    return details(f"{caption} ({count} lines{some})", table(caption + some, (counted, *columns), lines))
