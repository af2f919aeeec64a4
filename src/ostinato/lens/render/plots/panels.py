"""The panels of a report's picture: each draws one quantity of one layer and direction.

Letters: T steps, B rows, S states, K lags, N segments, H units, Q quantiles, E bins of a histogram.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ....cells.operations import BOUNDED
from ...report.data import LayerReport
from ...report.format import number, percent
from ...report.statistics import LEVELS, median, quantiles
from .lines import a_decade_at_least, draw_lines, label_level, label_lines
from .style import INK, SMALL, plain, style

EPSILON = 0.01
"""The share of a gradient whose lag is the reach."""
FLOOR = 1e-8
"""Ratios below it are not drawn, which leaves the axis to those above."""

_BANDS = 4
"""Lines with bands; where there are more, bands would hide lines."""
_LINE = 55
"""Characters of a line under a title."""


def gradient(axes: Axes, layer: LayerReport) -> str:
    """‖dL/ds_t‖ against the step t, a line for each state: the median row, and the band of eight rows in ten."""
    if layer.gradient is None:
        return _nothing(axes, f"no gradient: {layer.gradient_absent}")
    curves = layer.gradient.quantiles().numpy()
    _lines(axes, {f"{state}": tuple(curve) for state, curve in zip(layer.gradient.states, curves)}, log=True)
    axes.set(xlabel="step $t$ of x", ylabel=r"$\Vert\,dL\,/\,ds_t\,\Vert$  (loss per unit of $s$)")
    return ""


def probe(axes: Axes, layer: LayerReport) -> str:
    """What is left of the last step's gradient k steps back, all states together, with reach and half-life."""
    if layer.probe is None:
        return _nothing(axes, f"no probe: {layer.gradient_absent}")
    ratio = layer.probe.ratio_by_lag
    reach, half = median(layer.probe.reach_steps(EPSILON)), median(layer.probe.half_life_steps)
    if math.isnan(reach):
        return _nothing(axes, "no probe: no gradient arrives at the last step of any row")
    middle = quantiles(ratio, LEVELS).numpy()
    axes.axhline(EPSILON, color="0.45", linewidth=0.8, linestyle=(0, (4, 4)), label="_level")
    mark: dict[str, Any] = {"color": INK, "markerfacecolor": "white", "markersize": 7, "linestyle": "", "zorder": 4}
    axes.plot([reach], [max(middle[1][int(reach)], EPSILON)], marker="s", label="_reach", **mark)
    if math.isfinite(half):
        axes.plot([half], [0.5], marker="o", label="_half", **mark)
    _lines(axes, {"gradient": tuple(middle)}, log=True, floor=FLOOR)
    label_level(axes, EPSILON, f"{EPSILON:.0%}".replace("%", " %"))
    axes.set(xlabel="lag $k$ (steps before the last)", ylabel="share of the gradient at lag 0")
    kept = f"half-life {number(half)} steps" if math.isfinite(half) else "never below half"
    return f"□ reach {reach:.0f} of {len(ratio) - 1} steps (1 %)    ○ {kept}"


def retention(axes: Axes, layer: LayerReport) -> str:
    """What is left of each state's gradient by lag: whole, by the additive path alone, and what its units keep.

    Where several states carry, what their units keep is left to the tables: nine lines are no picture.
    """
    curves: dict[str, tuple[np.ndarray, ...]] = {}
    several = sum(carry.formula != "0" for carry in layer.carries) > 1 and layer.probe is not None
    for k, carry in enumerate(layer.carries):
        if carry.formula == "0":
            continue
        if layer.probe is not None:
            whole, path = (
                t[k] / t[k, :1].where(t[k, :1] > 0, math.nan)
                for t in (
                    layer.probe.norms,
                    layer.probe.additive_norms,
                )
            )
            curves[f"{carry.state}: whole"] = tuple(quantiles(whole, LEVELS).numpy())
            curves[f"{carry.state}: additive"] = tuple(quantiles(path, LEVELS).numpy())
        if not several:
            curves[f"{carry.state}: kept"] = tuple(quantiles(carry.retention_by_lag_per_unit, LEVELS).numpy())
    if not curves:
        states = " and ".join(carry.state for carry in layer.carries)
        return _nothing(axes, f"{states} carries nothing by itself:\neverything passes through the products with U")
    _lines(axes, curves, log=True, floor=FLOOR)
    axes.set(xlabel="lag $k$ (steps before the last)", ylabel="share of what it is at lag 0")
    carrying = [c for c in layer.carries if c.formula != "0"]
    said = f"carried over: {', '.join(f'{c.state} by {c.formula}' for c in carrying)}"
    # A formula that is too long for the panel is in the page's table.
    return said if len(said) <= _LINE else f"carried over: {', '.join(c.state for c in carrying)}"


def gates(axes: Axes, layer: LayerReport) -> str:
    """How each gate's values are distributed and what is saturated at either end: a row for each, in its own range."""
    if not layer.gates:
        return _nothing(axes, "no gate with an activation of its own was seen")
    for row, gate in enumerate(reversed(layer.gates)):
        shares, edges = gate.histogram_shares.numpy(), gate.histogram_edges.numpy()
        low, high = float(edges[0]), float(edges[-1])
        left = (edges[:-1] - low) / (high - low)
        height = 0.72 * shares / max(float(shares.max()), 1e-12)
        axes.bar(
            left, height, np.diff(edges) / (high - low), row, align="edge", color="0.72", edgecolor=INK, linewidth=0.4
        )
        for x, end, side in ((0.0, low, "left"), (1.0, high, "right")):
            axes.text(x, row - 0.02, number(end), ha=side, va="top", fontsize=SMALL - 1)
        below, above = float(gate.low_share_per_unit.mean()), float(gate.high_share_per_unit.mean())
        if not math.isnan(below):
            said = (
                f"{percent(below)} low, {percent(above)} high"
                if gate.activation in BOUNDED
                else f"{percent(below)} low"
            )
            axes.text(1.04, row + 0.3, f"saturated\n{said}", ha="left", va="center", fontsize=SMALL)
    _rows(axes, layer)
    axes.set_xticks([])
    axes.set_xlim(-0.01, 1.01)
    axes.set_xlabel("value of the gate, from end to end of its range")
    return ""


