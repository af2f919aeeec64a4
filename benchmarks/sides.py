"""Two source trees side by side: a process of each, which run named calls in turns.

A worker is a script that prints the names of its calls, with | between, and then answers every line that names one of
them with a line of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Side:
    """A process that runs the calls of one source tree.

    source  its folder `src`
    worker  what Python runs: -c and code, or a file and its arguments
    """

    def __init__(self, source: Path, worker: Sequence[str]):
        environment = {**os.environ, "PYTHONPATH": str(source)}
        self.process = subprocess.Popen(
            [sys.executable, "-u", *worker], stdin=-1, stdout=-1, text=True, env=environment
        )
        self.names = self._read().split("|")

    def run(self, name: str) -> str:
        """The answer to one call."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("a side ended before it answered; its error is above")
        return line


@contextmanager
def two_sides(commit: str, worker: Sequence[str]) -> Iterator[tuple[Side, Side]]:
    """(a commit's side, the working tree's)"""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--detach", tree, commit], check=True, stdout=-3)
        sides: list[Side] = []
        try:
            for source in (tree / "src", ROOT / "src"):
                sides.append(Side(source, worker))
            yield sides[0], sides[1]
        finally:
            for side in sides:
                side.process.kill()
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)
