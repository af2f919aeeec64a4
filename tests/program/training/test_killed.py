"""A fit that is killed at any moment, a write included, and resumed ends with the same bits as one that is not.

One process imports torch and forks a child for each run, so that a test costs no import per run. A child kills itself
by SIGKILL at a moment that the test names: after an update, or at a call of the system inside a write.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ostinato.program.options import FitOptions
from program.training.made import fitted

TESTS = Path(__file__).parent.parent.parent
RUNS = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from program.training.made import fitted
from ostinato.program import storage
from ostinato.program.options import FitOptions
from ostinato.program.training.records import Silent

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class KilledAfter(Silent):
    def __init__(self, last):
        self.last = last
    def updated(self, update):
        if update == self.last:
            die()

def dying(plain, calls):
    # The call with this number does not return: half of what it writes is written.
    count = [0]
    def call(*values):
        count[0] += 1
        if count[0] == calls:
            die()
        return plain(*values)
    return call

def run(folder, moment, resume):
    kind, _, number = moment.partition(" ")
    listener = KilledAfter(int(number) if kind == "update" else -1)
    if kind in ("fsync", "replace"):
        setattr(storage.os, kind, dying(getattr(os, kind), int(number)))
    found, _ = fitted(FitOptions(updates=40, seed=3), folder=folder, resume=resume, listener=listener)
    (folder / "result.json").write_text(json.dumps([found.sha256, found.updates, [e.metric for e in found.history]]))

fitted(FitOptions(updates=1))  # the children inherit the compiled kernels; one thread, so that a fork is safe
for folder, moments in json.loads(sys.argv[1]):
    folder = Path(folder)
    for number, moment in enumerate(moments):
        resume = (folder / "state.safetensors").exists()
        child = os.fork()
        if not child:
            try:
                run(folder, moment, resume)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([str(folder), moment, resume, ended]), flush=True)
"""


def kill_and_resume(place, plans):
    """For each plan, a list of moments: (what each of its runs ended with, the result of the last)."""
    folders = [place / str(k) for k in range(len(plans))]
    for folder in folders:
        folder.mkdir()
    given = json.dumps([[str(f), moments] for f, moments in zip(folders, plans, strict=True)])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(RUNS), given],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    ended = [[(m, resume, end) for f, m, resume, end in lines if f == str(folder)] for folder in folders]
    return ended, [json.loads((f / "result.json").read_text()) for f in folders], done.stderr


PLANS = [
    ["update 1", "end"],
    ["update 17", "update 18", "update 39", "end"],
    ["fsync 1", "end"],  # inside the write of the first state: there is none yet
    ["fsync 9", "replace 6", "fsync 4", "end"],
    ["replace 1", "replace 2", "replace 3", "update 30", "end"],
    ["fsync 2", "update 40", "end"],
]
"""Each write has two files; each file fsync, replace, fsync of the folder."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork and SIGKILL")
def test_killed_at_any_moment_and_resumed_the_weights_have_the_same_bits(tmp_path):
    expected, _ = fitted(FitOptions(updates=40, seed=3))
    ended, results, said = kill_and_resume(tmp_path, PLANS)
    for plan, runs, result in zip(PLANS, ended, results, strict=True):
        assert [end for _, _, end in runs] == [-9] * (len(plan) - 1) + [0], (runs, said)
        assert any(resume for _, resume, _ in runs) or plan[0] in ("fsync 1",), runs
        assert result == [expected.sha256, 40, [e.metric for e in expected.history]], plan