def gates_over_time(axes: Axes, layer: LayerReport) -> str:
    """Each gate against the step, a row for each: the median value, and the band of eight values in ten."""
    if not layer.gates:
        return _nothing(axes, "no gate with an activation of its own was seen")
    for row, gate in enumerate(reversed(layer.gates)):
        low, high = float(gate.histogram_edges[0]), float(gate.histogram_edges[-1])
        values = (gate.quantiles_per_step.numpy() - low) / (high - low)
        at, (below, middle, above) = np.arange(values.shape[1]), row + 0.8 * values.clip(0, 1)
        axes.fill_between(at, below, above, color="0.8", linewidth=0)
        axes.plot(at, middle, color=INK, linewidth=1.2, marker="o" if len(at) == 1 else None, markersize=4)
        for end, place in ((low, row), (high, row + 0.8)):
            axes.axhline(place, color="0.75", linewidth=0.6, zorder=0)
            text = number(end)
            axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL - 1)
    _rows(axes, layer)
    axes.set_xlabel("step $t$ of x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ""


def weights(axes: Axes, layer: LayerReport) -> str:
    """Which steps the weights learn from: ‖G_t‖ against the step t, a line for each weight matrix."""
    if not layer.weight_gradients:
        return _nothing(axes, f"no gradients of weights: {layer.gradient_absent or 'none was seen'}")
    named = {w.parameter.rpartition(".")[2]: w.norms.numpy() for w in layer.weight_gradients}
    _lines(axes, {name: (norms, norms, norms) for name, norms in named.items()}, log=True)
    axes.set(xlabel="step $t$ of x", ylabel=r"$\Vert\,G_t\,\Vert$  (loss per unit of $w$)")
    return ""


def health(axes: Axes, layer: LayerReport) -> str:
    """Root mean square of each state's values against the step."""
    if not layer.health:
        return _nothing(axes, "no state was seen")
    values = {h.state: h.rms_per_step.numpy() for h in layer.health}
    _lines(axes, {name: (v, v, v) for name, v in values.items()}, log=False)
    axes.set(xlabel="step $t$ of x", ylabel="root mean square (units of $s$)")
    return ""


Field = Callable[[Axes, LayerReport], str]
"""Draws on the axes, and returns a line to stand under the title, or nothing."""

FIELDS: dict[str, tuple[str, Field]] = {
    "gradient": ("Gradient that reaches each step", gradient),
    "probe": ("The last step's gradient, sent back alone", probe),
    "retention": ("What the states carry over by themselves", retention),
    "gates": ("Values of the gates", gates),
    "gates over time": ("Gates over time", gates_over_time),
    "weights": ("Which steps the weights learn from", weights),
    "health": ("Size of the states", health),
}
"""Name → title and what draws it. Without the last they are the sheet of `Report.picture`; a page has them all."""


def _lines(axes: Axes, curves: Mapping[str, tuple[np.ndarray, ...]], *, log: bool, floor: float = 0.0) -> None:
    """Medians as lines with their names, quantiles as bands; on a logarithmic axis what is 0 is left out."""
    shown: dict[str, tuple[list[float], list[float]]] = {}
    bands = []
    for name, curve in curves.items():
        # copies: what is left out here stays in the record
        low, middle, high = (np.where(np.isfinite(c) & ((c > 0) | (not log)), c, np.nan) for c in curve)
        known = np.flatnonzero(np.isfinite(middle) & (middle >= floor if log else True))
        if not len(known):
            continue
        at = np.arange(known[0], known[-1] + 1)
        shown[name] = at.tolist(), middle[at].tolist()
        bands.append((at, np.fmax(low[at], floor) if log and floor else low[at], high[at]))
    draw_lines(axes, shown)
    for index, (at, low, high) in enumerate(bands if len(bands) <= _BANDS else []):
        if (low < high).any():
            axes.fill_between(at, low, high, color=style(index)["color"], alpha=0.15, linewidth=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not floor:
        # All steps, so that it is seen where nothing arrives.
        last = max(len(curve[1]) for curve in curves.values()) - 1
        axes.set_xlim(-0.05 * max(last, 1), 1.05 * max(last, 1))
    if not shown:
        _nothing(axes, "nothing but zeros")
        return
    if log:
        axes.set_yscale("log")
        a_decade_at_least(axes)
    label_lines(axes)


def _rows(axes: Axes, layer: LayerReport) -> None:
    names = [f"{gate.name}\n{gate.activation}" for gate in reversed(layer.gates)]
    axes.set_yticks([row + 0.35 for row in range(len(names))], names, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(-0.25, len(names) - 0.05)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _nothing(axes: Axes, why: str) -> str:
    """An empty panel with the reason."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL, wrap=True)
    return ""


def titled(axes: Axes, name: str, layer: LayerReport) -> None:
    """Draws the field `name` of a layer under its title."""
    title, draw = FIELDS[name]
    plain(axes)
    below = draw(axes, layer)
    axes.set_title(title, loc="left", fontweight="bold", pad=20 if below else 6)
    axes.annotate(below, (0, 1), (0, 4), "axes fraction", "offset points", ha="left", va="bottom", fontsize=SMALL)
