"""The files of a training, for commands that read them again."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError, phrase
from ..options import DataOptions, TrainOptions


def beside(folder: Path, options: TrainOptions) -> TrainOptions:
    """The same options, where a relative path that is not there, but is beside the model folder, begins at that place.

    By default a model folder lies where the training ran, and a command about it may run elsewhere.
    """

    def found(path: Path | None) -> Path | None:
        there = path is None or path.is_absolute() or path.exists()
        return path if path is None or there or not (folder.parent / path).exists() else folder.parent / path

    data = options.data
    paths = tuple(found(Path(path)) for path in data.paths)
    return options.but(paths=paths, valid=found(data.valid), test=found(data.test))


def check_there(where: str, options: DataOptions, remedy: str) -> None:
    """Raises InputError where a file of the training is no longer there; `where` begins the message."""
    for path in (*options.paths, options.valid, options.test):
        if path is not None and not Path(path).exists():
            received = f"none at {path}" + ("" if Path(path).is_absolute() else ", here or beside the model folder")
            raise InputError(phrase(where, "the file of the training", "still there", received, remedy))
