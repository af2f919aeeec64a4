"""config.json: everything that was set or inferred; `--config config.json` repeats the run.

Nothing in it is executed: a cell is its canonical text, a path is a path to data that the user named.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import torch

from ..._version import __version__
from ...cells.cell import Cell
from ...errors import CellError, InputError, did_you_mean, phrase
from ..data.examples import Source
from ..options import DataOptions, FitOptions, NetworkOptions, RunOptions, TrainOptions

FORMAT, VERSION = "ostinato model", 1
WHERE = "the model folder"
REMEDY = "Take config.json as `ostinato train` wrote it."
PARTS = {"data": DataOptions, "network": NetworkOptions, "fit": FitOptions, "run": RunOptions}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json says."""

    task: str
    because: str
    """One sentence: what was inferred, and from what."""
    options: TrainOptions
    """Its cell is the canonical text, and `vectors` and `from_model` are None: the weights hold what came of them."""
    settings: Mapping[str, Any]
    """`Fitted.settings`: planned updates, evaluation interval, threads."""
    weights_sha256: str
    files: Mapping[str, str]
    """Name of each file that the task wrote → the SHA-256 of its content."""
    sources: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    begun_with: Mapping[str, Any] = field(default_factory=dict)
    """The files of word vectors and weights that the training began with, where there were any; for `--config`."""
    class_type: str = "str"
    """Of the classes that `predict` of the estimator gives: str, int, float or bool."""
    environment: Mapping[str, Any] | None = None
    """Versions and machine of the run."""


def environment() -> dict[str, Any]:
    """Versions and machine, on which the bits depend."""
    return {
        "ostinato": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
    }


def described(source: Source, private: bool) -> dict[str, Any]:
    """A source as config.json lists it; of a private model without its hash."""
    found = {"file": source.path.name, "rows": source.rows, "lines": source.lines, "encoding": source.encoding}
    return found if private else {**found, "sha256": source.sha256}


def to_json(config: Config) -> dict[str, Any]:
    """The document."""
    found = {f.name: getattr(config, f.name) for f in fields(config)}
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}
    return {"format": FORMAT, "version": VERSION, **found, "options": config.options.to_json()}


def from_json(document: Mapping[str, Any]) -> Config:
    """The config of a document. Raises InputError for one of something else, of a newer version, or with a value that
    no run has written: another type, an unknown option, a cell that is no canonical text."""
    if document.get("format") != FORMAT:
        remedy = "Give a folder that `ostinato train` wrote."
        received = repr(document.get("format"))
        raise InputError(phrase(WHERE, "config.json's format", repr(FORMAT), received, remedy))
    if type(document.get("version")) is not int or document["version"] > VERSION:
        remedy = "Install the version of ostinato that wrote it, or a later one."
        received = repr(document.get("version"))
        raise InputError(phrase(WHERE, "config.json's version", f"at most {VERSION}", received, remedy))
    hints = get_type_hints(Config)
    values = {}
    for name, kind in hints.items():
        if name not in document:
            raise InputError(phrase(WHERE, f"config.json's {name}", "there", "none", REMEDY))
        values[name] = document[name] if name == "options" else _checked(name, document[name], kind)
    options = _options(values["options"])
    try:
        cell = Cell.from_text(options.network.cell)
    except CellError as error:
        remedy = "Nothing but the equations of a cell is read from a model folder; train again with --cell."
        received = f"{options.network.cell[:60]!r} ({error})"
        raise InputError(phrase(WHERE, "the cell", "the canonical text of one", received, remedy)) from None
    return Config(**{**values, "options": without_files(options, cell)})


def without_files(options: TrainOptions, cell: Cell) -> TrainOptions:
    """The options as a model folder has them: the cell as text, no file that the training began with."""
    return options.but(cell=cell.text, vectors=None, from_model=None)


def _options(found: object) -> TrainOptions:
    """Options from JSON. Raises InputError for an unknown name, a value of another type or outside its range."""
    given = _checked("options", found, Mapping[str, Any])
    flat = {}
    for part, kind in PARTS.items():
        hints, values = get_type_hints(kind), _checked(f"options.{part}", given.get(part), Mapping[str, Any])
        for name, value in values.items():
            if name not in hints:
                remedy = f"{did_you_mean(name, hints)}{REMEDY}"
                raise InputError(phrase(WHERE, "an option of config.json", f"one of {', '.join(hints)}", name, remedy))
            flat[name] = _checked(name, value, hints[name])
    try:
        return TrainOptions.of(WHERE, flat)
    except TypeError as error:  # of the layers, whose constructors raise it for an unknown option
        received = " ".join(str(error).split())
        raise InputError(phrase(WHERE, "config.json's options of the layers", "known", received, REMEDY)) from None


def _checked(name: str, value: Any, kind: Any) -> Any:
    """The value, as the type that the record gives its field. Raises InputError for another."""
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for option in options:
        origin, inner = get_origin(option) or option, get_args(option)
        if option is type(None) and value is None:
            return None
        if option is Path and isinstance(value, str):
            return Path(value)
        if option is float and type(value) in (int, float):
            return float(value)
        if origin is Mapping and isinstance(value, dict):
            return {key: _checked(f"{name}.{key}", v, inner[1]) for key, v in value.items()}
        if origin is Sequence and isinstance(value, list):
            return tuple(_checked(name, v, inner[0]) for v in value)
        if option is Any or option in (int, str, bool) and type(value) is option:
            return value
    expected = getattr(kind, "__name__", None) or str(kind).replace("typing.", "").replace("collections.abc.", "")
    raise InputError(phrase(WHERE, f"config.json's {name}", expected, repr(value)[:80], REMEDY))
