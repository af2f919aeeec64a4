"""Predictions of a model folder: a table in, a table out; or line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ...errors import InputError, OstinatoError, phrase
from ..data.examples import Examples
from ..data.read import read
from ..folder.documents import predictions_csv
from ..folder.passage_table import nats_answer
from ..storage import write_bytes
from ..tasks.task import Predictions
from ..tasks.texts.prompts import refuse_half_characters
from ..training.evaluate import predict
from .evaluate import test_rows
from .forecasts import continued, refuse_lines
from .model import Model, open_model
from .predict_items import items_table, line_answer
from .unlabelled import for_another_file, from_line

WHERE = "ostinato predict"


def predict_table(model: Path, data: Path | None = None) -> str:
    """The predictions of the rows of `data`, or of the test rows of the training, as CSV; a forecast goes on after the
    end of the series."""
    opened = open_model(model)
    if opened.task.name == "forecast":
        return continued(opened, data)
    task, network = opened.task, opened.network
    if task.name == "generate":
        return items_table(opened, data)
    if data is None:
        examples, _ = test_rows(opened.config.options.data, opened.config.sources, task)
    else:
        examples = read(for_another_file(opened.config.options.data, data), with_target=False).examples
    return predictions_csv(examples, predicted(task, network, examples))


def predict_lines(model: Path, lines: TextIO, answers: TextIO) -> int:
    """Answers every line at once, a line that cannot be read with `error: …`.

    Returns 2 where some line could not be read, else 0.
    """
    opened = open_model(model)
    refuse_lines(opened.task)
    status = 0
    for number, line in enumerate(lines):
        try:
            answers.write(answer_to(opened, line.rstrip("\r\n"), number) + "\n")
        except OstinatoError as error:
            answers.write(f"error: {error}\n")
            status = 2
        answers.flush()
    return status


def answer_to(opened: Model, line: str, number: int) -> str:
    """The answer to the line with this number."""
    refuse_half_characters(line, "a line", WHERE)
    if opened.task.name == "generate":
        return line_answer(opened, line, number)
    kind, channels = line_kind(opened.task)
    return written(predicted(opened.task, opened.network, from_line(line, kind, channels, WHERE)))


def line_kind(task: Any) -> tuple[Any, int]:
    """(kind of the input, channels) of a task."""
    if getattr(task, "kind", None) == "passage":
        return "passage", 1
    inputs = task.inputs
    return inputs.kind, len(getattr(inputs, "channels", ())) or 1


def predicted(task: Any, network: Any, examples: Examples) -> Predictions:
    """What the network says of the rows."""
    return predict(task, network, task.encode(examples))[0]


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
