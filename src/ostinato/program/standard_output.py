"""Standard output: where a full disk is under it the command ends with one sentence, and never with a traceback.

A pipe that its reader has closed, as `head` does, stays a BrokenPipeError, which the command line ends quietly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from ..errors import StorageError, phrase

MAKE_ROOM = "Make room, or redirect the output to another disk."


def let_go(stream: TextIO) -> None:
    """Sends what is still buffered nowhere: flushing it at the end of the process would be the same error again."""
    with suppress(OSError, ValueError):  # a stream of a test has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def unwritable(where: str, error: OSError, remedy: str = MAKE_ROOM) -> StorageError:
    """The refusal of an output that could not be written; `where` begins its message."""
    return StorageError(phrase(where, "standard output", "writable", str(error.strerror or error), remedy))


@contextmanager
def written_out(where: str, stream: TextIO, remedy: str = MAKE_ROOM) -> Iterator[None]:
    """A context that writes to `stream`, which is flushed at its end, and raises no other OSError.

    Raises StorageError where it cannot be written, with `remedy`; a closed pipe stays a BrokenPipeError.
    """
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        let_go(stream)
        raise unwritable(where, error, remedy) from error


def say(text: str, where: str = "ostinato", remedy: str = MAKE_ROOM) -> None:
    """Prints lines on standard output. Raises StorageError as `written_out` does."""
    with written_out(where, sys.stdout, remedy):
        print(text)
