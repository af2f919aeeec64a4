"""The command line in this process, as a user types it."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.apps.cli import main


@dataclass(frozen=True)
class Ended:
    """What a command line ended with."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of --json."""
        return json.loads(self.out)


def ostinato(folder: Path, *words, typed: str = "", out: io.StringIO | None = None) -> Ended:
    """Runs one command line in a folder, with `typed` on its stdin, and `out` in place of its stdout."""
    before, out, err = (sys.argv, sys.stdin), io.StringIO() if out is None else out, io.StringIO()
    sys.argv, sys.stdin = ["ostinato", *map(str, words)], io.StringIO(typed)
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
                status = 0
            except SystemExit as stopped:
                status = stopped.code or 0
    finally:
        sys.argv, sys.stdin = before
    return Ended(status, out.getvalue(), err.getvalue())
