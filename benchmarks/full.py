"""The whole grid beside torch.nn: `make bench-full`, at most forty minutes, and any number of runs.

Finished points are kept in results/grid.jsonl and skipped by the next run, unless machine, versions or sources have
changed; so Ctrl-C and --minutes lose nothing. A grid of another vector width has a folder and markers of its own
(--results, --suffix). Tables and pictures are written from all points that are there. Each
point is timed only after outputs, states and gradients agree; then both layers take turns in one process.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import report
from measure import Unequal, time_pair
from peak import peak
from peers import installed, time_peers
from picture import draw
from record import Point, Record, Run, code_digest
from rich.console import Console
from shapes import DEEPER, GRID, KINDS, SHAPES, Shape, important_first

from ostinato.apps.environment import environment

RESULTS = Path(__file__).parent / "results"
LEAST_SECONDS, MOST_SECONDS = 0.2, 4.0
"""Bounds of the time of one point; what the run has left for each point lies between them, as a rule."""
PEAK_SECONDS = 0.01
"""After each point, for a burst that is faster than those at the beginning: no share may gain by a slow start."""
LEAST_CALLS, MOST_CALLS = 5, 400
"""Calls of each layer at one point: the first of a large one are slow where a virtual machine gets new memory."""


@dataclass
class Budget:
    """Wall clock: what is left is shared out evenly among the points that are left."""

    stop: float

    @property
    def over(self) -> bool:
        """Whether no further point may begin."""
        return time.monotonic() >= self.stop

    def seconds(self, points_left: int) -> float:
        """For the turns at one point; a fifth of the time goes to building, checking and warming up."""
        even = 0.8 * (self.stop - time.monotonic()) / points_left
        return min(MOST_SECONDS, max(LEAST_SECONDS, even))


def main(arguments: Sequence[str] | None = None) -> int:
    """Time what is not finished, then write; 1 if a point was refused."""
    chosen = _options(arguments)
    record, console = Record(chosen.results / "grid.jsonl"), Console()
    if chosen.minutes > 0:
        run = record.begin(date=date.today().isoformat(), environment=_environment(), peak=_peak(), code=code_digest())
        console.print(f"peak {run.peak['float32'] / 1e9:.0f} GFLOP/s in float32", highlight=False)
        wanted = selected(chosen.cells, chosen.only)
        shapes = [shape for shape in wanted if not record.finished(shape, run, chosen.older)]
        if chosen.order == "important-first":
            shapes = important_first(shapes)
        try:
            _time(shapes, record, run, chosen, console)
        except KeyboardInterrupt:
            console.print("stopped; what is finished is kept")
    points = list(record.points.values())
    refused = [point for point in points if point.refused]
    if any(point.timing for point in points):
        (chosen.results / "grid.md").write_text(report.page(points, refused), encoding="utf-8")
        draw(points, chosen.results)
        console.print(report.summary(points, refused), highlight=False, markup=False, soft_wrap=True)
        suffix = f"-{chosen.suffix}" * bool(chosen.suffix)
        if chosen.write:
            report.fill(chosen.write, f"grid{suffix}", report.summary(points, refused))
        if chosen.readme:
            grids = {"AVX-512": RESULTS / "grid.jsonl", "AVX2": RESULTS / "avx2" / "grid.jsonl"}
            widths = {name: [*Record(path).points.values()] for name, path in grids.items() if path.exists()}
            report.fill(chosen.readme, "speed", report.headline(widths))
    return 1 if refused else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=40.0, help="when to stop; 0 only writes tables and pictures")
    options.add_argument("--only", default="", metavar="TEXT", help="shapes whose name contains it")
    options.add_argument("--cells", default="", metavar="LIST", help=f"out of {', '.join(KINDS)}; all without it")
    options.add_argument("--order", choices=("important-first", "grid"), default="important-first")
    options.add_argument("--older", action="store_true", help="skip what other sources or versions finished, too")
    options.add_argument("--no-peers", action="store_true", help="leave out JAX and ONNX Runtime")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables between the page's markers")
    options.add_argument("--readme", type=Path, metavar="PAGE", help="also put the regimes between the page's markers")
    options.add_argument("--suffix", default="", metavar="TEXT", help="of the markers' names, such as avx2")
    options.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    return options.parse_args(arguments)


def selected(cells: str, only: str) -> list[Shape]:
    """The grid, what goes deeper, and the 16 named shapes, as far as --cells and --only ask for them."""
    kinds = [kind.strip() for kind in cells.split(",")] if cells else list(KINDS)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise SystemExit(f"full.py: --cells must be out of {', '.join(KINDS)}, got {unknown[0]}.")
    every = dict.fromkeys([*SHAPES, *DEEPER, *GRID])
    return [shape for shape in every if shape.kind in kinds and only.lower() in shape.name.lower()]


def _time(shapes: Sequence[Shape], record: Record, run: Run, chosen: argparse.Namespace, console: Console) -> None:
    budget = Budget(time.monotonic() + 60 * chosen.minutes)
    for index, shape in enumerate(shapes):
        if budget.over:
            console.print(f"time is up; {len(shapes) - index} points are left for the next run", highlight=False)
            return
        point = timed(shape, run, budget.seconds(len(shapes) - index), peers=not chosen.no_peers)
        record.add(point)
        run = record.raise_peak(run, "float32", peak("float32", PEAK_SECONDS))
        console.print(f"{index + 1}/{len(shapes)} {line(point)}", highlight=False, markup=False, soft_wrap=True)


def timed(shape: Shape, run: Run, seconds: float, peers: bool) -> Point:
    """One point; whoever differs from torch.nn is refused, never timed."""
    timing = None
    try:
        timing = time_pair(shape, seconds, LEAST_CALLS, MOST_CALLS)
        return Point(shape, run, timing, peers=time_peers(shape, seconds / 4) if peers and shape in SHAPES else {})
    except Unequal as error:
        return Point(shape, run, timing, refused=str(error))


def line(point: Point) -> str:
    """What is printed while it runs."""
    if point.timing is None:
        return f"refused, not timed: {point.refused}"
    peers = "".join(f", {name} {seconds / point.timing.ours:.2f}" for name, seconds in point.peers.items())
    speed = f"{point.rate / 1e9:.0f} GFLOP/s, {point.share:.0%} of peak"
    return f"{point.shape.name}: {point.timing.ours * 1e3:.3f} ms, {speed}, times torch.nn {point.ratio:.2f}{peers}"


def _environment() -> dict[str, str | int]:
    found: dict[str, str | int] = {**environment(), **installed()}
    if hasattr(os, "getloadavg"):
        found["load before"] = f"{os.getloadavg()[0]:.1f}"
    return found


def _peak() -> dict[str, float]:
    return {scalar: peak(scalar, 1.0) for scalar in ("float32", "float64")}


if __name__ == "__main__":
    sys.exit(main())
