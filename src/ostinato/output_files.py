"""Files that a function of the library writes for its caller: whole or not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from .errors import InputError, StorageError, phrase


def file_path(where: str, name: str, given: str | PathLike[str], endings: tuple[str, ...] = ()) -> Path:
    """The path of a file to write. `where` begins the message of an error, `name` is that of the argument.

    endings  of which the file's name must have one, in either case; () for any name

    Raises InputError for what is no path of text, for a folder, an empty name and another ending.
    """
    ending = endings[0] if endings else ""
    example = f'Write "model{ending}", say.'
    if not isinstance(given, str | PathLike) or not isinstance(os.fspath(given), str):
        raise InputError(phrase(where, name, "a path", type(given).__name__, example))
    path = Path(given)
    if not path.name or path.is_dir():
        received = f"the folder {os.fspath(given)!r}" if os.fspath(given) else "an empty name"
        raise InputError(phrase(where, name, "the name of a file", received, example))
    if endings and path.suffix.lower() not in endings:
        remedy = f"Write {str(path.with_suffix(ending))!r}."
        raise InputError(phrase(where, name, f"a name ending in {' or '.join(endings)}", repr(str(path)), remedy))
    return path


@contextmanager
def written_beside(where: str, name: str, path: Path) -> Iterator[Path]:
    """A new file beside `path`, which is moved to its place at the end: an earlier file there is replaced as a whole.

    What is there and is no regular file, a pipe or a device, is written to itself. Raises StorageError for an OSError
    inside, and where the folder cannot be written: the earlier file is then left as it was.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        target = path.resolve()  # a link stays one
        aside = target.with_name(f".{secrets.token_hex(4)}{target.suffix}")
        try:
            aside.touch(exist_ok=False)
            yield aside
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        remedy = "Name a file in a folder that exists and can be written, on a disk with room."
        received = f"{path} ({error.strerror or error})"
        raise StorageError(phrase(where, name, "a file that can be written", received, remedy)) from error


def write_file(where: str, name: str, path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, or replaces it as a whole. Raises StorageError as `written_beside` does."""
    with written_beside(where, name, path) as aside:
        aside.write_bytes(content if isinstance(content, bytes) else content.encode())
