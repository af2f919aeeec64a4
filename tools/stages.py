"""Longer jobs as stages: one line for each, and the output of a command only where it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAIL = 60
"""Lines that are printed of a command that failed."""


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Prints what begins, and the seconds that it took."""
    print(f"{what} ...", end=" ", flush=True)
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def run(
    words: Sequence[str | Path],
    cwd: Path,
    *,
    statuses: tuple[int, ...] = (0,),
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command outside of the source tree's reach: without PYTHONPATH, unless `variables` has it.

    Ends this program, with the end of the command's output, where its exit status is none of `statuses`.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**environment, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in statuses:
        lines = (done.stdout + done.stderr).splitlines()
        fail(f"`{' '.join(str(word) for word in words)}` ended with {done.returncode}:", *lines[-TAIL:])
    return done


def fail(*lines: str) -> None:
    """Prints why, and ends with status 1."""
    print("failed", *lines, sep="\n", file=sys.stderr, flush=True)
    raise SystemExit(1)


def new_environment(folder: Path) -> Path:
    """The interpreter of a new environment that holds nothing but pip."""
    run([sys.executable, "-m", "venv", folder], folder.parent)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def install(python: Path, words: Sequence[str | Path], *options: str | Path) -> None:
    """Installs what `words` name, with options of pip."""
    run([python, "-m", "pip", "install", "--quiet", "--no-compile", *options, *words], python.parent)
