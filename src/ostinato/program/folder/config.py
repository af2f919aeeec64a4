"""config.json: everything that was set or inferred; `--config config.json` repeats the run.

Nothing in it is executed: a cell is its canonical text, a path is a path to data that the user named.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import torch

from ..._version import __version__
from ...cells.cell import Cell
from ...errors import CellError, InputError, did_you_mean, phrase
from ..data.examples import Source
from ..options import DataOptions, FitOptions, NetworkOptions

FORMAT, VERSION = "ostinato model", 1
WHERE = "the model folder"
REMEDY = "Take config.json as `ostinato train` wrote it."
O = TypeVar("O", DataOptions, NetworkOptions, FitOptions)  # noqa: E741


@dataclass(frozen=True, kw_only=True)
class Config:
    """What config.json says."""

    task: str
    because: str
    """One sentence: what was inferred, and from what."""
    network: NetworkOptions
    """Its cell is the canonical text, and `vectors` is None: the weights hold them."""
    data: DataOptions
    fit: FitOptions
    settings: Mapping[str, Any]
    """`Fitted.settings`: planned updates, evaluation interval, threads."""
    weights_sha256: str
    files: Mapping[str, str]
    """Name of each file that the task wrote → the SHA-256 of its content."""
    sources: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()
    private: bool = False
    vectors: str | None = None
    """The file of word vectors that the embedding began with, which nobody reads again."""
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
    found = {field.name: getattr(config, field.name) for field in fields(config)}
    for name in ("network", "data", "fit"):
        found[name] = {key: _plain(value) for key, value in asdict(found[name]).items()}
    return {"format": FORMAT, "version": VERSION, **{key: _plain(value) for key, value in found.items()}}


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
    names = {field.name for field in fields(Config)}
    hints = get_type_hints(Config)
    for name in names:
        if name not in document:
            raise InputError(phrase(WHERE, f"config.json's {name}", "there", "none", REMEDY))
    values = {name: document[name] for name in names}
    values["network"] = options_of(NetworkOptions, values["network"])
    values["data"] = options_of(DataOptions, values["data"])
    values["fit"] = options_of(FitOptions, values["fit"])
    for name in names - {"network", "data", "fit"}:
        values[name] = _checked(name, values[name], hints[name])
    network: NetworkOptions = values["network"]
    try:
        cell = Cell.from_text(network.cell)
    except CellError as error:
        remedy = "Nothing but the equations of a cell is read from a model folder; train again with --cell."
        received = f"{network.cell[:60]!r} ({error})"
        raise InputError(phrase(WHERE, "the cell", "the canonical text of one", received, remedy)) from None
    return Config(**{**values, "network": replace(network, cell=cell.text, vectors=None)})


def options_of(kind: type[O], found: object) -> O:
    """Options from a mapping of JSON. Raises InputError for an unknown name and a value of another type."""
    if not isinstance(found, Mapping):
        raise InputError(phrase(WHERE, f"config.json's {kind.__name__}", "a mapping", type(found).__name__, REMEDY))
    hints = get_type_hints(kind)
    unknown = [name for name in found if name not in hints]
    if unknown:
        remedy = f"{did_you_mean(unknown[0], hints)}{REMEDY}"
        raise InputError(phrase(WHERE, "an option of config.json", f"one of {', '.join(hints)}", unknown[0], remedy))
    return kind(**{name: _checked(name, value, hints[name]) for name, value in found.items()})


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _checked(name: str, value: Any, kind: Any) -> Any:
    """The value, as the type that the record gives its field. Raises InputError for another."""
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    for option in options:
        origin, inner = get_origin(option) or option, get_args(option)
        if option is type(None) and value is None:
            return None
        if origin is Literal and value in inner:
            return value
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
