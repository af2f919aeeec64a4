"""Pictures of what the lens measures, as figures of matplotlib, which is imported here and nowhere below.

Each function takes numbers that were measured and returns a `matplotlib.figure.Figure`, drawn without a window and
without touching pyplot's state; `figure.savefig(path)` writes it, `png` and `svg` give the file itself.
"""

from .functions import activations_picture, sigmoid_again_picture
from .lines import draw_lines, gradient_by_lag_picture, label_level, label_lines
from .report import field_picture, report_picture
from .shades import gates_picture, gradient_matrix_picture
from .style import HATCHES, SHADES, STYLES, figure, png, styled, svg

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
