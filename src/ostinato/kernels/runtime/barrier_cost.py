"""The cost of a barrier on this machine, measured once: from tens of nanoseconds to microseconds."""

from __future__ import annotations

import time
from functools import lru_cache

from ..codegen.arguments import BarrierArgs, Integer
from ..codegen.ir_builder import Code, Int
from ..emit.barrier import ThreadTeam, set_barrier_functions
from ..system.target import host
from .standalone_kernel import StandaloneKernel

_ROUNDS = 100
_TRIES = 10
_SECONDS = 0.005
"""Time budget; on a loaded machine one barrier may take a scheduling quantum."""


class BenchmarkArgs(BarrierArgs):
    """The argument block of the barrier benchmark."""

    rounds = Integer("Barriers that each thread passes.")


def _emit(code: Code, args: BenchmarkArgs, item: Int) -> None:
    """Barriers and nothing else. There may be fewer threads than work items: an item beyond the size of the team would
    wait for threads that have finished."""
    team = ThreadTeam(barrier_benchmark().layout, host().name)
    size = team.size(code, args)
    with code.if_(item < size), code.range(args.rounds):
        team.barrier(code, args, item, size)


@lru_cache(maxsize=1)
def barrier_benchmark() -> StandaloneKernel:
    """The kernel, compiled or loaded when first run."""
    return StandaloneKernel("barrier benchmark", "float32", BenchmarkArgs, _emit)


def run_barriers(workers: int, rounds: int) -> tuple[float, int]:
    """(seconds, arrivals) of `rounds` barriers between `workers` threads, or as many of them as the team has."""
    kernel = barrier_benchmark()
    block = kernel.block(workers)
    set_barrier_functions(block)
    block[BarrierArgs.shared], block[BenchmarkArgs.rounds] = 1, rounds
    begin = time.perf_counter()
    kernel.run(block, workers)
    return time.perf_counter() - begin, block[BarrierArgs.barrier_count]


@lru_cache(maxsize=64)
def barrier_seconds(workers: int) -> float:
    """Seconds of one barrier between `workers` threads: the minimum of several runs, because disturbances only add.

    The measurement takes less than a millisecond on a quiet machine, and about a hundred barriers on a busy one.
    """
    run_barriers(workers, 1)  # wakes sleeping threads
    found: list[tuple[float, float]] = []
    begin = time.perf_counter()
    while not found or (len(found) < _TRIES and time.perf_counter() - begin < _SECONDS):
        found.append((run_barriers(workers, 1)[0], run_barriers(workers, 1 + _ROUNDS)[0]))
    short, long = (min(times) for times in zip(*found))
    return max(0.0, long - short) / _ROUNDS
