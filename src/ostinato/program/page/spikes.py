"""The picture of a transcript over its input: at which steps the network names which unit.

Letters: T steps, C channels, F frames, U units of a transcript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...lens.render.plots.style import GRID, INK, SHADES, SMALL, STYLES, WIDTH, styled
from .pictures import LONG, short

MOST_STEPS = 400
"""Steps of a row that are drawn."""
MANY_CHANNELS = 8
"""From so many channels on a series is drawn as an image."""
MOST_LINES, MOST_TICKS = 4, 48
"""Channels that are drawn as lines; symbols of an input that are written below the steps."""
LEAST = 0.05
"""Height from which on a unit is named in the picture."""


@dataclass(frozen=True)
class Spikes:
    """One row: what was read, and where its units are."""

    heading: str
    series: np.ndarray | None
    """float64 [T, C] of a series."""
    symbols: Sequence[str]
    """[T] of an input of symbols."""
    shares: np.ndarray
    """float32 [U, F]: the share of the alignments that are at a unit in a frame."""
    steps: int
    """Of a frame."""
    units: Sequence[str]
    """[U]"""
    cut: bool
    """Whether steps are left out."""

    @classmethod
    def of(cls, heading: str, value: Any, shares: np.ndarray, units: Sequence[str]) -> Spikes:
        """Of the input of a row: a series [T, C], a text or a list of symbols."""
        length = len(value)
        steps = max(1, -(-length // max(1, shares.shape[1])))
        series = np.asarray(value, np.float64)[:MOST_STEPS] if isinstance(value, np.ndarray) else None
        symbols = [] if series is not None else list(value)[:MOST_STEPS]
        kept = shares[:, : -(-MOST_STEPS // steps)]
        return cls(heading, series, symbols, kept, steps, units, length > MOST_STEPS)


@styled
def spikes_picture(rows: Sequence[Spikes]) -> Figure:
    """A row of two fields each: the input, where it is a series, and the units over its steps."""
    heights: list[float] = []
    for row in rows:
        heights += [1.4, 1.1] if row.series is not None else [1.3]
    figure = Figure(figsize=(WIDTH, 0.4 + 1.1 * sum(heights)), layout="constrained")
    fields = iter(figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    for row in rows:
        axes = next(fields)
        axes.set_title(short(row.heading, LONG), loc="left", fontsize=SMALL)
        if row.series is not None:
            _input(axes, row.series)
            above, axes = axes, next(fields)
            above.sharex(axes)
            above.tick_params(labelbottom=False)
        _units(axes, row)
    axes.set_xlabel("steps of the input")
    return figure


def _input(axes: Axes, series: np.ndarray) -> None:
    if series.shape[1] >= MANY_CHANNELS:
        axes.imshow(series.T, aspect="auto", origin="lower", cmap=SHADES, interpolation="nearest")
        axes.set_ylabel("channel", fontsize=SMALL)
        return
    for channel in range(min(series.shape[1], MOST_LINES)):
        style = {key: value for key, value in STYLES[channel].items() if key != "marker"}
        axes.plot(series[:, channel], linewidth=1, **style)
    axes.set_ylabel("input", fontsize=SMALL)
    axes.grid(color=GRID)


def _units(axes: Axes, row: Spikes) -> None:
    frames = row.shares.shape[1]
    middle = (np.arange(frames) + 0.5) * row.steps - 0.5
    for number, (unit, share) in enumerate(zip(row.units, row.shares)):
        style = STYLES[number % 4]
        axes.fill_between(middle, share, color=style["color"], alpha=0.25, linewidth=0)
        axes.plot(middle, share, color=style["color"], linewidth=1)
        peak = int(share.argmax()) if frames else 0
        if frames and share[peak] >= LEAST:
            name = short("␣" if unit == " " else unit)
            axes.text(middle[peak], share[peak] + 0.04, name, ha="center", va="bottom", fontsize=SMALL, color=INK)
    length = len(row.series) if row.series is not None else len(row.symbols)
    axes.set_xlim(-0.5, max(length, 1) - 0.5)
    axes.set_ylim(0, 1.35)
    axes.set_yticks([0, 1])
    axes.set_ylabel("share", fontsize=SMALL)
    axes.grid(axis="y", color=GRID)
    if 0 < len(row.symbols) <= MOST_TICKS:
        axes.set_xticks(range(len(row.symbols)), [short("␣" if s == " " else s) for s in row.symbols], fontsize=SMALL)
