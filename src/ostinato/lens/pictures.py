"""Pictures of what the lens measures. matplotlib is imported here and nowhere below.

Every line has its own colour, line style and marker, and its name is written beside it: the pictures read the same
in print without colour and for readers who do not tell colours apart (Okabe and Ito's palette).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = Sequence[float]

STYLES = (
    {"color": "#D55E00", "linestyle": (0, (1, 1.2)), "marker": "s"},
    {"color": "#0072B2", "linestyle": (0, (5, 1.5)), "marker": "^"},
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#009E73", "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "v"},
)


def figure(panels: int = 1) -> tuple[Figure, list[Axes]]:
    """An empty picture of `panels` fields side by side, at a README's width, drawn without any window or state."""
    made = Figure(figsize=(4.9 * panels if panels > 1 else 6.4, 3.8), dpi=120, layout="constrained")
    return made, list(made.subplots(1, panels, sharey=True, squeeze=False)[0])


def draw_lines(axes: Axes, lines: Mapping[str, tuple[Curve, Curve]]) -> None:
    """Lines name -> (x, y), each with its name at its right end; names that would overlap are moved apart."""
    for index, (name, (x, y)) in enumerate(lines.items()):
        # Markers start at different places, so that lines which lie on each other are still seen apart.
        axes.plot(
            x, y, label=name, linewidth=1.6, markersize=4, markevery=(0.03 * index, 0.14), **STYLES[index % len(STYLES)]
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def label_lines(axes: Axes, gap: float = 0.065) -> None:
    """Write each line's name at its right end. `gap` is the least distance between names, as a share of the height.

    To be called when the limits of the axes are final.
    """
    lines = axes.get_lines()
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
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
        )


def gradient_by_lag_picture(panels: Mapping[str, Mapping[str, Curve]], *, title: str) -> Figure:
    """‖∂L_T/∂s_{T-k}‖ against lag k on a logarithmic axis, one field for each entry of `panels`.

    `panels` maps a field's heading (such as "before training") to lines name -> norms by lag [K+1], as
    `ostinato.lens.gradient_by_lag(...).median()` gives them. Zeros (a state that nothing reads) are left out.
    """
    made, fields = figure(len(panels))
    for axes, (heading, lines) in zip(fields, panels.items(), strict=True):
        kept = {}
        for name, norms in lines.items():
            lags = [lag for lag, norm in enumerate(norms) if norm > 0]
            kept[name] = (lags, [norms[lag] for lag in lags])
        draw_lines(axes, kept)
        axes.set_yscale("log")
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel("lag $k$ (steps before the last)")
    fields[0].set_ylabel(r"$\Vert\,\partial L_T\,/\,\partial s_{T-k}\,\Vert$   (nats per unit of $s$)")
    for axes in fields:
        label_lines(axes)
    made.suptitle(title, fontsize=10)
    return made
