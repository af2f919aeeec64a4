"""One step of a stream from Python, B = 1, one thread, beside ONNX Runtime and torch.nn.

    python benchmarks/streaming_steps.py [--million] [--write docs/streaming.md]
    python benchmarks/streaming_steps.py --quick

LSTM and GRU with C = H of 16 to 512: `Stream.step` with bound buffers, with a tensor and `out=`, with a tensor, with a
NumPy array; ONNX Runtime with io-binding, each binding's outputs being the next one's inputs, and its `run`; torch.nn's
cell, and its layer with T = 1; `step` of our own layer. Every way is checked before it is timed: ours must have the
bits of the layer's own call, the others its values. Then all take turns in one process; a ratio is the median over
turns of (our time / the other's in the same turn). Python's share is the median of (the time of a call - that of the
compiled step in a loop of compiled code).

--million runs a million steps and fails where the memory of the process grows or a step leaves an allocation.
Results go to benchmarks/results/streaming-UNIT.json, UNIT the vector unit; --quick writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import streaming_calls as calls
import streaming_memory as memory
import streaming_page as tables
import torch
from report import fill, markdown_table

from ostinato.apps.environment import environment

RESULTS = Path(__file__).parent / "results"
KINDS: tuple[calls.Kind, ...] = ("LSTM", "GRU")
SIZES = (16, 32, 64, 128, 256, 512)
TURN, BLOCK = 1e-3, 500
"""Seconds of a way in one turn, about; single steps of a way before the other's turn."""


@dataclass(frozen=True)
class Size:
    """What was measured of one kind and size.

    micros   way → µs of a step, the median over turns; "compiled" is the compiled step without Python
    ratios   way of ours → other's way → our time / its time
    shares   way of ours → µs of a step that Python adds
    single   way → µs of a single step: p50, p99, p99.9 of `counted`
    """

    kind: calls.Kind
    hidden: int
    micros: dict[str, float]
    ratios: dict[str, dict[str, float]]
    shares: dict[str, float]
    single: dict[str, list[float]]
    counted: int


def measure(kind: calls.Kind, hidden: int, seconds: float, counted: int) -> Size:
    """Checks, then times all ways in turns for about `seconds`, then single steps. Raises measure.Unequal."""
    found = calls.ways(kind, hidden)
    calls.check(kind, hidden, found)
    counts = {name: _count(way) for name, way in found.items()}
    each = _turns(found, counts, seconds)
    return Size(
        kind,
        hidden,
        {name: float(np.median(times)) for name, times in each.items()},
        {way: {peer: float(np.median(each[way] / each[peer])) for peer in calls.PEERS} for way in calls.OURS},
        {way: float(np.median(each[way] - each["compiled"])) for way in calls.OURS},
        _single(found, counted),
        counted,
    )


def _turns(found: dict[str, calls.Way], counts: dict[str, int], seconds: float) -> dict[str, np.ndarray]:
    """Way → µs of a step in each turn, for about `seconds`, at least 5 turns.

    Two steps before the timed ones bring a way's weights back into the caches, which the others have filled.
    """
    each: dict[str, list[float]] = {name: [] for name in found}
    stop = time.perf_counter() + seconds
    while len(each["bound"]) < 5 or time.perf_counter() < stop:
        for name, way in found.items():
            way.many(2)
            start = time.perf_counter()
            way.many(counts[name])
            each[name].append((time.perf_counter() - start) / counts[name] * 1e6)
    return {name: np.array(times) for name, times in each.items()}


def _count(way: calls.Way) -> int:
    """How many calls fill a turn; an even number, as two bindings take turns."""
    way.many(20)
    start = time.perf_counter()
    way.many(20)
    return max(2, 2 * round(10 * TURN / (time.perf_counter() - start)))


def _single(found: dict[str, calls.Way], counted: int) -> dict[str, list[float]]:
    """Way → (p50, p99, p99.9) in µs of steps that are timed one by one."""
    singles = {name: way.one for name, way in found.items() if way.one is not None}
    spent = {name: np.zeros(counted) for name in singles}
    for first in range(0, counted, BLOCK):
        for one, times in zip(singles.values(), spent.values()):
            for k in range(first, min(first + BLOCK, counted)):
                start = time.perf_counter_ns()
                one()
                times[k] = time.perf_counter_ns() - start
    return {name: [float(p) / 1e3 for p in np.percentile(times, (50, 99, 99.9))] for name, times in spent.items()}


def clock() -> float:
    """µs between two readings of the clock with nothing between them."""
    readings = [time.perf_counter_ns() for _ in range(10_001)]
    return median(b - a for a, b in zip(readings, readings[1:])) / 1e3


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, time, print and write; 1 where --million finds memory that grows."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0, help="for each kind and size")
    options.add_argument("--steps", type=int, default=100_000, help="single steps for the percentiles")
    options.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="part of them writes nothing")
    options.add_argument("--million", action="store_true", help="also a million steps, with the memory of the process")
    options.add_argument("--quick", action="store_true", help="a first look at 16 and 64 units; writes nothing")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables between the page's markers")
    chosen = options.parse_args(arguments)
    if chosen.quick:
        chosen.seconds, chosen.steps, chosen.sizes = 0.1, 1_000, [16, 64]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    torch.set_num_threads(1)
    record: dict[str, Any] = {"date": date.today().isoformat(), "environment": environment(), "load": load}
    record |= {"clock": clock(), "sizes": []}
    print(f"load before {load:.1f}", flush=True)
    for kind, hidden in product(KINDS, chosen.sizes):
        record["sizes"].append(asdict(measure(kind, hidden, chosen.seconds, chosen.steps)))
        lines = tables.times(record)
        print("\n".join(lines if len(record["sizes"]) == 1 else lines[-1:]), flush=True)
    status = 0
    if chosen.million:
        held = memory.measure("LSTM", 64, 20_000 if chosen.quick else 1_000_000)
        record["memory"] = {**asdict(held), "growth": held.growth, "flat": held.flat}
        print("\n".join(memory.table(held)))
        status = int(not held.flat)
    print("\n".join(markdown_table(["target", "must be", "measured", "met"], tables.targets(record))))
    print("\n".join([*tables.singles(record), tables.circumstances(record)]))
    if not chosen.quick and chosen.sizes == list(SIZES):
        _write(record, chosen.write)
    return status


def _write(record: dict[str, Any], page: Path | None) -> None:
    """The result file of this vector unit, and the tables of all units into the page."""
    RESULTS.mkdir(exist_ok=True)
    unit = str(record["environment"]["vector unit"]).lower()
    path = RESULTS / f"streaming-{unit}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if page:
        records = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RESULTS.glob("streaming-*.json"))]
        fill(page, "streaming", tables.page(records))


if __name__ == "__main__":
    sys.exit(main())
