"""What a small call costs beside another commit: Python around the kernels, timed in turns in one run.

    .venv/bin/python benchmarks/call_cost.py --against COMMIT

prints, for each layer and kind of call, the median time on both sides in microseconds and the median of their ratios.

    .venv/bin/python benchmarks/call_cost.py --new-sizes

prints what a call of a size not seen before costs beyond one of a known size: microseconds of this thread, as the lower
quartile of many sizes and their median, and Python calls, which no load of the machine changes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable

import torch
from sides import two_sides
from torch import Tensor

import ostinato

WORKER = """
import sys, time
import torch, ostinato
torch.set_num_threads(2)
calls = {}
for kind in ("LSTM", "GRU", "RNN"):
    one, stack = getattr(ostinato, kind)(64, 64), getattr(ostinato, kind)(64, 64, 2, bidirectional=True)
    x, several = torch.randn(1, 1, 64), torch.randn(20, 4, 64)
    calls[f"{kind}, T = B = 1, inference"] = torch.no_grad()(lambda one=one, x=x: one(x))
    calls[f"{kind}, T = B = 1, training"] = lambda one=one, x=x: one(x)[0].sum().backward()
    calls[f"{kind}, T = 20, B = 4, two layers, both directions"] = torch.no_grad()(lambda s=stack, x=several: s(x))
    calls[f"{kind}, T = 20, B = 4, lengths"] = torch.no_grad()(lambda o=one, x=several: o(x, lengths=[20, 3, 9, 5]))
for call in calls.values():
    for _ in range(50):
        call()
print("|".join(calls), flush=True)
for line in sys.stdin:
    call = calls[line.strip()]
    for _ in range(20):
        call()
    begin = time.perf_counter()
    for _ in range(200):
        call()
    print((time.perf_counter() - begin) / 200 * 1e6, flush=True)
"""


ROWS, FEATURES = 5, 16
_REPEATS = 6
"""Calls of one size, after which it counts as known."""


def _whole_call(layer: ostinato.Recurrent, steps: int, lengths: Tensor | None, training: bool) -> Callable[[], None]:
    """The forward pass, and in training the backward pass, on sequences of this many steps."""
    x = torch.randn(steps, ROWS, layer.input_size)

    def call() -> None:
        with torch.set_grad_enabled(training):
            output = layer(x, lengths=lengths)[0]
        if training:
            output.backward(torch.ones_like(output))

    return call


def python_calls(call: Callable[[], None]) -> int:
    """Of one call; the load of the machine does not change it."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def _seconds(call: Callable[[], None]) -> float:
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


def new_sizes(kind: str, ragged: bool, training: bool, count: int = 160) -> str:
    """The cost of new sizes of a layer of this cell, as one line of the table.

    Calls of new sizes alternate with those of a layer with one feature less, which is as fast and has had all sizes, so
    that both are timed once, with caches in the same state.
    """
    torch.manual_seed(0)
    layer, known = ostinato.Recurrent(kind, FEATURES, FEATURES), ostinato.Recurrent(kind, FEATURES - 1, FEATURES)
    sizes = [(steps, torch.randint(1, steps + 1, (ROWS,)) if ragged else None) for steps in range(4, 4 + count)]
    known_calls = [_whole_call(known, *size, training) for size in sizes]
    for call in known_calls:
        for _ in range(_REPEATS):
            call()
    extra, counts = [], []
    for number, (size, known_call) in enumerate(zip(sizes, known_calls)):
        call = _whole_call(layer, *size, training)
        known_call()
        if number % 10 == 9:
            counts.append(python_calls(call) - python_calls(known_call))
        else:
            extra.append((_seconds(call) - _seconds(known_call)) * 1e6)
    low, median, _ = statistics.quantiles(extra[20:])
    way, batch = "training" if training else "inference", "lengths" if ragged else "dense"
    times = f"{low:.0f} us in the lower quartile, {median:.0f} in the median"
    return f"{kind}, {batch}, {way}: {times}, {counts[-1]} Python calls"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against", default="HEAD", help="the commit to compare the working tree with")
    parser.add_argument("--pairs", type=int, default=30, help="how often both sides are timed, in turns")
    parser.add_argument("--new-sizes", action="store_true", help="measure calls of sizes not seen before instead")
    given = parser.parse_args()
    if given.new_sizes:
        for kind, ragged, training in itertools.product(("lstm", "gru"), (False, True), (False, True)):
            print(new_sizes(kind, ragged, training), flush=True)
        return
    with two_sides(given.against, ["-c", WORKER]) as (before, after):
        for name in after.names:
            pairs = [(float(before.run(name)), float(after.run(name))) for _ in range(given.pairs)]
            a, b = (statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(new / old for old, new in pairs)
            print(f"{name}: {a:.1f} us before, {b:.1f} now, ratio {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
