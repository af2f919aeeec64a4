"""Reads a model folder. Nothing that it says is executed, and what it was not when it was written is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError, OstinatoError, phrase
from ..digest import weights_sha256
from ..storage import read_bytes, read_safetensors
from ..tasks.task import Task
from .config import WHERE, Config, from_json
from .save import CONFIG, RESUME, WEIGHTS

JSON_BYTES = 1 << 28
"""The longest JSON file that is read."""
WEIGHT_BYTES = 1 << 36
_NAME = re.compile(r"[a-z][a-z0-9_]*\.json\Z")
_COPY = "Copy the folder again from where it was made."


@dataclass(frozen=True)
class Loaded:
    """A model folder, checked."""

    folder: Path
    config: Config
    weights: Mapping[str, Tensor]
    """By name in the network's state_dict, of any shape."""
    files: Mapping[str, Mapping[str, Any]]
    """What the task wrote: file name → content."""
    metrics: Mapping[str, Any] | None
    """metrics.json; None where the training had no test rows."""


def load(folder: Path) -> Loaded:
    """Reads a folder that `save` wrote.

    Raises InputError for a folder of something else, an unfinished training, a missing file, a newer version of the
    format, a file that is too long, weights that are a pickle or no safetensors file, and for weights or files whose
    hash is not the one in config.json.
    """
    if not folder.is_dir():
        remedy = "Give the folder that `ostinato train` wrote."
        raise InputError(phrase(WHERE, "the folder", "one that exists", folder, remedy))
    if not (folder / CONFIG).exists():
        unfinished = (folder / RESUME).is_dir()
        remedy = (
            f"Run `ostinato train --resume {folder}`." if unfinished else "Give a folder that `ostinato train` wrote."
        )
        received = f"{folder}, whose training has not ended" if unfinished else f"{folder} without it"
        raise InputError(phrase(WHERE, "the folder", f"one with {CONFIG}", received, remedy))
    config = from_json(read_json(folder / CONFIG))
    files = {name: _task_file(folder, name, expected) for name, expected in config.files.items()}
    weights, _ = read_safetensors(folder / WEIGHTS, WEIGHT_BYTES, WHERE)
    found = weights_sha256(weights)
    if found != config.weights_sha256:
        raise InputError(phrase(WHERE, "the hash of the weights", config.weights_sha256, found, _COPY))
    metrics = folder / "metrics.json"
    return Loaded(folder, config, weights, files, read_json(metrics) if metrics.exists() else None)


def restore(loaded: Loaded, kind: type[Task]) -> tuple[Task, nn.Module]:
    """The task and the network of a folder, in evaluation; `kind` is the class of the task that config.json names.

    Raises InputError where the files do not describe such a task, or the weights are not those of its network.
    """
    try:
        task = kind.from_json(loaded.files)
        # First without storage: a config.json that names a billion hidden units is refused before they are allocated.
        with torch.device("meta"):
            shapes = {name: t.shape for name, t in task.network(loaded.config.options.network).state_dict().items()}
    except OstinatoError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        lacking = str(error.args[0]) if isinstance(error, KeyError) and error.args else ""
        wrong = f" ({type(error).__name__}: {' '.join(str(error).split())})"
        if _NAME.match(lacking) and lacking not in loaded.files:
            wrong = f", without {lacking}"
        received = (", ".join(loaded.files) or "none") + wrong
        expected = f"those of the task {kind.name}, which config.json names"
        raise InputError(phrase(WHERE, "the files of the task", expected, received, _COPY)) from None
    given = {name: t.shape for name, t in loaded.weights.items()}
    differing = sorted(name for name in shapes.keys() | given.keys() if shapes.get(name) != given.get(name))
    if differing:
        name = differing[0]
        received = f"{list(given[name]) if name in given else 'none'} for {name}"
        expected = f"those of the network, {list(shapes[name]) if name in shapes else 'none'}"
        raise InputError(phrase(WHERE, "the shapes of the weights", expected, received, _COPY))
    network = task.network(loaded.config.options.network)
    network.load_state_dict(dict(loaded.weights))
    return task, network.eval()


def read_json(path: Path) -> dict[str, Any]:
    """The mapping in a file. Raises InputError for what `read_bytes` refuses and for what is no mapping of JSON."""
    return _parsed(read_bytes(path, JSON_BYTES, WHERE), path)


def _task_file(folder: Path, name: str, expected: str) -> dict[str, Any]:
    if not _NAME.match(name):
        raise InputError(phrase(WHERE, "the name of a file of the task", "such as labels.json", repr(name), _COPY))
    content = read_bytes(folder / name, JSON_BYTES, WHERE)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise InputError(phrase(WHERE, f"the hash of {name}", expected, found, _COPY))
    return _parsed(content, folder / name)


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        received = f"{path} ({error})"
        raise InputError(phrase(WHERE, path.name, "a file of JSON", received, _COPY)) from None
    if not isinstance(found, dict):
        raise InputError(phrase(WHERE, path.name, "a mapping", type(found).__name__, _COPY))
    return found
