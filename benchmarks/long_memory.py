"""What a training step over a thousand and ten thousand steps holds in memory, with and without `checkpoint`.

    python benchmarks/long_memory.py

Each network is measured in a process of its own, with one thread, as the lab trains: the most that the process holds
during forward pass, backward pass and Adam's step, beyond what it held before, when weights and sequences were there.
Then the processor time of such steps with and without, in turns, which a busy machine changes little. Linux only: the
peak is read from /proc.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from report import markdown_table, measured

import ostinato
from ostinato.apps.lab import Case
from ostinato.apps.lab.experiment import Network, build, generator
from ostinato.apps.problems import Examples, named

TASK, CELLS, STEPS, BATCH = "temporal-order", ("lstm", "gru"), (1_000, 10_000), 32
WARM = 100
"""Steps of the sequences on which the kernels are compiled and Adam's state is made before anything is measured."""
TURNS = 5
PROC = Path("/proc/self")
HEADINGS = ("network", "steps", "held without", 'with "sqrt"', "share", "a step without", 'with "sqrt"', "times")


@dataclass(frozen=True)
class Memory:
    """One network: bytes that a training step holds at most, and the median of the seconds in which it uses a core,
    without and with checkpointing."""

    cell: str
    steps: int
    units: int
    held: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def row(self) -> list[str]:
        """As the table shows it."""
        (whole, less), (plain, again) = self.held, self.seconds
        name = f"{self.cell.upper()}, {self.units} units, batch {BATCH}"
        held = [f"{whole / 1e6:.0f} MB", f"{less / 1e6:.0f} MB", f"{less / whole:.2f}"]
        return [name, f"{self.steps:,}", *held, f"{plain:.2f} s", f"{again:.2f} s", f"{again / plain:.2f}"]


@dataclass(frozen=True)
class MemoryTable:
    """The rows, and the day, machine and load that they were measured on."""

    rows: tuple[Memory, ...]
    machine: str


class TrainingStep:
    """Forward pass, backward pass and Adam's step of a network that the lab builds."""

    def __init__(self, cell: str, steps: int) -> None:
        self.task = named(TASK)
        self.network: Network = build(Case(TASK, steps, cell, "chrono", 0))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=5e-3, fused=True)

    def __call__(self, batch: Examples, checkpoint: str | None) -> None:
        self.network.layer.checkpoint = checkpoint
        self.optimiser.zero_grad()
        scores = self.network(batch.inputs, batch.loss_mask)
        self.task.loss_of(scores, batch.targets[batch.loss_mask]).mean().backward()
        self.optimiser.step()


def peak(call: Callable[[], object]) -> int:
    """Bytes that this process holds at most during a call, beyond those before."""
    (PROC / "clear_refs").write_text("5", encoding="ascii")  # the peak starts again from what is held now
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    for line in (PROC / "status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise SystemExit(f"long_memory: /proc/self/status has no line {name}.")


def measure_here(cell: str, steps: int, checkpoint: str | None, turns: int) -> tuple[int, int, tuple[float, float]]:
    """(units, bytes held at most, seconds without and with checkpointing); seconds 0 where `turns` is 0."""
    step = TrainingStep(cell, steps)
    short, long = (step.task.draw(length, BATCH, generator(0, 1)) for length in (WARM, steps))
    for mode in (None, "sqrt"):
        step(short, mode)
    held = peak(lambda: step(long, checkpoint))
    seconds = (0.0, 0.0)
    if turns:
        spent: dict[str | None, list[float]] = {None: [], "sqrt": []}
        for _ in range(turns):
            for mode, times in spent.items():
                start = time.process_time()
                step(long, mode)
                times.append(time.process_time() - start)
        seconds = median(spent[None]), median(spent["sqrt"])
    return step.network.layer.hidden_size, held, seconds


def measure() -> MemoryTable:
    """Every network in processes of its own; prints each as it is measured."""
    if not (PROC / "clear_refs").exists():
        raise SystemExit("long_memory: the peak of a process is read from /proc, which this system does not have.")
    rows = []
    for cell in CELLS:
        for steps in STEPS:
            units, whole, seconds = _process(cell, steps, None, TURNS)
            _, less, _ = _process(cell, steps, "sqrt", 0)
            rows.append(Memory(cell, steps, units, (whole, less), seconds))
            print(" · ".join(rows[-1].row), flush=True)
    return MemoryTable(tuple(rows), measured([]).strip())


def _process(cell: str, steps: int, checkpoint: str | None, turns: int) -> tuple[int, int, tuple[float, float]]:
    """`measure_here` in a process of its own."""
    source = str(Path(ostinato.__file__).parent.parent)
    paths = os.pathsep.join(part for part in (source, os.environ.get("PYTHONPATH", "")) if part)
    done = subprocess.run(
        [sys.executable, __file__, json.dumps([cell, steps, checkpoint, turns])],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"long_memory: a measured process failed. {done.stderr[-2000:]}")
    units, held, (plain, again) = json.loads(done.stdout)
    return units, held, (plain, again)


def table(found: MemoryTable) -> str:
    """The table of a page, and the machine."""
    return "\n".join([*markdown_table(HEADINGS, [row.row for row in found.rows]), "", found.machine])


def table_of(entry: Mapping[str, Any]) -> MemoryTable:
    """The table that `asdict` made `entry` of."""
    rows = (Memory(**{**row, "held": tuple(row["held"]), "seconds": tuple(row["seconds"])}) for row in entry["rows"])
    return MemoryTable(tuple(rows), entry["machine"])


def main(arguments: Sequence[str]) -> int:
    """Without an argument prints the table; with one, measures one network and prints it as JSON."""
    if arguments:
        torch.set_num_threads(1)
        print(json.dumps(measure_here(*json.loads(arguments[0]))))
        return 0
    print(table(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
