"""One process trains into a folder: the others are refused before they begin."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import BinaryIO, Self

from ...errors import InputError, phrase
from ..folder.save import RESUME

OPTIONS = "options.json"
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What the system says of a lock that another process has."""
_FAR = 1 << 30
"""The byte that Windows locks, which nobody could read any more; options.json is shorter."""


class FolderLock:
    """A lock on the options of an unfinished training, until `release` or the end of the process, also by a kill.

    Where there are none, or the file system has no locks, nothing is held. Raises InputError where another process
    holds them.
    """

    def __init__(self, folder: Path, where: str) -> None:
        path = folder / RESUME / OPTIONS
        try:
            self._file: BinaryIO | None = path.open("r+b")
        except OSError:  # what cannot be read or written is refused where it is read or written
            self._file = None
            return
        if not _locked(self._file):
            self.release()
            received = f"{folder}: another process is still training into this folder"
            remedy = "Wait until it ends, or end it."
            raise InputError(phrase(where, "--resume", "a folder in which no training runs", received, remedy))

    def release(self) -> None:
        """Lets others train into the folder, and the folder be removed; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _locked(file: BinaryIO) -> bool:
    """Whether no other process has the file locked; it is now locked for this one."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _TAKEN
    return True
