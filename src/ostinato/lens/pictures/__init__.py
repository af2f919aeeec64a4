"""Pictures of what the lens measures, as figures of matplotlib, which is imported here and nowhere below.

Each function takes numbers that were measured and returns a `matplotlib.figure.Figure`, drawn without a window and
without touching pyplot's state; `figure.savefig(path)` writes it, `png` and `svg` give the file itself.
"""

from .lines import draw_lines, gradient_by_lag_picture, label_lines
from .style import HATCHES, SHADES, STYLES, figure, png, styled, svg

__all__ = [
    "HATCHES",
    "SHADES",
    "STYLES",
    "draw_lines",
    "figure",
    "gradient_by_lag_picture",
    "label_lines",
    "png",
    "styled",
    "svg",
]
