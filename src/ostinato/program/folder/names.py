"""The name of a new model folder: an existing folder is never written into by another training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import StorageError, phrase


def default_folder(paths: Sequence[Path], task: str | None) -> Path:
    """NAME-model after the first file, or after the folder that holds several pieces of music."""
    first = Path(paths[0])
    folders = {Path(path).parent for path in paths}
    if task == "music" and len(paths) > 1 and len(folders) == 1 and first.parent.name:
        first = first.parent
    return Path(f"{first.name.partition('.')[0] or 'ostinato'}-model")


def new_folder(path: Path, where: str = "train") -> Path:
    """Makes the folder, or where it exists the first of `path-2`, `path-3`, … that does not; returns the one made.
    `where` begins the message of an error.

    Raises StorageError where no folder can be made there.
    """
    if path.name in ("", ".."):
        remedy = "Write --out model, say."
        raise StorageError(phrase(where, "the folder of the model", "the name of a new one", repr(str(path)), remedy))
    number = 1
    while True:
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        except FileExistsError as error:
            if not folder.exists():  # a part of the path above it is a file
                raise _unwritable(folder, error, where) from error
            number += 1
        except OSError as error:
            raise _unwritable(folder, error, where) from error


def _unwritable(folder: Path, error: OSError, where: str) -> StorageError:
    received = f"{folder} ({error.strerror or error})"
    remedy = "Choose another place with --out."
    return StorageError(phrase(where, "the folder of the model", "a new one that can be made", received, remedy))
