"""Test rows that a person wants to read: the mistakes of which the network was surest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...lens.render.html.markup import Html, table, tag, together
from ..data.examples import Examples
from ..tasks.task import Predictions

MOST_ROWS, MOST_CHARACTERS = 12, 600
"""Rows that are shown of each kind, and characters of a text; what is cut is marked with an ellipsis."""


@dataclass(frozen=True)
class Mistake:
    """A test row whose prediction is not its target."""

    row: int
    truth: str
    predicted: str
    probability: float
    """Of the predicted class."""
    probability_of_truth: float


def mistakes(truth: Examples, predictions: Predictions, classes: Sequence[str]) -> list[Mistake]:
    """The mistaken rows of a classification, the surest first."""
    place = {c: k for k, c in enumerate(classes)}
    targets = truth.targets or []
    found = []
    for row, (right, said) in enumerate(zip(targets, predictions.values)):
        if right == said:
            continue
        chances = predictions.probabilities[row] if predictions.probabilities is not None else None
        sure = float(chances[place[said]]) if chances is not None and said in place else float("nan")
        of_truth = float(chances[place[right]]) if chances is not None and right in place else 0.0
        found.append(Mistake(row, str(right), str(said), sure, of_truth))
    return sorted(found, key=lambda m: -m.probability)


def place_of(truth: Examples, row: int) -> str:
    """Where in the user's file a test row is, as a heading says it."""
    return truth.origins[row].place if len(truth.origins) > row else f"row {row + 1}"


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """The beginning and the end of a text that is longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {text[-most // 2 :]}"


def text_table(truth: Examples, found: Sequence[Mistake]) -> Html:
    """The texts of the surest mistakes, with true and predicted class."""
    rows = [
        (
            _where(truth, m.row),
            m.truth,
            m.predicted,
            tag("span", shortened(str(truth.inputs[m.row]))),
            Html(f"{100 * m.probability:.1f}&nbsp;%"),
        )
        for m in found[:MOST_ROWS]
    ]
    headings = ("row", "true", "predicted", "text", "probability of the prediction")
    return table("Mistakes, the surest first", headings, rows, named=4)


def number_table(truth: Examples, predictions: Predictions) -> Html:
    """The rows with the largest error of a regression."""
    targets = np.asarray(truth.targets, float)
    values = np.asarray(predictions.values, float)
    worst = np.argsort(-np.abs(values - targets), kind="stable")[:MOST_ROWS]
    rows = [(_where(truth, int(r)), float(targets[r]), float(values[r]), float(values[r] - targets[r])) for r in worst]
    return table("Largest errors", ("row", "true", "predicted", "error"), rows)


def tagged_sentences(truth: Examples, predictions: Predictions) -> Html:
    """Sentences with most mistakes: each word shaded by the probability of its tag, wrong tags named below the word."""
    order = sorted(range(len(truth)), key=lambda r: -_wrong(truth, predictions, r))
    parts = [_sentence(truth, predictions, r) for r in order[:MOST_ROWS] if _wrong(truth, predictions, r)]
    legend = tag(
        "p",
        "The darker a word's shade, the surer its tag. A wrong tag is underlined, with the predicted and the true tag.",
        class_="lead",
    )
    return together(legend, *parts)


def _wrong(truth: Examples, predictions: Predictions, row: int) -> int:
    targets: Any = (truth.targets or [])[row]
    return sum(t != p for t, p in zip(targets, predictions.values[row]))


def _sentence(truth: Examples, predictions: Predictions, row: int) -> Html:
    tags, said = (truth.targets or [])[row], predictions.values[row]
    chances = predictions.probabilities[row] if predictions.probabilities is not None else None
    words = []
    for step, word in enumerate(truth.inputs[row]):
        sure = float(np.max(chances[step])) if chances is not None else 1.0
        shade = f"background: color-mix(in srgb, var(--blue) {round(45 * sure)}%, transparent)"
        title = f"{said[step]}, probability {100 * sure:.0f} %"
        if said[step] == tags[step]:
            words.append(tag("span", word, style=shade, title=title, class_="token"))
        else:
            note = tag("small", f"{said[step]}, not {tags[step]}")
            words.append(tag("span", tag("u", word), note, style=shade, title=title, class_="token wrong"))
        words.append(Html(" "))
    return tag("p", tag("small", f"{_where(truth, row)}: "), *words, class_="sentence")


def series_headings(truth: Examples, found: Sequence[Mistake]) -> list[tuple[np.ndarray, str]]:
    """The surest mistakes among series, each with its heading, for `series_picture`."""
    return [
        (
            np.asarray(truth.inputs[m.row], float).reshape(len(truth.inputs[m.row]), -1),
            f"row {_where(truth, m.row)}: {m.truth}, predicted {m.predicted} ({100 * m.probability:.0f} %)",
        )
        for m in found[:6]
    ]


def _where(truth: Examples, row: int) -> str:
    return truth.origins[row].place if len(truth.origins) > row else str(row + 1)
