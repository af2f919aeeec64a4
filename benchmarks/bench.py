"""Ostinato's layers beside torch.nn's on 16 named shapes: `make bench`, about eight minutes; --quick for one.

Each shape is timed only after outputs, states and gradients agree at the project's tolerance. Both layers have the
same weights and take turns in one process, so that whatever disturbs the machine disturbs both.
JAX and ONNX Runtime are timed too where they are installed, by themselves, afterwards.
"""

import argparse
import json
import math
import os
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

from measure import Timing, Unequal, time_pair
from peers import PEERS, installed, time_peers
from report import markdown_table
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from shapes import SHAPES

from ostinato.apps.environment import environment

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run, print, and unless --quick write results/bench-DATE.json and .md; 1 if any shape was refused."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="2 seconds a shape instead of 20; writes nothing")
    options.add_argument("--only", default="", metavar="TEXT", help="shapes whose name contains it; writes nothing")
    chosen = options.parse_args()

    machine: dict[str, str | int] = {**environment(), **installed()}
    if hasattr(os, "getloadavg"):
        machine["load before"] = f"{os.getloadavg()[0]:.1f}"
    timings: dict[str, Timing] = {}
    others: dict[str, dict[str, float]] = {}
    refused: list[str] = []
    shapes = [shape for shape in SHAPES if chosen.only.lower() in shape.name.lower()]
    for shape in track(shapes, "timing"):
        try:
            timings[shape.name] = time_pair(shape, 2.0 if chosen.quick else 20.0)
            others[shape.name] = time_peers(shape, 1.0 if chosen.quick else 5.0)
        except Unequal as error:
            refused.append(str(error))

    console = Console()
    console.print(table(timings, others))
    console.print(*summary(timings, refused, machine), sep="\n", highlight=False)
    if not chosen.quick and not chosen.only:
        json_file = free_name(f"bench-{date.today().isoformat()}")
        content = {"environment": machine, "timings": {name: asdict(each) for name, each in timings.items()}}
        content["peers"] = others
        json_file.write_text(json.dumps(content | {"refused": refused}, indent=1) + "\n", encoding="utf-8")
        json_file.with_suffix(".md").write_text(markdown(timings, others, refused, machine), encoding="utf-8")
        console.print(f"written: {json_file.name} and .md in {RESULTS.parent.name}/{RESULTS.name}", highlight=False)
    return 1 if refused else 0


def rows(timings: dict[str, Timing], others: dict[str, dict[str, float]]) -> list[tuple[str, ...]]:
    """Shape, ours and torch.nn's median in milliseconds, their ratio, the number of calls; peers' time over ours."""
    return [
        (
            *(name, f"{each.ours * 1e3:.3f}", f"{each.torchs * 1e3:.3f}", f"{each.ratio:.2f}", str(each.calls)),
            *(times(others.get(name, {}).get(peer), each.ours) for peer in shown(others)),
        )
        for name, each in timings.items()
    ]


def times(theirs: float | None, ours: float) -> str:
    """How many times ours another's time is; empty where it was not timed."""
    return "" if theirs is None else f"{theirs / ours:.2f}"


def shown(others: dict[str, dict[str, float]]) -> list[str]:
    """The peers that were timed at any shape."""
    return [peer for peer in PEERS if any(peer in found for found in others.values())]


def headings(others: dict[str, dict[str, float]]) -> list[str]:
    """Of the columns of `rows`."""
    return ["shape", "ostinato ms", "torch.nn ms", "ratio", "calls", *(f"× {PEERS[peer]}" for peer in shown(others))]


def table(timings: dict[str, Timing], others: dict[str, dict[str, float]]) -> Table:
    """For the terminal."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for index, heading in enumerate(headings(others)):
        made.add_column(heading.replace(" ", "\n"), justify="right" if index else "left", no_wrap=True)
    for row in rows(timings, others):
        made.add_row(*row)
    return made


def summary(timings: dict[str, Timing], refused: list[str], machine: dict[str, str | int]) -> list[str]:
    """Lines below the table: what a ratio is and their geometric mean, what was refused, the machine."""
    lines = []
    if timings:
        mean = math.exp(sum(math.log(each.ratio) for each in timings.values()) / len(timings))
        lines.append(f"ratio = torch.nn / ostinato, medians; geometric mean {mean:.2f} over {len(timings)} shapes")
    lines += [f"refused, not timed: {reason}" for reason in refused]
    return [*lines, ", ".join(f"{name} {value}" for name, value in machine.items())]


def markdown(
    timings: dict[str, Timing], others: dict[str, dict[str, float]], refused: list[str], machine: dict[str, str | int]
) -> str:
    """The same table for reading in the repository."""
    lines = markdown_table(headings(others), rows(timings, others))
    return "\n".join(
        ["# Ostinato beside torch.nn", "", *lines, "", "\n\n".join(summary(timings, refused, machine)), ""]
    )


def free_name(stem: str) -> Path:
    """results/STEM.json, or STEM-2.json and so on: earlier results stay."""
    RESULTS.mkdir(exist_ok=True)
    number = 1
    while (path := RESULTS / f"{stem}{f'-{number}' if number > 1 else ''}.json").exists():
        number += 1
    return path


if __name__ == "__main__":
    sys.exit(main())
