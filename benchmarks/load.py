"""Layers on a busy machine: ours and torch.nn's, each also with one thread, beside no, one and two busy processes.

    python benchmarks/load.py [--only TEXT] [--busy 0 1 2] [--rounds 5] [--write docs/performance.md]
    python benchmarks/load.py --against COMMIT [--pairs 30]

A round is a block of calls of each of the four, one block after the other; a block takes at least 0.1 s and three
calls. Its figure is its time over its calls, so that calls that lost their processor count; the table has the median of
the rounds. Results are compared with torch.nn's before a shape is timed. With --write each line is recorded when it is
timed, and the table has the last line of each shape. --against compares with another commit on the
machine as it is, in alternating blocks of two processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
from measure import check, job, pair, turned
from record import code_digest
from report import fill, markdown_table, mean, measured
from shapes import INFER, SHAPES, TRAIN, Kind, Shape
from sides import two_sides

from ostinato.kernels.system.openmp import kernel_threads
from ostinato.kernels.system.target import host

BLOCK_SECONDS, BLOCK_CALLS = 0.1, 3
FEW_ROWS: tuple[Kind, ...] = ("LSTM", "GRU", "RNN tanh")
STEPS = (100, 400, 1000)
WAYS = ("ours", "torch", "ours, one thread", "torch, one thread")
LEAST_OF_TORCH, MOST_OF_ONE = 0.97, 1.5
RECORD = Path(__file__).parent / "results" / f"load-{host().name}.jsonl"


def few_rows() -> list[Shape]:
    """B = 1 and 2 with H from 64 to 512; the number of steps takes turns."""
    sizes = list(product(FEW_ROWS, (INFER, TRAIN), (1, 2), (64, 128, 256, 512)))
    return [Shape(kind, mode, STEPS[k % 3], B, H, H) for k, (kind, mode, B, H) in enumerate(sizes)]


@dataclass(frozen=True)
class Line:
    """One shape beside `busy` processes: milliseconds of a call, by way."""

    name: str
    busy: int
    times: dict[str, float]
    code: str = ""
    """A digest of the sources that were timed."""

    @property
    def of_torch(self) -> float:
        """torch.nn's time over ours, with as many threads."""
        return self.times["torch"] / self.times["ours"]

    @property
    def of_one(self) -> float:
        """Our time over our own single thread's."""
        return self.times["ours"] / self.times["ours, one thread"]

    @property
    def met(self) -> bool:
        """Both targets; without load there is none."""
        return not self.busy or (self.of_torch >= LEAST_OF_TORCH and self.of_one <= MOST_OF_ONE)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute without end, of this process's priority."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def block(call: Callable[[], object]) -> float:
    """Seconds of one call, in a block of them."""
    count, begin = 0, time.perf_counter()
    while True:
        call()
        count += 1
        spent = time.perf_counter() - begin
        if count >= BLOCK_CALLS and spent >= BLOCK_SECONDS:
            return spent / count


def measure(shape: Shape, rounds: int) -> dict[str, float]:
    """Milliseconds of a call by way, medians of the rounds; each block begins after a call that is not timed."""
    ours, theirs = (job(layer, shape) for layer in pair(shape))
    threads = torch.get_num_threads()
    blocks: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            call, alone = ours if way.startswith("ours") else theirs, way.endswith("one thread")
            try:
                torch.set_num_threads(1 if alone else threads)
                with kernel_threads(1 if alone else threads):
                    call()
                    blocks[way].append(block(call))
            finally:
                torch.set_num_threads(threads)
    return {way: 1e3 * statistics.median(times) for way, times in blocks.items()}


def checked(shape: Shape) -> None:
    """Compares the two layers; raises measure.Unequal where they differ."""
    found = [job(layer, shape)() for layer in pair(shape)]
    found = [{name: value.clone() for name, value in values.items()} for values in found]
    if unseen := turned(shape, *found):
        found = [job(layer, shape, unseen)() for layer in pair(shape)]
    check(shape, *found)


def cell(line: Line | None) -> str:
    """Both ratios of a line."""
    return "" if line is None else f"{line.of_torch:.2f} · {line.of_one:.2f}{'' if line.met else ' !'}"


