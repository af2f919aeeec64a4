"""Writes a trained model as a folder that can be moved, read with `cat`, and holds no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save as safetensors

from ...cells.cell import Cell
from ...errors import InputError, phrase
from ..data.examples import Examples, Source, Split
from ..options import TrainOptions
from ..storage import write_bytes
from ..tasks.task import Predictions, Task
from ..training.records import Fitted
from .card import card
from .config import Config, described, environment, to_json, without_files
from .documents import Results, history_lines, metrics_json, predictions_csv, split_json
from .names import new_folder
from .private import private_results

WEIGHTS, CONFIG, RESUME = "model.safetensors", "config.json", "resume"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training leaves, as `save` writes it."""

    task: Task
    fitted: Fitted
    cell: Cell
    options: TrainOptions
    """As the user gave them. `private` leaves rows, hashes and texts out; a vocabulary stays, the network needs it."""
    because: str = ""
    """One sentence: what was inferred, and from what."""
    sources: Sequence[Source] = ()
    notes: Sequence[str] = ()
    results: Results | None = None
    """Metrics on the test rows; None without such rows."""
    test: Examples | None = None
    predictions: Predictions | None = None
    """For the rows of `test`."""
    split: Split | None = None
    class_type: str = "str"
    """Of the classes that `predict` of the estimator gives: str, int, float or bool."""
    row_hashes: Sequence[str] | None = None
    """Of each row of the data set that `split` divides."""


def save(path: Path, trained: Trained) -> Path:
    """Writes a new folder, `path` or where that exists `path-2` and so on; returns it.

    Raises StorageError where it cannot be written.
    """
    folder = new_folder(path)
    write(folder, trained)
    return folder


def write(folder: Path, trained: Trained, beside: Mapping[str, bytes] | None = None) -> None:
    """Writes the files into a folder that this training has made, config.json last: a folder without it is unfinished.

    beside  other files of the folder, such as its page: name → content

    Raises InputError where a training has already finished there, StorageError where a file cannot be written.
    """
    if (folder / CONFIG).exists():
        remedy = "Choose another folder with --out."
        raise InputError(phrase("save", "the folder", "one without config.json", folder, remedy))
    private = trained.options.run.private
    if private:
        task, notes = trained.task.private()
        trained = replace(trained, task=task, notes=[*trained.notes, *notes], results=private_results(trained.results))
    task_files = {name: as_json(content) for name, content in trained.task.to_json().items()}
    config = _config(trained, {name: hashlib.sha256(content).hexdigest() for name, content in task_files.items()})
    weights = {name: t.detach().cpu().clone() for name, t in trained.fitted.weights.items()}
    files: dict[str, bytes] = {WEIGHTS: safetensors(weights, {"format": "pt"}), **task_files}
    files["history.jsonl"] = history_lines(trained.fitted.history).encode()
    if trained.results is not None:
        files["metrics.json"] = as_json(metrics_json(trained.task.name, trained.results, trained.fitted.advice))
    if trained.split is not None:
        files["split.json"] = as_json(split_json(trained.split, trained.row_hashes, private))
    if trained.test is not None and trained.predictions is not None and not private:
        table = predictions_csv(trained.test, trained.predictions, trained.options.network.levels)
        files["predictions.csv"] = table.encode("utf-8", "replace")
    files["README.md"] = card(folder.name, config, trained.fitted, trained.results).encode("utf-8", "replace")
    for name, content in {**files, **(beside or {}), CONFIG: as_json(to_json(config))}.items():
        write_bytes(folder / name, content, "save")


def _config(trained: Trained, files: Mapping[str, str]) -> Config:
    options = trained.options
    begun_with = {"vectors": options.network.vectors, "weights": options.run.from_model}
    return Config(
        task=trained.task.name,
        because=trained.because,
        options=without_files(options, trained.cell),
        settings=trained.fitted.settings,
        weights_sha256=trained.fitted.sha256,
        files=files,
        sources=[described(source, options.run.private) for source in trained.sources],
        notes=[*trained.notes, *trained.fitted.notes],
        begun_with={name: str(path) for name, path in begun_with.items() if path is not None},
        class_type=trained.class_type,
        environment=environment(),
    )


def as_json(value: Any) -> bytes:
    """A file of JSON; half characters, which UTF-8 does not have, as escapes."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
