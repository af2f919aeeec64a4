"""Pictures of docs/gallery.md that show numbers, scenes, sounds and music, each from a model folder."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

import ostinato
from ostinato.lens.render.plots.style import GRID, SHADES, SMALL, WIDTH, styled
from ostinato.program.data.examples import Examples
from ostinato.program.data.music.midi import piece_of
from ostinato.program.data.music.rolls import GRID_OF_ROLLS
from ostinato.program.page.forecast_pictures import Fan, fan_picture
from ostinato.program.page.pictures import numbers_picture
from ostinato.program.page.spikes import spikes_picture
from ostinato.program.page.transcripts import spikes_of
from ostinato.program.page.translations import Alignment, alignments_picture
from ostinato.program.running.evaluate import test_rows
from ostinato.program.running.model import Model, open_model
from ostinato.program.running.predict import predicted
from ostinato.program.running.writing import Request, Writer, named_values
from ostinato.program.tasks.task import Predictions
from ostinato.program.tasks.texts.sampling import Sampling

MOST_PROBABLE = Sampling(temperature=0.0)


def judged(folder: str) -> tuple[Model, Examples, Predictions]:
    """(model, test rows, what the network says of them)"""
    opened = open_model(Path(folder))
    examples, _ = test_rows(opened.config.options.data, opened.config.sources, opened.task)
    return opened, examples, predicted(opened, examples)


@styled
def classes_picture() -> Figure:
    """A digit of each class that was held out; beside every row, the probabilities of the classes after it."""
    _, truth, _ = judged("digits-model")
    estimator: Any = ostinato.load("digits-model")
    targets = [str(t) for t in truth.targets or []]
    shown = sorted(dict(zip(reversed(targets), reversed(range(len(targets))))).values(), key=lambda k: targets[k])
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    fields = figure.subplots(4, 6, width_ratios=[8, 10] * 3).reshape(-1, 2)
    image = None
    for place, (left, right) in enumerate(fields):
        for axes in (left, right):
            axes.set_yticks([])
            axes.set_xticks([])
        if place >= len(shown):
            left.set_axis_off()
            right.set_axis_off()
            continue
        series = np.asarray(truth.inputs[shown[place]], float).reshape(8, -1)
        chances = estimator.predict_proba([series[: k + 1] for k in range(len(series))])
        left.imshow(series, cmap="gray_r")
        image = right.imshow(chances, cmap=SHADES, vmin=0, vmax=1)
        right.set_xticks(range(len(estimator.classes_)), estimator.classes_, fontsize=6)
    if image is not None:
        figure.colorbar(image, ax=fields[:, 1].tolist(), label="probability after each row", shrink=0.6)
    return figure


def numbers() -> Figure:
    """Predicted against true sums."""
    _, truth, found = judged("adding-model")
    targets = [float(t) for t in truth.targets or []]
    return numbers_picture(targets, [float(v) for v in found.values], "sum of the two marked numbers")


COLOURS = ("#D55E00", "#009E73", "#0072B2")
"""Red, green and blue of the pictures' own hues."""


@styled
def captions_picture() -> Figure:
    """Eight held-out scenes as their features say, with the most probable caption."""
    opened, truth, _ = judged("scenes-model")
    writer = Writer(opened.task, opened.network, "gallery")
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    for place, axes in enumerate(figure.subplots(2, 4).flat):
        features = truth.inputs[place]
        given = named_values(truth.channels, features)
        caption = writer.write(Request(given=given, how=MOST_PROBABLE), place).text
        x, y, size, *rest = (float(v) for v in features)
        axes.add_patch(shape_of(x, y, 0.05 + 0.12 * size, int(np.argmax(rest[3:6])), COLOURS[int(np.argmax(rest[:3]))]))
        axes.set(xlim=(-0.15, 1.15), ylim=(-0.15, 1.15), xticks=[], yticks=[], aspect="equal")
        axes.spines[["right", "top"]].set_visible(True)
        axes.set_xlabel(caption.replace(" at the ", "\nat the "), fontsize=SMALL)
    return figure


def shape_of(x: float, y: float, radius: float, shape: int, colour: str) -> Any:
    """A circle, square or triangle around (x, y)."""
    hatch = ("", "////", "....")[COLOURS.index(colour)]
    style: dict[str, Any] = {"facecolor": colour, "edgecolor": "black", "hatch": hatch}
    if shape == 0:
        return Circle((x, y), radius, **style)
    if shape == 1:
        return Rectangle((x - radius, y - radius), 2 * radius, 2 * radius, **style)
    return Polygon([(x - radius, y - radius), (x + radius, y - radius), (x, y + radius)], **style)


def forecast() -> Figure:
    """The series of sales.csv and next.csv, the forecast after its end."""
    months, sold = columns("sales.csv", "month", "sold")
    ahead, *ends = columns("next.csv", "ds", "median", "lo-80", "hi-80", "lo-95", "hi-95")
    times, later = (
        np.array([time[:7] for time in found], "datetime64[M]").astype("datetime64[D]") for found in (months, ahead)
    )
    median, low80, high80, low95, high95 = (np.array(values, float) for values in ends)
    bands = [(95.0, low95, high95), (80.0, low80, high80)]
    return fan_picture([Fan("", "sold", times, np.array(sold, float), later, median, bands)])


def transcript() -> Figure:
    """Two held-out recordings, with the places of the keys in them."""
    opened, truth, found = judged("calls-model")
    task: Any = opened.task
    return spikes_picture(spikes_of(truth, found, [0, 1], task.pieces))


def translation() -> Figure:
    """The attention of the first two held-out dates whose answers are right."""
    opened, truth, found = judged("dates-model")
    task: Any = opened.task
    some: list[Alignment] = []
    for row, (source, said) in enumerate(zip(truth.inputs, found.values)):
        weights = np.asarray((found.alignments or [])[row])
        output = [*task.pieces(said), "(end)"][: len(weights)]
        if len(some) < 2 and (said == (truth.targets or [])[row] or row >= len(truth) - 2):
            some.append(Alignment(list(task.source_pieces(str(source))), output, weights, 100.0))
    return alignments_picture(some)


@styled
def music_picture() -> Figure:
    """The keys of new.mid, frame by frame."""
    path = Path("new.mid")
    config = open_model(Path("broken-model")).config.options.data
    roll = piece_of(path.read_bytes(), path, config.grid or GRID_OF_ROLLS).roll
    lowest, highest = 40, 77
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    shown = roll[:, lowest - 21 : highest - 21].T
    axes.imshow(shown, cmap="gray_r", aspect="auto", origin="lower", extent=(0, len(roll), lowest - 0.5, highest - 0.5))
    axes.set_xticks(range(0, len(roll) + 1, 8))
    axes.grid(color=GRID)
    axes.set_xlabel("frame")
    axes.set_ylabel("key (60 is the middle C)")
    return figure


def columns(path: str, *names: str) -> list[list[str]]:
    """Columns of a CSV file by their names."""
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [[row[name] for row in rows] for name in names]


PICTURES: dict[str, Callable[[], Figure]] = {
    "class": classes_picture,
    "number": numbers,
    "captions": captions_picture,
    "forecast": forecast,
    "transcript": transcript,
    "translation": translation,
    "music": music_picture,
}
