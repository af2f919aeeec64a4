"""The pictures of forecasts: fans of the last windows, the error by step ahead, and how much the bands cover.

Letters: H steps ahead, K series that are forecast together, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ...lens.render.plots.style import GRID, INK, SMALL, STYLES, WIDTH, styled
from ..data.time.years import FIRST, LAST
from .pictures import LONG, short

BAND = "#0072B2"
"""Of the bands and the median; the narrower a band, the darker."""
FILLS = (0.16, 0.32, 0.48)
"""How opaque bands are, the widest first."""
LEGEND: Mapping[str, Any] = {"fontsize": SMALL, "frameon": False, "loc": "lower left", "bbox_to_anchor": (0, 1.0)}
"""Above the field, where it covers no line."""


@dataclass(frozen=True)
class Fan:
    """One field: values over time, and what is forecast of the last of them."""

    heading: str
    """Of the series; empty where there is one."""
    unit: str
    """Of the values, as the axis names it."""
    times: np.ndarray
    """[n] datetime64 or int64 of the values that are known."""
    values: np.ndarray
    """float64 [n]; the last H of them are the truth of the forecast, NaN where it is missing."""
    ahead: np.ndarray
    """[H] the times that are forecast."""
    median: np.ndarray
    """float64 [H]"""
    bands: Sequence[tuple[float, np.ndarray, np.ndarray]]
    """(percent, lower end [H], upper end [H]), the widest first."""


@styled
def fan_picture(fans: Sequence[Fan]) -> Figure:
    """The past, the truth, the median and its bands; one field a series or column."""
    figure = Figure(figsize=(WIDTH, 0.5 + 2.0 * len(fans)), layout="constrained")
    fields = figure.subplots(len(fans), 1, squeeze=False)[:, 0]
    for axes, fan in zip(fields, fans, strict=True):
        single = len(fan.ahead) == 1
        for opacity, (percent, low, high) in zip(FILLS, fan.bands):
            label = f"{percent:g} % band"
            if single:
                axes.plot(fan.ahead[[0, 0]], [low[0], high[0]], color=BAND, alpha=opacity + 0.2, lw=5, label=label)
            else:
                axes.fill_between(fan.ahead, low, high, color=BAND, alpha=opacity, linewidth=0, label=label)
        axes.plot(fan.times, fan.values, color=INK, linewidth=1.1, label="true values")
        style: dict[str, Any] = {**STYLES[1], "marker": "^" if len(fan.ahead) <= 24 else None}
        axes.plot(fan.ahead, fan.median, markersize=4, linewidth=1.4, label="forecast", **style)
        if len(fan.times) > len(fan.ahead) > 1:
            axes.axvline(fan.ahead[0], color="0.75", linewidth=0.8)
        axes.set_title(short(fan.heading, LONG), loc="right", fontsize=SMALL)
        _times(axes, fan.times)
        axes.grid(color=GRID)
        axes.set_ylabel(short(fan.unit))
    figure.align_ylabels(fields)
    figure.legend(
        *fields[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False, fontsize=SMALL
    )
    return figure


@styled
def steps_picture(lines: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], key: str, label: str) -> Figure:
    """The error by step ahead of some models, with 95 % intervals; the network last, in black.

    lines: (name, records of `by_step`); key: mae or mase; label: of the axis.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, records) in enumerate(lines):
        last = number == len(lines) - 1
        style = dict(STYLES[2] if last else STYLES[(0, 1, 3, 4)[number % 4]])
        steps = [record["step"] for record in records]
        values = [np.nan if record[key] is None else record[key] for record in records]
        marked = [k for k, record in enumerate(records) if f"{key}_low" in record]
        every: dict[str, Any] = {"markevery": marked[:: max(1, len(marked) // 12)], "markersize": 4}
        axes.plot(steps, values, linewidth=2 if last else 1.3, label=short(name, 26), **every, **style)
        low, high = ([_number(records[k][f"{key}_{end}"]) for k in marked] for end in ("low", "high"))
        at = [steps[k] for k in marked]
        axes.fill_between(at, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("steps ahead")
    axes.set_ylabel(short(label, LONG))
    axes.grid(color=GRID)
    axes.legend(ncols=2, **LEGEND)
    return figure


@styled
def coverage_picture(records: Sequence[Mapping[str, Any]], levels: Sequence[float]) -> Figure:
    """By step ahead, the share of true values inside each band; the dotted line of its colour is what it says."""
    figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = figure.subplots()
    steps = [record["step"] for record in records]
    lowest = 1.0
    for number, level in enumerate(levels):
        values = [_number(record[f"coverage_{level:g}"]) for record in records]
        lowest = min([lowest, level / 100, *(v for v in values if np.isfinite(v))])
        style: dict[str, Any] = {
            **STYLES[(1, 0, 3)[number % 3]],
            "markersize": 4,
            "markevery": max(1, len(steps) // 24),
        }
        axes.axhline(level / 100, color=style["color"], linewidth=1, linestyle=":")
        axes.plot(steps, values, label=f"{level:g} % band", linewidth=1.4, **style)
    axes.set_ylim(max(0.0, lowest - 0.08), 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("steps ahead")
    axes.set_ylabel("true values inside")
    axes.grid(color=GRID)
    axes.legend(ncols=3, **LEGEND)
    return figure


def _times(axes: Axes, times: np.ndarray) -> None:
    """Dates that do not overlap, or whole numbers."""
    if times.dtype.kind == "M":
        locator = AutoDateLocator(minticks=3, maxticks=8)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        low, high = axes.get_xlim()
        first, last = date2num(np.array([FIRST, LAST]))
        axes.set_xlim(max(low, first), min(high, last))  # matplotlib has no date outside of these years
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