def table(lines: Sequence[Line]) -> list[str]:
    """A row for each shape, its two ratios for each number of busy processes, and a row of means and extremes."""
    loads = sorted({line.busy for line in lines})
    head = ["shape", *(f"{n} busy: times torch.nn · of one thread" for n in loads)]
    by_name: dict[str, dict[int, Line]] = {}
    for line in lines:
        by_name.setdefault(line.name, {})[line.busy] = line
    rows = [[name, *(cell(found.get(n)) for n in loads)] for name, found in by_name.items()]
    rows.append(["geometric mean"])
    rows.append(["worst"])
    for n in loads:
        here = [line for line in lines if line.busy == n]
        rows[-2].append(f"{mean(x.of_torch for x in here):.2f} · {mean(x.of_one for x in here):.2f}")
        rows[-1].append(f"{min(x.of_torch for x in here):.2f} · {max(x.of_one for x in here):.2f}")
    return markdown_table(head, rows)


def recorded() -> dict[tuple[str, int], Line]:
    """(name of the shape, busy processes) → its last line; a run that times a part replaces those of that part."""
    if not RECORD.exists():
        return {}
    lines = [Line(**json.loads(line)) for line in RECORD.read_text(encoding="utf-8").splitlines()]
    timed = {shape.name for shape in (*SHAPES, *few_rows())}
    return {(line.name, line.busy): line for line in lines if line.name in timed}


def against(commit: str, shapes: Sequence[Shape], pairs: int) -> None:
    """The working tree beside a commit, on the machine as it is; prints a line for each shape and the mean."""
    worker = [str(Path(__file__).with_name("load_worker.py")), json.dumps([asdict(shape) for shape in shapes])]
    ratios = []
    with two_sides(commit, worker) as (before, after):
        for name in after.names:
            times = [(float(before.run(name)), float(after.run(name))) for _ in range(pairs)]
            ratios.append(statistics.median(a / b for a, b in times))
            print(f"{name}: {ratios[-1]:.3f} times as fast as before, {1e3 * times[-1][1]:.3f} ms", flush=True)
    print(f"geometric mean {mean(ratios):.3f}, least {min(ratios):.3f}")


def main() -> int:
    """Prints each shape as it is timed; 1 if one under load misses its target."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", default="", help="shapes whose name contains this")
    options.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="how many busy processes beside")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument(
        "--write", type=Path, help="a page with the markers <!-- load: begin --> and <!-- load: end -->"
    )
    options.add_argument("--against", help="compare with this commit instead")
    options.add_argument("--pairs", type=int, default=30)
    chosen = options.parse_args()
    shapes = [s for s in (*SHAPES, *few_rows()) if chosen.only.lower() in s.name.lower()]
    if chosen.against:
        against(chosen.against, shapes, chosen.pairs)
        return 0
    for shape in shapes:
        checked(shape)
    lines, timed, code = recorded() if chosen.write else {}, [], code_digest()
    for busy in chosen.busy:
        with busy_processes(busy):
            for shape in shapes:
                timed.append(line := Line(shape.name, busy, measure(shape, chosen.rounds), code))
                lines[line.name, line.busy] = line
                milliseconds = ", ".join(f"{way} {value:.3f}" for way, value in line.times.items())
                ratios = f"{line.of_torch:.2f} times torch.nn, {line.of_one:.2f} of one thread"
                print(f"{busy} busy: {line.name}: {milliseconds} ms: {ratios}{'' if line.met else '  !'}", flush=True)
                if chosen.write:
                    text = "".join(json.dumps(asdict(one)) + "\n" for one in lines.values())
                    RECORD.write_text(text, encoding="utf-8")
    if chosen.write:
        by_code = Counter(line.code for line in lines.values())
        sources = ", ".join(f"{count} lines with sources {code}" for code, count in by_code.items())
        fill(chosen.write, "load", measured([*table([*lines.values()]), "", f"{sources}."]))
    return int(not all(line.met for line in timed))


if __name__ == "__main__":
    sys.exit(main())
