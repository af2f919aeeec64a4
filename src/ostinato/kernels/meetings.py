"""What a meeting of the threads costs on this machine, measured once: from tens of nanoseconds to microseconds."""

from __future__ import annotations

import time
from functools import cached_property, lru_cache

from . import machine, threads
from .code import Code, Int
from .jobs import Job
from .product import Products
from .team import Team
from .vector import Frame

_NAMES = (
    "rounds",
    "shared",
    "team_size",
    "yield",
    *(f"before meeting {k}" for k in range(8)),
    "meeting",
    *(f"after meeting {k}" for k in range(7)),
)
_ROUNDS = 500
_TRIES = 5


class _Meetings(Job):
    """Threads that meet and do nothing else."""

    def __init__(self) -> None:
        super().__init__("meetings", "float32", _NAMES, self._emit)

    def _emit(self, code: Code, f: Frame, products: Products, part: Int) -> None:
        team = Team(products, self.names, machine.host().name)
        together = team.size(code, f)
        with code.range(f["rounds"]):
            team.meet(code, f, together)

    @cached_property
    def _values(self) -> dict[str, int]:
        found = dict.fromkeys(_NAMES, 0) | {"shared": 1, "team_size": threads.num_threads_address() or 0}
        return found | {"yield": threads.yield_address() or 0}

    def seconds(self, workers: int, rounds: int) -> float:
        values = self._values | {"rounds": rounds}
        begin = time.perf_counter()
        self(workers, **values)
        return time.perf_counter() - begin


@lru_cache(maxsize=1)
def meetings() -> _Meetings:
    """The job, compiled or loaded when first run."""
    return _Meetings()


@lru_cache(maxsize=64)
def price(workers: int) -> float:
    """Seconds of a meeting of so many threads, at best: what disturbs a measurement only ever adds to it.

    Costs a few milliseconds once in a process, and less than one where meetings are cheap.
    """
    job = meetings()
    job.seconds(workers, 1)  # threads that sleep are awake now
    short = min(job.seconds(workers, 1) for _ in range(_TRIES))
    long = min(job.seconds(workers, 1 + _ROUNDS) for _ in range(_TRIES))
    return max(0.0, long - short) / _ROUNDS
