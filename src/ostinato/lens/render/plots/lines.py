"""Line plots: the gradient against its lag, for several cells on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...measures.gradient_by_lag import GradientByLag
from .style import FAINT, SMALL, figure, plain, style, styled

Curve = Sequence[float]
Norms = Curve | GradientByLag


def draw_lines(axes: Axes, lines: Mapping[str, tuple[Curve, Curve]]) -> None:
    """Lines name -> (x, y), each in a style of its own; `label_lines` writes their names."""
    for index, (name, (x, y)) in enumerate(lines.items()):
        # Markers start at different places, so that lines which lie on each other are still seen apart.
        every = (0.03 * index % 0.14, 0.14) if len(x) > 1 else None
        axes.plot(x, y, label=name, linewidth=1.6, markersize=4, markevery=every, **style(index))
    plain(axes)


def label_lines(axes: Axes, gap: float = 0.065) -> None:
    """Write each line's name at its right end; names that would overlap are moved apart, in the lines' order.

    gap  the least distance between names, as a share of the height; less where so many would not fit

    To be called when the limits of the axes are final.
    """
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    gap = min(gap, 1 / max(len(lines) - 1, 1))
    axes.autoscale_view()  # limits that wait to be worked out are not in transData yet
    to_share = axes.transData + axes.transAxes.inverted()
    points = [np.asarray(line.get_xydata())[-1] for line in lines]
    ends = [(float(x), float(y)) for x, y in points]
    shares = [to_share.transform(end)[1] for end in ends]
    order = sorted(range(len(lines)), key=lambda index: shares[index])
    height = -np.inf
    heights = {}
    for index in order:
        heights[index] = height = max(shares[index], height + gap)
    excess = max(0.0, height - 1.0)
    for index, line in enumerate(lines):
        axes.annotate(
            str(line.get_label()),
            xy=ends[index],
            xytext=(1.03, heights[index] - excess),
            textcoords="axes fraction",
            va="center",
            color=line.get_color(),
            fontsize=SMALL,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
        )


def label_level(axes: Axes, level: float, words: str, size: float = SMALL) -> None:
    """Write words above or below a level line, where the other lines leave most room for them.

    To be called when the limits of the axes are final.
    """
    box = axes.get_window_extent()
    inch = axes.figure.dpi / 72
    # A dollar and a backslash or two stand for a sign, so this is rather too wide than too narrow.
    width, height = 0.62 * size * len(words.replace("\\epsilon", "e").replace("$", "")) * inch, 1.5 * size * inch
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    points = [np.asarray(axes.transData.transform(np.asarray(line.get_xydata()))) for line in lines]
    there = [p[np.isfinite(p).all(1)] for p in points]
    # Lines are taken as points a pixel or two apart.
    dense = [np.linspace(a, b, 2 + int(np.abs(b - a).max() / 2)) for p in there for a, b in zip(p, p[1:])]
    drawn = np.concatenate([*dense, *there]) if there else np.empty((0, 2))
    y = float(axes.transData.transform((axes.get_xlim()[0], level))[1])
    places = []
    for left in np.linspace(box.x0 + 4, max(box.x0 + 4, box.x1 - width - 4), 25):
        for above in (True, False):
            low = y if above else y - height
            if low < box.y0 or low + height > box.y1:
                continue
            outside = [
                np.maximum(0, np.maximum(a - p, p - b))
                for p, a, b in zip(drawn.T, (left, low), (left + width, low + height))
            ]
            free = float(np.hypot(*outside).min()) if len(drawn) else np.inf
            places.append((min(free, 4 * height), above, left))
    _, above, left = max(places, default=(0.0, True, box.x0 + 4))
    axes.annotate(
        words,
        ((left - box.x0) / box.width, level),
        (0, 2 if above else -2),
        axes.get_yaxis_transform(),
        "offset points",
        ha="left",
        va="bottom" if above else "top",
        fontsize=size,
        color="0.3",
    )


@styled
def gradient_by_lag_picture(
    panels: Mapping[str, Mapping[str, Norms]],
    *,
    title: str,
    relative: bool = False,
    threshold: float | None = None,
    columns: int = 3,
    unit: str = "nats per unit of $s$",
) -> Figure:
    """‖∂L_T/∂s_{T-k}‖ against lag k on a logarithmic axis, one field for each entry of `panels`.

    panels     heading of a field (such as "before training") → lines, name → what `gradient_by_lag` measured, drawn as
               the median of its first state over the batch with the band in which half of the rows lie; or norms by
               lag [K+1]. Zeros, a state that nothing reads, are left out
    relative   divide by the norm at the first lag that has one: curves of cells with different losses then start at 1
    threshold  with `relative`, the ratio ε of reach(ε), as a level line; where a curve crosses it is its reach
    columns    the most fields beside each other
    unit       of a norm
    """
    wide = max(1, min(columns, len(panels)))
    made, fields = figure(wide, rows=-(-max(len(panels), 1) // wide))
    for axes in fields[len(panels) :]:
        axes.remove()
    fields = fields[: len(panels)]
    for axes, (heading, lines) in zip(fields, panels.items(), strict=True):
        kept, bands = {}, {}
        for name, measured in lines.items():
            low, middle, high = _quartiles(measured)
            lags = np.flatnonzero(middle > 0)
            scale = middle[lags[0]] if relative and len(lags) else 1.0
            kept[name] = (lags.tolist(), (middle[lags] / scale).tolist())
            bands[name] = (lags, low[lags] / scale, high[lags] / scale)
        draw_lines(axes, {name: line for name, line in kept.items() if line[0]})
        for index, (lags, low, high) in enumerate(bands.values()):
            if (low < high).any():
                axes.fill_between(lags, low, high, color=style(index)["color"], alpha=0.15, linewidth=0)
        axes.set_yscale("log")
        axes.set_title(heading)
        axes.set_xlabel("lag $k$ (steps before the last)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if threshold is not None:
            axes.axhline(threshold, color="0.45", linewidth=0.8, linestyle=(0, (4, 4)), label="_threshold")
    for axes in fields[::wide]:
        ratio = r"\,/\,\Vert\,\partial L_T\,/\,\partial s_T\,\Vert" if relative else ""
        name = r"$\Vert\,\partial L_T\,/\,\partial s_{T-k}\,\Vert" + ratio + "$"
        axes.set_ylabel(name + ("" if relative else f"   ({unit})"))
    for axes in fields:
        a_decade_at_least(axes)
        if threshold is not None:
            label_level(axes, threshold, rf"$\epsilon$ = {threshold:g}")
        label_lines(axes)
    made.suptitle(title)
    return made


def _quartiles(measured: Norms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The norms by lag that a quarter, half and three quarters of the rows stay below, [K+1] each."""
    if isinstance(measured, GradientByLag):
        norms = measured.norms[0].detach().cpu().double().numpy()
        low, middle, high = np.quantile(norms, (0.25, 0.5, 0.75), axis=1)
        return low, middle, high
    curve = np.asarray(measured, dtype=float)
    return curve, curve, curve


def a_decade_at_least(axes: Axes) -> None:
    """A curve that stays level is drawn level, not blown up to the height of the field."""
    low, high = axes.get_ylim()
    if 0 < low < high < 10 * low:
        middle = (low * high) ** 0.5
        axes.set_ylim(middle / 10**0.5, middle * 10**0.5)
