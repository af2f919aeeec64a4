"""Predictions of a model folder: a table in, a table out; or line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ...errors import InputError, OstinatoError, phrase
from ..data.examples import Examples
from ..data.read import read
from ..data.sound.rows import row_of_line
from ..folder.documents import predictions_csv
from ..folder.passage_table import nats_answer
from ..standard_output import written_out
from ..storage import write_bytes
from ..tasks.task import Predictions
from ..tasks.texts.prompts import refuse_half_characters
from ..training.evaluate import predict
from .beam import with_beam
from .evaluate import test_rows
from .fill import COUNT, filler_of, line_of
from .forecasts import continued
from .model import Model, open_model
from .predict_items import items_table, line_answer
from .unlabelled import for_another_file, from_line

WHERE = "ostinato predict"


Say = Callable[[str], None]
"""What is given a note for the user."""


@dataclass(frozen=True)
class Way:
    """How a model of a task predicts."""

    table: Callable[[Model, Path | None, Say], str]
    """CSV of the rows of a file, or of those that the task takes where there is no file."""
    line: Callable[[Model, str, int], str] | None
    """The answer to a line with its number; None where a line is no whole input."""


def predict_table(model: Path, data: Path | None = None, beam: int | None = None, say: Say = lambda note: None) -> str:
    """The predictions of the rows of `data`, or of the test rows of the training, as CSV; a forecast goes on after the
    end of the series.

    beam  hypotheses of a search; None: as many as in the training
    say   is given what there is to note
    """
    opened = with_beam(open_model(model), beam, WHERE)
    return WAYS[opened.task.name].table(opened, data, say)


def predict_lines(
    model: Path, lines: TextIO, answers: TextIO, count: int | None = None, beam: int | None = None
) -> int:
    """Answers every line at once, a line that cannot be read with a message that names its number, from 1.

    count  units of each gap that are listed, which only models of gaps have; None: the usual number
    beam   as `predict_table` has it
    Returns 2 where some line could not be read, else 0. Raises InputError for a task that reads no lines.
    """
    opened = with_beam(open_model(model), beam, WHERE)
    answer_to = WAYS[opened.task.name].line if count is None else gaps_answer(opened, count)
    if answer_to is None:
        reads, remedy = _NO_LINES[opened.task.name]
        expected = f"a file, as {reads}"
        raise InputError(phrase(WHERE, "DATA", expected, "- for lines", remedy))
    status = 0
    for number, line in enumerate(lines):
        try:
            refuse_half_characters(line, "a line", WHERE)
            answer = answer_to(opened, line.rstrip("\r\n"), number)
        except OstinatoError as error:
            said = str(error).removeprefix(f"{WHERE}: ")
            answer, status = f"{WHERE}, line {number + 1}: {said}", 2
        with written_out(WHERE, answers):
            answers.write(answer + "\n")
    return status


def rows_table(opened: Model, data: Path | None, say: Say) -> str:
    """CSV of a prediction of each row of a file, or of the test rows."""
    options = opened.config.options.data
    if data is None:
        examples, _ = test_rows(options, opened.config.sources, opened.task)
    else:
        examples = read(for_another_file(options, data), with_target=False).examples
    return predictions_csv(examples, predicted(opened, examples))


def row_answer(opened: Model, line: str, number: int) -> str:
    """The prediction of a row of the kind that the task reads."""
    task: Any = opened.task
    if opened.config.options.data.audio is not None:
        return written(predicted(opened, row_of_line(line, opened.config.options.data)))
    inputs = task.inputs
    return written(predicted(opened, from_line(line, inputs.kind, len(inputs.channels) or 1, WHERE)))


def text_answer(opened: Model, line: str, number: int) -> str:
    """The text that the model makes of a text, on one line."""
    return " ".join(written(predicted(opened, from_line(line, "text", 1, WHERE))).splitlines())


def passage_answer(opened: Model, line: str, number: int) -> str:
    """The nats of a text."""
    return written(predicted(opened, from_line(line, "passage", 1, WHERE)))


def gaps_answer(opened: Model, count: int = COUNT) -> Callable[[Model, str, int], str]:
    """The answer of a model of gaps to any line: the `count` most probable units of each gap."""
    filler = filler_of(opened.task, opened.network, WHERE)
    return lambda _, line, number: line_of(filler.fill(line, count))


def gap_answer(opened: Model, line: str, number: int) -> str:
    """The most probable units of each gap of a text."""
    return gaps_answer(opened)(opened, line, number)


def predicted(opened: Model, examples: Examples) -> Predictions:
    """What the network says of the rows."""
    return predict(opened.task, opened.network, opened.task.encode(examples))[0]


WAYS: Mapping[str, Way] = {
    "classify": Way(rows_table, row_answer),
    "regress": Way(rows_table, row_answer),
    "tag": Way(rows_table, row_answer),
    "language-model": Way(rows_table, passage_answer),
    "fill": Way(rows_table, gap_answer),
    "generate": Way(items_table, line_answer),
    "forecast": Way(continued, None),
    "transcribe": Way(rows_table, row_answer),
    "translate": Way(rows_table, text_answer),
    "music": Way(rows_table, None),
}
"""How each task predicts, by its name."""
_NO_LINES = {
    "forecast": (
        "a forecast reads whole series",
        "Give a file with the series, or none, to forecast after the end of the training's.",
    ),
    "music": ("a model of music reads whole pieces", "Give a file of pieces, or none, for the test rows."),
}
"""Task → why a line is no input of it, and what to do."""


def written(one: Predictions) -> str:
    """The answer to one row: the prediction, and the probability of a class after a tab."""
    value, chances = one.values[0], one.probabilities
    if isinstance(value, np.ndarray):
        return nats_answer(value)
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    if isinstance(value, str):
        return f"{value}\t{float(chances[0].max()):.4f}" if chances is not None else value
    return repr(float(value))


def write_new(path: Path, text: str) -> None:
    """Writes a file that is not there yet."""
    if path.exists():
        raise InputError(phrase(WHERE, "--out", "a file that is not there yet", path, "Name another with --out."))
    write_bytes(path, text.encode("utf-8", "backslashreplace"), WHERE)
