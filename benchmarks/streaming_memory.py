"""Memory of a stream that runs for a million steps, and what a call of it allocates."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from stream import resident
from streaming_calls import Kind, pair
from torch.utils._python_dispatch import TorchDispatchMode

import ostinato

GROWTH, COUNTED = 0.01, 10_000
"""The most that the process may grow after the first tenth; steps over which allocations are counted."""


@dataclass(frozen=True)
class Memory:
    """What `steps` steps with bound buffers did to the process.

    marks      MiB of the process after every tenth
    blocks     Python's memory blocks that COUNTED steps leave, minus those that one leaves
    traced     bytes that Python holds after COUNTED steps, minus those before
    transient  bytes beyond those at any time during them: what calls allocate and free again
    operations operations of torch in COUNTED steps; without one nothing is taken from torch's allocator
    """

    steps: int
    marks: list[float]
    blocks: int
    traced: int
    transient: int
    operations: int

    @property
    def growth(self) -> float:
        """Of the process after the first tenth, as a share."""
        return max(self.marks) / self.marks[0] - 1

    @property
    def flat(self) -> bool:
        """Whether the process stays as it is and nothing that a step allocates is left."""
        return self.growth <= GROWTH and self.blocks <= 0 and self.traced <= 0 and self.operations == 0


class _Count(TorchDispatchMode):
    """Counts operations of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.count += 1
        return function(*arguments, **(options or {}))


def measure(kind: Kind, hidden: int, steps: int) -> Memory:
    """Runs the steps and counts."""
    stream = ostinato.stream(pair(kind, hidden)[0])
    counted, marks = min(steps, COUNTED), []
    for _ in range(10):
        _repeat(stream.step, steps // 10)
        marks.append(resident())
    blocks = _blocks(stream.step, counted) - _blocks(stream.step, 1)
    traced, transient = _traced(stream.step, counted)
    with _Count() as mode:
        _repeat(stream.step, counted)
    return Memory(steps, marks, blocks, traced, transient, mode.count)


def _blocks(step: Callable[[], object], count: int) -> int:
    """Blocks of Python that so many steps leave, with those of counting them."""
    gc.collect()  # garbage of earlier work, which would be freed in between and hide blocks that stay
    before = sys.getallocatedblocks()
    _repeat(step, count)
    return sys.getallocatedblocks() - before


def _traced(step: Callable[[], object], count: int) -> tuple[int, int]:
    """(bytes that stay, the most beyond those before) in so many steps."""
    tracemalloc.start()
    try:
        _repeat(step, count)  # tracemalloc's own records of the lines of the loop
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        _repeat(step, count)
        after, peak = tracemalloc.get_traced_memory()
        return after - before, peak - before
    finally:
        tracemalloc.stop()


def _repeat(step: Callable[[], object], count: int) -> None:
    for _ in repeat(None, count):
        step()


def table(found: Memory) -> list[str]:
    """What was found, in lines."""
    marks = ", ".join(f"{mark:.1f}" for mark in found.marks)
    return [
        f"{found.steps:,} steps: {marks} MiB after every tenth, growth after the first {found.growth:.2%}",
        f"left after {COUNTED:,} steps: {found.blocks} blocks of Python, {found.traced} bytes; "
        f"the most during a call {found.transient} bytes; {found.operations} operations of torch",
    ]
