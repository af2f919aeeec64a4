"""What the page shows of translations: where the network read at each output, and the best, median and worst of them.

Letters: T units of a source, U of an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import table, tag
from ...lens.render.plots.style import GRID, INK, SHADES, SMALL, WIDTH, styled
from ..data.examples import Examples
from ..tasks.task import Predictions
from ..tasks.translating.metrics import Sources, sentence_chrf
from .examples import shortened
from .pictures import short

MOST_PICTURES, MOST_UNITS = 4, 24
"""Sentences whose alignment is drawn, and units of each of their sides."""
OF_EACH, MOST_REFERENCES = 4, 3
"""Rows of the table that are best, median and worst, and references of each that are shown."""

Pieces = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Translated:
    """One test source."""

    row: int
    """Its first row."""
    source: str
    said: str
    references: Sequence[str]
    chrf: float


@dataclass(frozen=True)
class Alignment:
    """The weights of one translation [U, T], with the names of both sides."""

    source: Sequence[str]
    """[T]"""
    output: Sequence[str]
    """[U]"""
    weights: np.ndarray
    chrf: float


def translations_section(
    truth: Examples, predictions: Predictions, pieces: Pieces | None, source_pieces: Pieces | None, private: bool
) -> list[Any]:
    """How good the translations of test sources are and, unless private, alignments and a table of texts.

    pieces, source_pieces  the units of an output, and of a source; None: the alignments have no names and are left out
    """
    found = translated(truth, predictions)
    parts: list[Any] = [drawn(spread_picture([t.chrf for t in found]), "spread", "How many sources have which chrF")]
    if private:
        return parts
    parts += _alignments(found, predictions, pieces, source_pieces)
    rows = [
        (kind, f"{t.chrf:.1f}", shortened(t.source, 300), shortened(t.said, 300), _references(t.references))
        for kind, t in chosen(found)
    ]
    headings = ("test source", "chrF", "source", "translation", "references")
    return [*parts, table("Best, median and worst translations by chrF", headings, rows, named=5)]


def translated(truth: Examples, predictions: Predictions) -> list[Translated]:
    """The test sources, each once, the worst translation first."""
    sources = [str(source) for source in truth.inputs]
    by_source = Sources.of(sources, [str(target) for target in truth.targets or ()])
    found = []
    for row, references in zip(by_source.first, by_source.references):
        said = str(predictions.values[row])
        found.append(Translated(row, sources[row], said, references, sentence_chrf(said, references)))
    return sorted(found, key=lambda t: t.chrf)


def chosen(found: Sequence[Translated]) -> list[tuple[str, Translated]]:
    """Some of the best, of the median and of the worst, each at most once."""
    half = len(found) // 2
    places = {
        "best": range(len(found) - 1, len(found) - 1 - OF_EACH, -1),
        "median": range(half - OF_EACH // 2, half + OF_EACH // 2),
        "worst": range(OF_EACH - 1, -1, -1),
    }
    named: dict[int, str] = {}
    for kind, some in places.items():
        for place in some:
            if 0 <= place < len(found):
                named.setdefault(place, kind)
    return [(named[place], found[place]) for place in sorted(named, reverse=True)]


def _alignments(
    found: Sequence[Translated], predictions: Predictions, pieces: Pieces | None, source_pieces: Pieces | None
) -> list[Any]:
    if predictions.alignments is None:
        return [tag("p", "The network has no attention, so there are no alignments to show.")]
    if pieces is None or source_pieces is None:
        return []
    fitting = []
    for t in sorted(found, key=lambda t: t.row):
        weights = np.asarray(predictions.alignments[t.row])
        source, output = list(source_pieces(t.source)), list(pieces(t.said))
        output += ["(end)"] * (len(weights) - len(output) == 1)
        named = weights.shape == (len(output), len(source))  # parts of words may be divided in another way again
        if named and 2 <= min(weights.shape) and max(weights.shape) <= MOST_UNITS:
            fitting.append(Alignment(source, output, weights, t.chrf))
    if not fitting:
        return [tag("p", f"No translation has 2 to {MOST_UNITS} units on both sides, so no alignment is drawn.")]
    fitting.sort(key=lambda a: a.weights.size)
    places = np.unique(np.linspace(len(fitting) // 4, len(fitting) - 1 - len(fitting) // 20, MOST_PICTURES).astype(int))
    caption = "Where the network read: a row for each unit of the output, a column for each unit of the source."
    picture = alignments_picture([fitting[place] for place in places])
    return [tag("h3", "Alignment"), drawn(picture, "alignments", "Weights of the source at each output", caption)]


@styled
def alignments_picture(some: Sequence[Alignment]) -> Figure:
    """Fields of weights [U, T], two beside each other: the output runs down, the source to the right."""
    across = min(2, len(some))
    down = -(-len(some) // across)
    tallest = [max(len(a.output) for a in some[row * across : (row + 1) * across]) for row in range(down)]
    heights = [1.3 + 0.2 * most for most in tallest]
    figure = Figure(figsize=(1.35 * WIDTH, sum(heights) + 0.3), layout="constrained")
    fields = figure.subplots(down, across, squeeze=False, gridspec_kw={"height_ratios": heights}).ravel()
    image: Any = None
    for axes, one in zip(fields, some):
        image = axes.imshow(one.weights, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(one.source)), [_name(unit) for unit in one.source], rotation=60, ha="right")
        axes.set_yticks(range(len(one.output)), [_name(unit) for unit in one.output])
        axes.tick_params(labelsize=SMALL)
        axes.set_title(f"chrF {one.chrf:.1f}", loc="left", fontsize=SMALL)
    for axes in fields[len(some) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=list(fields), label="weight", shrink=0.6)
    return figure


@styled
def spread_picture(values: Sequence[float]) -> Figure:
    """How many test sources have a translation of which chrF, in steps of 5."""
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=np.linspace(0, 100, 21).tolist(), color="0.75", edgecolor=INK, linewidth=0.6)
    axes.set_xlabel("chrF of a source's translation")
    axes.set_ylabel("test sources")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=GRID)
    return figure


def _name(unit: str) -> str:
    """A unit as an axis shows it: a space is visible."""
    return "␣" if unit == " " else short(unit, 14)


def _references(references: Sequence[str]) -> str:
    more = len(references) - MOST_REFERENCES
    texts = " · ".join(shortened(text, 300) for text in references[:MOST_REFERENCES])
    return f"{texts} and {more} more" if more > 0 else texts
