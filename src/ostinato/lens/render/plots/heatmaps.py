"""Heatmaps: the gradient of every step's loss in every step's state, and gates over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import SHADES, SMALL, TEXT, WIDTH, figure, styled

_FLOOR = 1e-6
_ISLAND = 0.2
"""Lines whose ends lie closer than this share of the steps are not drawn."""


@styled
def gradient_matrix_picture(
    norms: Any, *, title: str, relative: bool = True, levels: Sequence[float] = (0.1, 0.01), unit: str = "loss"
) -> Figure:
    """‖∂L_t/∂s_k‖ as shades, the step t of the loss upward and the step k of the state to the right.

    norms     [T, T] or [T, T, B], as `GradientMatrix.of` gives them; of several rows the median
    relative  divide each line by its value at k = t: what is left of the gradient at lag t - k. The diagonal is then 1
    levels    ratios at which a line is drawn and named, with `relative`; where they are met here and there, no line
    unit      of the norm where it is not relative: this per unit of s

    What is 0, such as the future of a layer that reads forward, and what lies past a row's end, is hatched.
    """
    values = _median(norms)
    steps = len(values)
    if relative:
        own = np.diagonal(values)[:, None]
        values = np.divide(values, own, out=np.full_like(values, np.nan), where=own > 0)
    known = np.isfinite(values) & (values > 0)
    shown = np.where(known, values, np.nan)
    high = float(np.nanmax(shown)) if known.any() else 1.0
    low = max(float(np.nanmin(shown)) if known.any() else 0.1, high * _FLOOR)
    norm = LogNorm(min(low, high / 10), high)
    made, (axes,) = figure(size=(WIDTH, 5.2))
    axes.set_facecolor("white")
    edges = (0.5, steps + 0.5)
    axes.fill_between(edges, 0.5, steps + 0.5, facecolor="none", edgecolor="0.75", hatch="////", linewidth=0)
    image = axes.imshow(
        shown, cmap=SHADES, norm=norm, origin="lower", extent=(*edges, *edges), interpolation="nearest", zorder=2
    )
    if relative and steps >= 8:
        for level, dashes in zip(levels, ("solid", "dashed", "dashdot", "dotted") * len(levels)):
            _level(axes, shown, level, dashes)
    axes.set_xlabel("step $k$ of the state")
    axes.set_ylabel("step $t$ of the loss")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    name = r"$\Vert\,\partial L_t\,/\,\partial s_k\,\Vert$"
    scale = made.colorbar(image, ax=axes, extend="min" if known.any() and np.nanmin(shown) < low else "neither")
    ratio = name[:-1] + r"\,/\,\Vert\,\partial L_t\,/\,\partial s_t\,\Vert$"
    scale.set_label(ratio if relative else f"{name}   ({unit} per unit of $s$)")
    axes.set_title(title)
    return made


def _level(axes: Axes, shown: np.ndarray, level: float, dashes: str) -> None:
    """The line along which the values are `level`, named in its middle. Islands are left out: one step's noise."""
    steps = len(shown)
    filled = np.ma.masked_invalid(shown)
    if not filled.min() < level < filled.max():
        return
    contours = [np.asarray(line) for line in contour_generator(z=filled, name="serial").lines(level)]
    lines = [line + 1 for line in contours if np.hypot(*(line.max(0) - line.min(0))) >= _ISLAND * steps]
    for line in lines:
        for colour, wide in (("white", 2.6), ("black", 1.1)):
            axes.plot(*line.T, color=colour, linestyle=dashes, linewidth=wide, zorder=3, label=f"_{level:g}")
    if lines:
        longest = max(lines, key=len)
        box = {"facecolor": "white", "edgecolor": "black", "linewidth": 0.6, "boxstyle": "round,pad=0.2"}
        x, y = longest[len(longest) // 2]
        axes.text(x, y, f"{level:g}", fontsize=SMALL, ha="center", va="center", zorder=4, bbox=box)


def _median(norms: Any) -> np.ndarray:
    """[T, T]; over the rows of a batch, those that have both steps."""
    values = np.asarray(norms.detach().cpu() if hasattr(norms, "detach") else norms, dtype=float)
    if values.ndim == 2:
        return values
    medians = np.full(values.shape[:2], np.nan)
    any_row = np.isfinite(values).any(-1)
    medians[any_row] = np.nanmedian(values[any_row], axis=-1)
    return medians


@styled
def gates_picture(gates: Mapping[str, Any], tokens: Sequence[str] | None = None, *, title: str) -> Figure:
    """The values of gates over time, a field for each gate: units from below upward, steps to the right.

    gates   name → values of one row [T, H], as `gate_values(...)[name][:, row]`. The scale goes from 0 to 1, or from
            -1 where a gate goes below 0. Units stand in the order of their mean, the highest on top
    tokens  what was read at each step, written below it; where there are more than fit, every so many
    """
    values = {name: np.asarray(v.detach().cpu() if hasattr(v, "detach") else v, float) for name, v in gates.items()}
    steps = max((len(v) for v in values.values()), default=1)
    count = max(len(values), 1)
    made, fields = figure(1, rows=count, size=(max(WIDTH, min(12.0, 0.16 * steps)), 1.55), sharey=False, sharex=True)
    for axes, (name, v) in zip(fields, values.items()):
        known = np.where(np.isfinite(v), v, 0.0).sum(0)
        signed = bool(np.nanmin(v) < 0) if np.isfinite(v).any() else False
        above_one = bool(np.nanmax(v) > 1) if np.isfinite(v).any() else False
        low, high = (-1.0 if signed else 0.0), (float(np.nanmax(v)) if above_one else 1.0)
        extent = (0.5, len(v) + 0.5, 0.5, v.shape[1] + 0.5)
        order = np.argsort(known, kind="stable")
        image = axes.imshow(
            v.T[order],
            cmap=SHADES,
            vmin=low,
            vmax=high,
            origin="lower",
            aspect="auto",
            extent=extent,
            interpolation="nearest",
        )
        scale = made.colorbar(image, ax=axes, ticks=[low, (low + high) / 2, high], fraction=0.04, aspect=9, pad=0.01)
        scale.ax.tick_params(labelsize=SMALL)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=TEXT, fontweight="bold")
        axes.set_yticks([1, v.shape[1]] if v.shape[1] > 1 else [1])
        axes.tick_params(axis="y", labelsize=SMALL)
    below = fields[-1]
    if tokens is None:
        below.set_xlabel("step; up: units, in the order of their mean")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        longest = max((len(t) for t in tokens), default=1)
        fit = int(made.get_figwidth() * 72 * 0.8 / (SMALL * (0.8 if longest <= 1 else 1.05)))
        every = max(1, -(-steps // max(fit, 1)))
        places = range(0, steps, every)
        shown = [_shown(tokens[k]) for k in places]
        below.set_xticks([k + 1 for k in places], shown, rotation=90 if longest > 1 else 0, fontsize=SMALL)
        some = f", one in {every}" if every > 1 else ""
        below.set_xlabel(f"what is read at each step{some}; up: units, in the order of their mean")
    made.suptitle(title)
    return made


def _shown(token: str) -> str:
    """A token with visible blanks and line ends, and without the signs of a formula."""
    signs = {" ": "␣", "\n": "↵", "\t": "→"}
    return "".join(signs.get(c, c) for c in token).replace("$", r"\$")
