"""What the page shows of pieces of music: the true notes on the probabilities of the keys, and a table by octave.

Letters: T frames, K keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import Html, table, tag
from ...lens.render.plots.style import SHADES, SMALL, STYLES, WIDTH, styled
from ..data.examples import Examples
from ..data.findings import many
from ..tasks.metric_names import title_of
from ..tasks.music.metrics import midi_numbers
from ..tasks.task import Predictions
from .examples import place_of
from .pictures import LONG, short

MOST_FRAMES = 96
"""Frames of a piece that are drawn, from its beginning."""
_SHARPS = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


@dataclass(frozen=True)
class Roll:
    """One field: a piece and what a network says of it."""

    heading: str
    true: np.ndarray
    """0 or 1 [T, K]"""
    said: np.ndarray
    """[T, K] probabilities"""


def sections_of(truth: Examples, predictions: Predictions, details: Mapping[str, Any], private: bool) -> list[Html]:
    """The parts of the page. details: what the task counts; private: whether pieces stay out of it."""
    frames = sum(map(len, truth.inputs))
    found = [tag("p", f"{many(len(truth), 'piece')} of {many(frames, 'frame')}. The first frame of a piece is given.")]
    rolls = [] if private or predictions.probabilities is None else chosen(truth, predictions)
    if rolls:
        caption = (
            "Shade: the probability of each key, after the true frames before and, where keys are joint, after the "
            "lower keys as the network itself says them. Boxes: the keys that are down in truth. A dark box is a "
            "missed note, a bright field without a box a wrong one."
        )
        picture = rolls_picture(rolls, truth.channels)
        found.append(drawn(picture, "rolls", "Predicted and true notes of test pieces", caption))
    octaves = details.get("by_octave") or {}
    if octaves:
        keys = list(next(iter(octaves.values())))
        rows = [[name, *(_cell(record[key]) for key in keys)] for name, record in octaves.items()]
        found.append(table("By octave, at a probability above one half", ["octave", *map(title_of, keys)], rows))
    return found


def chosen(truth: Examples, predictions: Predictions) -> list[Roll]:
    """The piece with the median nats per frame, and the one with most; one of them where they are the same."""
    judged = [row for row, nats in enumerate(predictions.values) if len(nats) > 1]
    means = {row: float(np.mean(predictions.values[row][1:])) for row in judged}
    order = sorted(judged, key=lambda row: means[row])
    if not order:
        return []
    found = {order[(len(order) - 1) // 2]: "the median piece", order[-1]: "the piece with most nats"}
    several = len({origin.file for origin in truth.origins}) > 1
    rolls = []
    for row, words in found.items():
        where = f"{truth.origins[row].file}, {place_of(truth, row)}" if several else place_of(truth, row)
        true, said = np.asarray(truth.inputs[row]), np.asarray(predictions.probabilities[row])
        left_out = f", frames 1 to {MOST_FRAMES} of {len(true)}" if len(true) > MOST_FRAMES else ""
        heading = f"{where}, {words}: {means[row]:.2f} nats per frame{left_out}"
        rolls.append(Roll(heading, true[:MOST_FRAMES], said[:MOST_FRAMES]))
    return rolls


@styled
def rolls_picture(rolls: Sequence[Roll], keys: Sequence[str]) -> Figure:
    """Time from left to right, keys from below; one field a piece, with the keys that any of them has."""
    used = np.flatnonzero(np.any([(roll.true > 0).any(0) | (roll.said > 0.5).any(0) for roll in rolls], 0))
    low, high = (max(0, int(used[0]) - 1), min(len(keys), int(used[-1]) + 2)) if len(used) else (0, len(keys))
    figure = Figure(figsize=(WIDTH, 1.2 + len(rolls) * (0.9 + 0.045 * (high - low))), layout="constrained")
    fields = figure.subplots(len(rolls), 1, squeeze=False)[:, 0]
    for axes, roll in zip(fields, rolls, strict=True):
        said = roll.said[:, low:high].T
        extent = (0.5, len(roll.true) + 0.5, low - 0.5, high - 0.5)
        image = axes.imshow(said, SHADES, aspect="auto", origin="lower", vmin=0, vmax=1, extent=extent)
        boxes = [Rectangle((t + 0.5, k - 0.5), n, 1) for t, k, n in notes(roll.true)]
        axes.add_collection(PatchCollection(boxes, facecolor="none", edgecolor=STYLES[0]["color"], linewidth=0.9))
        axes.set_title(short(roll.heading, 2 * LONG), loc="left", fontsize=SMALL)
        _named(axes, keys, low, high)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    fields[-1].set_xlabel("frames")
    figure.colorbar(image, ax=list(fields), label="probability of the key", location="bottom", shrink=0.5, aspect=40)
    return figure


def notes(roll: np.ndarray) -> list[tuple[int, int, int]]:
    """(first frame, key, frames) of every run of frames in which a key is down, key by key."""
    found = []
    for key in np.flatnonzero(np.asarray(roll).any(0)).tolist():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(roll)[:, key] > 0, [0]]).astype(int)))
        found += [(int(first), key, int(last - first)) for first, last in zip(edges[::2], edges[1::2])]
    return found


def key_name(number: int) -> str:
    """C4 for the key 60 of MIDI."""
    return f"{_SHARPS[number % 12]}{number // 12 - 1}"


def _named(axes: Axes, keys: Sequence[str], low: int, high: int) -> None:
    """Names at the C and G of each octave; where keys have other names, at some of them."""
    numbers = midi_numbers(keys)
    places = list(range(low, high))
    if numbers is None:
        places = places[:: max(1, len(places) // 8)]
        axes.set_yticks(places, [short(keys[k]) for k in places], fontsize=SMALL)
    else:
        places = [k for k in places if numbers[k] % 12 in (0, 7)]
        axes.set_yticks(places, [key_name(int(numbers[k])) for k in places], fontsize=SMALL)


def _cell(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{100 * value:.1f} %"
