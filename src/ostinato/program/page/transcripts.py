"""What the page shows of transcripts: rows with their edits, frequent edits, and where the network names units.

Letters: N rows, T steps, C channels, F frames, U units of a transcript.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import Html, table, tag
from ..data.examples import Examples
from ..tasks.task import Predictions
from ..tasks.transcribing.metrics import edits_between
from .examples import place_of
from .spikes import MOST_STEPS, Spikes, spikes_picture

EACH, MOST_PICTURES, MOST_EDITS = 3, 3, 12
"""Rows that are shown of the best, the middle and the worst; rows that are drawn; kinds of edits that are listed."""
MOST_CHARACTERS = 400
"""Of a row that is shown; a longer one is cut, which an ellipsis marks."""

Edits = list[tuple[str, str, str]]
"""(edit, of the truth, of the transcript): runs of characters in their order."""


@dataclass(frozen=True)
class Row:
    """A test row with the edits between its truth and its transcript."""

    number: int
    edits: Edits
    rate: float
    """Edits of characters over those of the truth, which count as one at least."""


def transcripts_section(
    truth: Examples,
    predictions: Predictions,
    details: Mapping[str, Any],
    pieces: Callable[[str], Sequence[str]] | None,
    private: bool,
) -> list[Any]:
    """Counts of edits and, unless private, rows, frequent edits and pictures.

    details  as the task counts them: by_edit, and the unit of a transcript
    pieces   the units of a text; None: its characters
    """
    parts: list[Any] = [edit_table(details["by_edit"])] if "by_edit" in details else []
    if private:
        return parts
    divide = pieces or list
    joint = " " if details.get("unit") == "word" else ""
    rows = rows_of(truth, predictions, lambda text: joint.join(divide(text)))
    chosen = best_middle_worst(rows)
    parts.append(tag("h3", "Rows"))
    lead = "In the transcripts, what is missing of the truth is struck out, and what was written in excess or in its "
    parts.append(tag("p", lead + "place is underlined.", class_="lead"))
    parts += [_shown(heading, row, truth) for heading, row in chosen]
    frequent = frequent_edits(rows)
    if frequent:
        parts.append(table("The most frequent edits", ("true", "written", "times"), frequent, named=2))
    spikes = spikes_of(truth, predictions, [row.number for _, row in chosen], divide)
    if spikes:
        caption = "Where the network names the units of a transcript: the share of its alignments at each step"
        caption += f"; the first {MOST_STEPS} steps of a row" if any(s.cut for s in spikes) else ""
        parts.append(drawn(spikes_picture(spikes), "spikes", caption))
    return parts


def edit_table(by_edit: Mapping[str, Mapping[str, int]]) -> Html:
    """Characters and words of all test rows by what became of them."""
    names = list(next(iter(by_edit.values())))
    rows = [(of, *(counts[name] for name in names)) for of, counts in by_edit.items()]
    return table("What became of the characters and words of the test rows", ("of", *names), rows)


def rows_of(truth: Examples, predictions: Predictions, normal: Callable[[str], str]) -> list[Row]:
    """The N rows with their edits."""
    found = []
    for number, (true, said) in enumerate(zip(truth.targets or [], predictions.values, strict=True)):
        edits = edits_between(normal(str(true)), normal(str(said)))
        wrong = sum(max(len(a), len(b)) for kind, a, b in edits if kind != "right")
        length = sum(len(a) for _, a, _ in edits)
        found.append(Row(number, edits, wrong / max(length, 1)))
    return found


def best_middle_worst(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """At most three rows each, with the word for them; a row is one of them once."""
    order = sorted(rows, key=lambda row: row.rate)
    middle = max(0, len(order) // 2 - EACH // 2)
    found: dict[int, tuple[str, Row]] = {}
    places = (("worst", order[::-1][:EACH]), ("best", order[:EACH]), ("middle", order[middle : middle + EACH]))
    for word, some in places:
        for row in some:
            found.setdefault(row.number, (word, row))
    return sorted(found.values(), key=lambda pair: ("best", "middle", "worst").index(pair[0]))


def frequent_edits(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """(true, written, times) of characters, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        for kind, true, said in row.edits:
            if kind != "right":
                longest = max(len(true), len(said))
                counts.update(zip(true.ljust(longest, "\0"), said.ljust(longest, "\0")))
    return [(_character(a), _character(b), times) for (a, b), times in counts.most_common(MOST_EDITS)]


def spikes_of(
    truth: Examples, predictions: Predictions, rows: Sequence[int], divide: Callable[[str], Sequence[str]]
) -> list[Spikes]:
    """What is drawn of some rows, the last of which are the worst, where their alignments are known."""
    if predictions.alignments is None:
        return []
    known = [row for row in rows if len(predictions.alignments[row])]
    spread = np.unique(np.linspace(0, len(known) - 1, min(len(known), MOST_PICTURES)).round().astype(int))
    found = []
    for place in spread.tolist():
        row = known[place]
        heading = f"{place_of(truth, row)}: {predictions.values[row]}"
        units = divide(str(predictions.values[row]))
        found.append(Spikes.of(heading, truth.inputs[row], predictions.alignments[row], units))
    return found


def _shown(word: str, row: Row, truth: Examples) -> Html:
    heading = tag("small", f"{word}, {place_of(truth, row.number)}, {100 * row.rate:.0f} %: ")
    left, parts = MOST_CHARACTERS, []
    for kind, true, said in row.edits:
        if left <= 0:
            parts.append(" …")
            break
        gone, new = true[:left], said[:left]
        left -= max(len(gone), len(new))
        if kind == "right":
            parts.append(gone)
            continue
        parts += [tag("del", _visible(gone), title=kind)] if gone else []
        parts += [tag("ins", _visible(new), title=kind)] if new else []
    return tag("p", heading, *(parts or [tag("small", "(empty)")]), class_="sentence edits")


def _visible(text: str) -> str:
    """Spaces that were inserted or deleted are seen."""
    return text.replace(" ", "␣")


def _character(text: str) -> str:
    return "(nothing)" if text == "\0" else _visible(text)
