"""The arrays of a .mat file, which a process of its own reads, so that a crash of scipy's reader is a refusal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np

from ..arrays import load
from ..libraries import needed
from ..refusals import refused
from .mat_reader import NEW_FORMAT, NOT_READ, READ

READER = Path(__file__).with_name("mat_reader.py")
LEAST_MEMORY, OF_A_BYTE = 4 * 1024**3, 8
"""Bytes that the process may take for any file, and for each byte of it."""
LEAST_SECONDS, BYTES_OF_A_SECOND = 60, 1 << 20
"""The time that it may take for any file, and the bytes for which it may take a second more."""


def cells_of_mat(data: bytes, path: Path) -> dict[str, list[np.ndarray]]:
    """The variables of a .mat file by name: the cells of a cell array, and one array of any other.

    Raises InputError for a damaged file, one of MATLAB 7.3, and one that takes too much memory or time.
    """
    needed("scipy", "reading a .mat file")
    memory = LEAST_MEMORY + OF_A_BYTE * len(data)
    seconds = LEAST_SECONDS + len(data) // BYTES_OF_A_SECOND
    # The modules are those of this process; -I, so that no variable or folder of the user adds others.
    command = [sys.executable, "-I", str(READER), str(memory), *(folder for folder in sys.path if folder)]
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each thread of OpenBLAS takes of the memory
    try:
        ended = subprocess.run(
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=one_thread, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"not read in {seconds} seconds") from error
    if ended.returncode == NEW_FORMAT:
        remedy = "Save it by save('-v7', ...) in MATLAB, or as .npz."
        raise refused(path, "the file", "of MATLAB 4 to 7.2", "one of MATLAB 7.3", remedy)
    if ended.returncode == NOT_READ:
        raise _damaged(path, " ".join(ended.stdout.decode("utf-8", "replace").split())[:80])
    if ended.returncode != READ:
        raise _damaged(path, f"scipy's reader ended by {_end_of(ended.returncode)}")
    arrays = load(ended.stdout, path)
    counts = dict(zip(arrays["names"].tolist(), arrays["counts"].tolist()))
    cells = (arrays[str(number)] for number in range(sum(counts.values())))
    return {name: list(islice(cells, count)) for name, count in counts.items()}


def _damaged(path: Path, why: str) -> Exception:
    return refused(path, "the file", "a whole .mat file", f"one that cannot be read ({why})", "Write it again.")


def _end_of(status: int) -> str:
    """The signal that ended a process, where one did."""
    return signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
