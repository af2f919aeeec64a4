"""Pictures of docs/gallery.md that show texts: tags, shaded passages, gaps and items, each of a model folder."""

from collections.abc import Callable, Sequence
from typing import Any

from gallery_pictures import judged
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import ostinato
from ostinato.lens.render.plots.style import INK, SMALL, WIDTH, styled

COLUMNS = 76
"""Characters of a line."""
MONO = "DejaVu Sans Mono"
SHADE = "#D55E00"


def page_of_text(lines: int, columns: int = COLUMNS, height: float = 0.2) -> tuple[Figure, Axes]:
    """Axes whose units are a character across and a line down."""
    figure = Figure(figsize=(WIDTH, height * lines + 0.1), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0, columns)
    axes.set_ylim(lines, 0)
    axes.set_axis_off()
    return figure, axes


def write(axes: Axes, text: str, column: float, line: float, **style: Any) -> None:
    """A text of one width a character, from a column of a line on."""
    axes.text(column, line + 0.5, text.replace("$", r"\$"), family=MONO, va="center", **{"fontsize": 7.2, **style})


@styled
def tags_picture() -> Figure:
    """Five held-out sentences; below each word its tag, with the true one where it is wrong."""
    _, truth, found = judged("words-model")
    targets: Any = truth.targets or []
    rows = [row for row in range(len(truth)) if len(truth.inputs[row]) >= 7][:5]
    figure, axes = page_of_text(3 * len(rows) - 1, 64)
    for number, row in enumerate(rows):
        for place, word in enumerate(truth.inputs[row][:9]):
            tag, right = found.values[row][place], targets[row][place]
            write(axes, word, 7 * place + 1, 3 * number, fontsize=SMALL)
            shown = tag if tag == right else f"{tag}≠{right}"
            write(axes, shown, 7 * place + 1, 3 * number + 1, color="#0072B2" if tag == "VERB" else "0.35", fontsize=7)
    return figure


def passage(units: Sequence[str], nats: Sequence[float], lines: int = 12) -> list[list[tuple[str, float]]]:
    """Characters with their nats in lines of at most COLUMNS; a line break ends a line."""
    found: list[list[tuple[str, float]]] = [[]]
    for unit, value in zip(units, nats):
        if unit == "\n" or len(found[-1]) >= COLUMNS:
            found.append([])
        if unit != "\n":
            found[-1].append((unit, float(value)))
        if len(found) > lines:
            return found[:lines]
    return found


@styled
def passage_picture() -> Figure:
    """The beginning of a test passage; a character's shade is its nats, 6 or more darkest."""
    opened, truth, found = judged("reference-model")
    task: Any = opened.task
    row = len(truth) // 2
    text = truth.inputs[row].text
    lines = passage(list(task.pieces(text)), found.values[row])
    figure, axes = page_of_text(len(lines))
    for line, characters in enumerate(lines):
        for column, (unit, nats) in enumerate(characters):
            share = min(nats / 6, 1.0)
            axes.add_patch(Rectangle((column, line), 1, 1, facecolor=SHADE, alpha=0.85 * share, linewidth=0))
            write(axes, unit, column + 0.5, line, ha="center")
    return figure


GAPS = "The ___ of the expression is not a ___."


@styled
def gaps_picture() -> Figure:
    """The five most probable words of each gap."""
    filler: Any = ostinato.load("filler")
    gaps = filler.fill(GAPS, count=5)
    figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
    for number, (axes, gap) in enumerate(zip(figure.subplots(1, len(gaps)), gaps)):
        words, chances = zip(*gap)
        axes.barh(range(len(gap)), chances, color="0.8", edgecolor=INK)
        axes.set_yticks(range(len(gap)), [word.strip().replace("$", r"\$") for word in words], family=MONO)
        axes.invert_yaxis()
        axes.set_xlabel("probability")
        axes.set_title(f"gap {number + 1}", loc="left")
    figure.suptitle(GAPS, family=MONO)
    return figure


@styled
def items_picture() -> Figure:
    """Eight names of each kind; those that no row of the file has are marked as new."""
    estimator: Any = ostinato.load("plants-model")
    with open("plants.csv", encoding="utf-8") as file:
        known = {line.strip().split(",")[1] for line in file}
    figure, axes = page_of_text(10, 60)
    for place, kind in enumerate(("tree", "herb", "grass")):
        write(axes, f"kind = {kind}", 20 * place + 1, 0, fontsize=SMALL, weight="bold")
        for line, name in enumerate(estimator.generate(8, given={"kind": kind}, seed=place, length=24)):
            mark = "" if name in known else "  ← new"
            write(axes, name + mark, 20 * place + 1, line + 1.5, fontsize=8)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "tags": tags_picture,
    "language-model": passage_picture,
    "fill": gaps_picture,
    "items": items_picture,
}
