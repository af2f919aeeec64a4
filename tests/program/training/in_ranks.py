"""Several ranks of one training on this machine, forked from a process that has imported everything once.

`run_jobs` starts that process. For each job it forks the ranks, each with the variables of torchrun, and reads what
they ended with and what they printed. A job is a function of `rank_jobs`, or a command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent.parent
RUNNER = """
import sys
from program.training import rank_jobs
rank_jobs.run_all(sys.argv[1], sys.argv[2])
"""


@dataclass(frozen=True)
class Ended:
    """What one rank of a job ended with: its status, or the negative number of the signal that ended it."""

    status: int
    out: str
    err: str
    result: Any
    """What a function returned; None of a command."""


def run_jobs(place: Path, jobs: list[dict[str, Any]]) -> dict[str, list[Ended]]:
    """Name of each job → its ranks. A job has name, size, and words or function; its ranks run in `place`.

    do  a list of (rank, update, name of a signal): the rank sends itself the signal before that update of the fit
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    environment = {**os.environ, **threads, "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER, str(place), json.dumps(jobs)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for job in jobs:
        ranks = []
        for rank in range(job["size"]):
            folder = place / "ranks" / f"{job['name']} {rank}"
            result = folder / "result.json"
            ranks.append(
                Ended(
                    int((folder / "status").read_text()),
                    (folder / "out").read_text(encoding="utf-8"),
                    (folder / "err").read_text(encoding="utf-8"),
                    json.loads(result.read_text()) if result.exists() else None,
                )
            )
        found[job["name"]] = ranks
    return found
