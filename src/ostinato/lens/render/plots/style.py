"""The style of every picture of the project: one place for fonts, colours, line styles, hatches and files.

A picture must say the same in print without colour and to readers who do not tell colours apart. Lines therefore differ
in colour, dashes and marker, and carry their names; areas differ in hatch; values are shades that run from light to
dark, with their scale beside them.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, ParamSpec, TypeVar

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#D55E00", "linestyle": (0, (1, 1.2)), "marker": "s"},
    {"color": "#0072B2", "linestyle": (0, (5, 1.5)), "marker": "^"},
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#009E73", "linestyle": (0, (6, 1.5, 1, 1.5)), "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#56B4E9", "linestyle": (0, (10, 2)), "marker": "P"},
    {"color": "#8B6C00", "linestyle": (0, (2, 2.5)), "marker": "X"},
    {"color": "#595959", "linestyle": (0, (8, 1.5, 1, 1.5, 1, 1.5)), "marker": "*"},
)
"""Lines, in the order in which they are drawn. The hues are Okabe and Ito's (Color Universal Design, 2008), but for the
yellow, which is too light for a line and is an ochre here."""

SHADES = "cividis"
"""Values as shades: lightness rises evenly, so that grey print keeps the order (J. Nuñez and others, PLoS ONE 2018)."""

HATCHES = ("", "////", "xxxx", "....", "----", "\\\\\\\\")
"""Areas, in the order in which they are drawn."""

GRID, FAINT, INK = "0.9", "0.6", "#000000"
TEXT, SMALL = 10, 9
"""Sizes of type in points: headings and axes, names beside lines."""

WIDTH = 6.4
"""Inches of a picture with one field, which a README shows at about its own size."""

_RULES: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": TEXT,
    "figure.dpi": 120,
    "figure.titlesize": TEXT,
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 120,
    "svg.fonttype": "path",
    "svg.hashsalt": "ostinato",
}
"""Over matplotlib's own defaults. Whatever the user's settings are, the same numbers give the same picture."""
_drawing = RLock()


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, under the project's rules in place of the user's settings, which are left as they were.

    Settings belong to the process: one thread draws at a time, and others must not draw by themselves meanwhile.
    """

    @wraps(draw)
    def under_rules(*args: P.args, **kwargs: P.kwargs) -> R:
        with _drawing, matplotlib.style.context(["default", _RULES]):
            return draw(*args, **kwargs)

    return under_rules


def style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the line with this number; after the last they begin again."""
    return dict(STYLES[index % len(STYLES)])


@styled
def figure(
    panels: int = 1, *, rows: int = 1, size: tuple[float, float] | None = None, sharey: bool = True, **options: Any
) -> tuple[Figure, list[Axes]]:
    """An empty picture of `rows` times `panels` fields, drawn without any window or global state.

    size     width and height of one field in inches; by default that of a README's picture
    options  as `Figure.subplots` takes them
    """
    width, height = size or (4.9 if panels > 1 else WIDTH, 3.8)
    made = Figure(figsize=(width * panels, height * rows), layout="constrained")
    return made, list(made.subplots(rows, panels, sharey=sharey, squeeze=False, **options).flat)


def plain(axes: Axes) -> None:
    """A field without a frame, with a faint grid below what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


@styled
def png(made: Figure, dpi: int = 120) -> bytes:
    """The picture as a PNG file; the same picture gives the same bytes."""
    file = io.BytesIO()
    made.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


@styled
def svg(made: Figure) -> str:
    """The picture as an SVG file; the same picture gives the same text. Type is drawn as outlines."""
    file = io.StringIO()
    made.savefig(file, format="svg", metadata={"Date": None, "Creator": "Ostinato"})
    return file.getvalue()
