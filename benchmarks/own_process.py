"""What can be measured only in a process of its own: the import, and the first call of a new cell."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import ostinato

IMPORT = """
import time, torch
start = time.perf_counter()
import ostinato
print(time.perf_counter() - start)
"""

FIRST = """
import sys, time, torch, ostinato
from torch import sigmoid, tanh

@ostinato.cell
def unseen(W, U, b, d, x, h, c):
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = 0.99 * f * c + i * g
    h = o * tanh(c)
    return h, c

def call(layer):
    x = torch.randn(5, 2, 8)
    if training:
        layer(x)[0].sum().backward()
    else:
        with torch.inference_mode():
            layer(x)

training = sys.argv[1] == "training"
call(ostinato.RNN(8, 8))
layer = ostinato.Recurrent(unseen, 8, 8)
start = time.perf_counter()
call(layer)
print(time.perf_counter() - start)
"""
"""Another cell is called before, so that torch's and the compiler's own first use are not in the figure."""


def import_seconds(repeats: int) -> float:
    """`import ostinato` after `import torch`, median of fresh processes."""
    return median(_run(IMPORT) for _ in range(repeats))


def first_call_seconds(training: bool, repeats: int = 3) -> tuple[float, float]:
    """(with an empty cache, with the cache that this leaves): an LSTM's equations with one more factor; medians."""
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for found in (cold, warm):
                found.append(_run(FIRST, "training" if training else "inference", OSTINATO_CACHE=folder))
    return median(cold), median(warm)


def _run(code: str, *arguments: str, **environment: str) -> float:
    source = str(Path(ostinato.__file__).parent.parent)
    paths = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH", "")) if part)
    # A file, because a cell's equations are read from its source.
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "measured.py"
        script.write_text(code, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            env={**os.environ, "PYTHONPATH": paths, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"own_process: a measured process failed. {done.stderr[-2000:]}")
    return float(json.loads(done.stdout))
