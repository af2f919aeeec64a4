"""What the page shows of a language model's test passages: nats along the text, and where the text is surprising.

Letters: N passages, T units of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import Html, tag
from ...lens.render.plots.style import FAINT, GRID, INK, WIDTH, styled
from ..data.examples import Examples
from ..tasks.task import Predictions
from .examples import place_of

MOST_PASSAGES, MOST_UNITS = 4, 800
"""Passages that are shown, and units of each from its beginning; what is left out is marked with an ellipsis."""
FULL = 6.0
"""Nats from which on the shade of a unit is the darkest."""
LEVELS = 8
"""Shades, so that neighbours of about equal nats share one element of the page."""


def passages_section(
    truth: Examples, predictions: Predictions, pieces: Callable[[str], Sequence[str]] | None, private: bool
) -> list[Any]:
    """The picture and, unless private, the most surprising passages.

    pieces  the units of a text, which a passage is shaded by; None: its text alone
    """
    means = np.array([float(np.mean(nats)) if len(nats) else np.nan for nats in predictions.values])
    parts: list[Any] = [drawn(along_picture(means), "along", "Nats of a unit along the test part, passage by passage")]
    if private or pieces is None:
        return parts
    parts.append(tag("h3", "The most surprising passages"))
    parts.append(
        tag("p", f"The darker a unit's shade, the more nats it needs; {FULL:g} or more are darkest.", class_="lead")
    )
    for row in np.argsort(-np.nan_to_num(means), kind="stable")[:MOST_PASSAGES].tolist():
        units = list(pieces(truth.inputs[row].text))
        heading = tag("small", f"{place_of(truth, row)}, {means[row]:.3f} nats: ")
        rest = [" …"] if len(units) > MOST_UNITS else []
        shaded = _shaded(units[:MOST_UNITS], predictions.values[row][:MOST_UNITS])
        parts.append(tag("p", heading, *shaded, *rest, class_="sentence", style="white-space: pre-wrap"))
    return parts


@styled
def along_picture(means: np.ndarray) -> Figure:
    """The mean nats of each passage [N] in the order of the text, and of all of them as a line."""
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(1, len(means) + 1), means, marker="o", markersize=4, color=INK, linewidth=1)
    axes.axhline(float(np.nanmean(means)), color=FAINT, linewidth=1)
    axes.set_xlabel("passage of the test part")
    axes.set_ylabel("nats per unit")
    axes.grid(color=GRID)
    return figure


def _shaded(units: Sequence[str], nats: np.ndarray) -> list[Html]:
    """Neighbours of one shade are one element."""
    levels = np.minimum(np.asarray(nats) / FULL, 1.0) * LEVELS
    found = []
    for level, group in groupby(zip(np.rint(levels).astype(int).tolist(), units), key=lambda pair: pair[0]):
        share = round(55 * level / LEVELS)
        style = f"background: color-mix(in srgb, var(--mark) {share}%, transparent)"
        found.append(tag("span", "".join(unit for _, unit in group), style=style))
    return found
