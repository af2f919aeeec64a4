"""The grid as a picture that a printer without colours can print: the numbers themselves, on grey."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from record import Point
from report import RATIO_FLOOR, mode
from shapes import GRID, KINDS, ROWS, STEPS, UNITS

matplotlib.use("agg")


def draw(points: Sequence[Point], folder: Path) -> list[Path]:
    """grid-ratio.png and grid-share.png in `folder`: one field for each kind and mode, T and B down, H across."""
    timed = [point for point in points if point.timing and point.shape in GRID]
    ratio = _picture(
        timed,
        folder / "grid-ratio.png",
        f"Times faster than torch.nn (framed: below {RATIO_FLOOR})",
        lambda point: point.ratio,
        lambda value: f"{value:.2f}" if value < 9.995 else f"{value:.1f}",
        lambda value: min(1.0, max(0.0, math.log(value) / math.log(10))),
        lambda value: value < RATIO_FLOOR,
    )
    share = _picture(
        timed,
        folder / "grid-share.png",
        "Share of the peak of fused multiply-adds, in percent (products only)",
        lambda point: point.share,
        lambda value: f"{100 * value:.0f}",
        lambda value: min(1.0, value),
        lambda value: False,
    )
    return [ratio, share]


def _picture(
    points: Sequence[Point],
    path: Path,
    title: str,
    value_of: Callable[[Point], float],
    text: Callable[[float], str],
    darkness: Callable[[float], float],
    framed: Callable[[float], bool],
) -> Path:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(KINDS), figsize=(13, 13), sharex=True, sharey=True, layout="constrained")
    places = {(T, B): row for row, (T, B) in enumerate((T, B) for T in STEPS for B in ROWS)}
    found = {(p.shape.kind, p.shape.training, places[p.shape.steps, p.shape.batch], p.shape.hidden): p for p in points}
    for training, row_of_axes in zip((False, True), axes, strict=True):
        for kind, ax in zip(KINDS, row_of_axes, strict=True):
            ax.set(title=f"{kind}, {mode(training)}", xlim=(-0.5, len(UNITS) - 0.5), ylim=(len(places) - 0.5, -0.5))
            ax.set_xticks(range(len(UNITS)), [f"H {H}" for H in UNITS])
            ax.set_yticks(range(len(places)), [f"T {T}  B {B}" for T, B in places])
            ax.tick_params(length=0)
            for (_, _, row, hidden), point in _of(found, kind, training):
                value, column = value_of(point), UNITS.index(hidden)
                dark = darkness(value)
                edge, width = ("black", 2.5) if framed(value) else ("white", 1.0)
                corner = (column - 0.46, row - 0.45)
                ax.add_patch(
                    pyplot.Rectangle(corner, 0.92, 0.9, facecolor=str(1 - 0.75 * dark), edgecolor=edge, linewidth=width)
                )
                colour = "white" if dark > 0.6 else "black"
                ax.text(column, row, text(value), ha="center", va="center", color=colour, fontsize=9)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _of(found: dict[Any, Point], kind: str, training: bool) -> list[tuple[Any, Point]]:
    return [(key, point) for key, point in found.items() if key[:2] == (kind, training)]
