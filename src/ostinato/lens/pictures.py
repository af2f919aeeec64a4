"""The pictures of the lens, as figures of matplotlib: the public face of `lens.render.plots`. Needs matplotlib.

Each function takes numbers that were measured and returns a `matplotlib.figure.Figure`, drawn without a window and
without touching pyplot's state; `figure.savefig(path)` writes it, `png` and `svg` give the file itself.
"""

from .render.plots.activations import activations_picture, sigmoid_again_picture
from .render.plots.heatmaps import gates_picture, gradient_matrix_picture
from .render.plots.lines import draw_lines, gradient_by_lag_picture, label_level, label_lines
from .render.plots.report_sheet import field_picture, report_picture
from .render.plots.style import HATCHES, SHADES, STYLES, figure, png, styled, svg

__all__ = [
    "HATCHES",
    "SHADES",
    "STYLES",
    "activations_picture",
    "draw_lines",
    "field_picture",
    "figure",
    "gates_picture",
    "gradient_by_lag_picture",
    "gradient_matrix_picture",
    "label_level",
    "label_lines",
    "png",
    "report_picture",
    "sigmoid_again_picture",
    "styled",
    "svg",
]
