"""The pictures of a report page: intervals, curves, confusion, predictions against truth, series that were mistaken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator

from ...lens.render.plots.style import FAINT, GRID, INK, SHADES, SMALL, STYLES, WIDTH, styled
from ..data.findings import many
from ..running.outcome import Outcome
from ..tasks.metric_names import is_share, title_of
from ..terminal import without_controls
from ..training.fit import Evaluation

LONG = 60
"""Characters of a name that has a line of its own."""
MOST_CLASSES = 24
"""Classes of a confusion matrix with names; the rarest of more are left out, and the caption says so."""


def _scaled(metric: str, value: float) -> float:
    return 100 * value if is_share(metric) else value


def _unit(metric: str) -> str:
    return f"{title_of(metric)} (%)" if is_share(metric) else title_of(metric)


@styled
def intervals_picture(outcome: Outcome) -> Figure:
    """The task's metric of every model on the test rows, with its 95 % interval; the network is the filled mark."""
    scored = [*outcome.baselines, outcome.network]
    name = outcome.network.metric.name
    figure = Figure(figsize=(WIDTH, 0.8 + 0.32 * len(scored)), layout="constrained")
    axes = figure.subplots()
    for row, model in enumerate(scored):
        metric, last = model.metric, model is outcome.network
        low, value, high = (_scaled(name, v) for v in (metric.low, metric.value, metric.high))
        axes.plot([low, high], [row, row], color=INK if last else FAINT, linewidth=2)
        axes.plot(value, row, marker="o", color=INK, markerfacecolor=INK if last else "white", markersize=7)
    axes.set_yticks(range(len(scored)), [short(model.name, LONG) for model in scored])
    axes.set_ylim(len(scored) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID)
    axes.set_xlabel(f"{_unit(name)} on {many(outcome.n, 'test row')},\n95 % interval")
    return figure


@styled
def curves_picture(history: Sequence[Evaluation], metric: str) -> Figure:
    """Above, the training loss; below, the metric on validation rows with its best mark, both against updates."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    updates = [e.update for e in history]
    above.plot(updates, [e.train_loss for e in history], markersize=4, **STYLES[1])
    above.set_ylabel("training loss")
    values = [_scaled(metric, e.metric) for e in history]
    below.plot(updates, values, markersize=4, **STYLES[0])
    best = [k for k, e in enumerate(history) if e.best]
    if best:
        below.plot(updates[best[-1]], values[best[-1]], marker="o", markersize=11, color=INK, markerfacecolor="none")
        below.annotate(
            "kept", (updates[best[-1]], values[best[-1]]), (6, 6), textcoords="offset points", fontsize=SMALL
        )
    below.set_ylabel(f"validation {_unit(metric)}")
    below.set_xlabel("updates")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (above, below):
        axes.grid(color=GRID)
    return figure


@styled
def confusion_picture(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> Figure:
    """Row: the true class; column: the predicted one; shade: the share of the row; numbers: rows of the test part."""
    counts = confusion(truth, predicted, classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = max(3.0, min(9.0, 1.6 + 0.42 * len(classes)))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), [short(c) for c in classes], rotation=60, ha="right", fontsize=SMALL)
    axes.set_yticks(range(len(classes)), [short(c) for c in classes], fontsize=SMALL)
    if len(classes) <= 14:
        for row, column in np.argwhere(counts > 0):
            light = shares[row, column] > 0.6
            axes.text(
                column, row, str(counts[row, column]), ha="center", va="center", fontsize=SMALL,
                color=INK if light else "white",
            )  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure


def confusion(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """[K, K] int64: rows of each true class (row) that were predicted as each class (column)."""
    place = {c: k for k, c in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for t, p in zip(truth, predicted, strict=True):
        if t in place and p in place:
            counts[place[t], place[p]] += 1
    return counts


def drawn_classes(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The classes of a confusion matrix in their order: at most `MOST_CLASSES`, those with most test rows."""
    if len(classes) <= MOST_CLASSES:
        return list(classes)
    counts = dict.fromkeys(classes, 0)
    for name in (*truth, *predicted):
        if name in counts:
            counts[name] += 1
    kept = set(sorted(counts, key=lambda c: -counts[c])[:MOST_CLASSES])
    return [c for c in classes if c in kept]


@styled
def numbers_picture(truth: Sequence[float], predicted: Sequence[float], name: str) -> Figure:
    """Each test row's predicted number against its true one; on the diagonal they are equal."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = min(*truth, *predicted), max(*truth, *predicted)
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1)
    axes.plot(truth, predicted, linestyle="none", marker="o", markersize=4, color=INK, markerfacecolor="none")
    axes.set_xlabel(f"true {short(name, LONG)}")
    axes.set_ylabel(f"predicted {short(name, LONG)}")
    axes.grid(color=GRID)
    return figure


@styled
def series_picture(mistaken: Sequence[tuple[np.ndarray, str]], channels: Sequence[str]) -> Figure:
    """Series [T, C] with a heading each: one field a series, a line a channel, the first four channels."""
    figure = Figure(figsize=(WIDTH, 0.4 + 1.5 * len(mistaken)), layout="constrained")
    fields = figure.subplots(len(mistaken), 1, squeeze=False)[:, 0]
    for axes, (series, heading) in zip(fields, mistaken, strict=True):
        for channel in range(min(series.shape[1], 4)):
            name = channels[channel] if channel < len(channels) else f"channel {channel + 1}"
            style = {key: value for key, value in STYLES[channel].items() if key != "marker"}
            axes.plot(series[:, channel], label=short(name), linewidth=1.2, **style)
        axes.set_title(short(heading, LONG), loc="left", fontsize=SMALL)
        axes.grid(color=GRID)
    if mistaken and mistaken[0][0].shape[1] > 1:
        fields[0].legend(loc="upper right", fontsize=SMALL, ncols=4)
    if len(fields):
        fields[-1].set_xlabel("steps")
    return figure


def short(name: str, most: int = 18) -> str:
    """A name as axes show it: cut, without what matplotlib reads as mathematics, a square for what its font lacks."""
    cut = name if len(name) <= most else name[: most - 1] + "…"
    known = _characters()
    return "".join(c if ord(c) in known else "□" for c in without_controls(cut)).replace("$", r"\$")


@cache
def _characters() -> frozenset[int]:
    """The code points that the font of the pictures has."""
    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())
