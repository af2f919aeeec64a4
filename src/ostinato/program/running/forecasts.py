"""Forecasts of a model folder: after the end of the training's series, or of the series in another file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import InputError, phrase
from ..data.examples import Examples
from ..data.found import changed_source, noun_of
from ..data.read import read
from ..data.split import split
from ..data.time.step import filled_note, in_step
from ..folder.forecasts import Columns, forecasts_csv
from ..options import DataOptions
from ..training.evaluate import predict
from .model import Model
from .recorded_files import check_there
from .unlabelled import for_another_file

WHERE = "ostinato predict"


def continued(model: Model, data: Path | None, say: Callable[[str], None]) -> str:
    """The forecast after the end of every series, as CSV: unique_id, ds, median, lo-80, hi-80, …

    say: is given a sentence about series that have few values to go on from.

    Raises InputError where the files of the training are gone or have changed, where a covariate that has to be
    known ahead is not, and for a file of another step than the training's.
    """
    examples = last_windows(model, data)
    task: Any = model.task
    for note in filled_note(examples.inputs, task.scaling.shape.length):
        say(note)
    if data is None:
        recall_names(model.task, model.config.options.data)
    found, _ = predict(model.task, model.network, model.task.encode(examples))
    return forecasts_csv(examples.inputs, found, Columns(examples.channels, levels_of(model.task)))


def recall_names(task: Any, options: DataOptions) -> None:
    """Gives a forecast of a private folder the scales by series again, from the files of the training."""
    if task.nameless:
        dataset = read(options)
        task.recall(dataset.examples.take(split(dataset, options).train))


def last_windows(model: Model, data: Path | None) -> Examples:
    """The last window of each series of `data`, or of the training's files."""
    options = model.config.options.data
    if data is not None:
        return like_training(model, read(for_another_file(options, data), with_target=False).examples, data)
    if not options.paths:
        remedy = "Give a file with the series as DATA."
        raise InputError(phrase(WHERE, "DATA", "given for a model that was trained from Python", "none", remedy))
    check_there(WHERE, options, "Give a file with the series as DATA.")
    dataset = read(options, with_target=False)
    changed = changed_source(dataset.sources, model.config.sources)
    if changed is not None:
        remedy = "Give it as DATA, to forecast after its new end."
        expected = f"the {noun_of(changed)} of the training"
        raise InputError(phrase(WHERE, str(changed.path), expected, "one that has changed", remedy))
    return dataset.examples


def like_training(model: Model, examples: Examples, data: Path) -> Examples:
    """The windows of another file. Raises InputError where its step is not that of the training."""
    task: Any = model.task
    return replace(examples, inputs=in_step(examples.inputs, task.scaling.frequency, data.name))


def levels_of(task: Any) -> list[float]:
    """The percent that the bands of a forecast's quantiles cover, the narrowest first."""
    shares = task.quantiles
    return [round(100 * (1 - 2 * low), 8) for low in reversed(shares[: len(shares) // 2])]
