"""What a meeting of the threads costs on this machine, measured once: from tens of nanoseconds to microseconds."""

from __future__ import annotations

import time
from array import array
from functools import lru_cache

from . import machine
from .code import Code, Int
from .jobs import Job
from .product import Products
from .team import ENTRIES, Team, addresses
from .vector import Frame

_NAMES = ("rounds", *ENTRIES)
_ROUNDS = 100
_TRIES = 10
_SECONDS = 0.005
"""After which no other try begins: on a busy machine a meeting waits for a processor."""


def _emit(code: Code, f: Frame, products: Products, part: Int) -> None:
    """Threads meet and do nothing else. There are as many parts as were asked for, and maybe fewer threads: a part
    beyond them would wait for those who are done."""
    team = Team(products, ("counter", "parts", *_NAMES), machine.host().name)
    together = team.size(code, f)
    with code.when(part < together), code.range(f["rounds"]):
        team.meet(code, f, together)


@lru_cache(maxsize=1)
def meetings() -> Job:
    """The job, compiled or loaded when first run."""
    return Job("meetings", "float32", _NAMES, _emit)


def meet(workers: int, rounds: int) -> tuple[float, array]:
    """(seconds, frame afterwards) of so many threads that meet so often, on as many as come."""
    job = meetings()
    frame = job.frame(workers, **dict.fromkeys(_NAMES, 0) | addresses() | {"shared": 1, "rounds": rounds})
    begin = time.perf_counter()
    job.run(frame, workers)
    return time.perf_counter() - begin, frame


@lru_cache(maxsize=64)
def price(workers: int) -> float:
    """Seconds of a meeting of so many threads, at best: what disturbs a measurement only ever adds to it.

    Costs less than a millisecond where meetings are cheap, and on a busy machine what a hundred of them take.
    """
    meet(workers, 1)  # threads that sleep are awake now
    found: list[tuple[float, float]] = []
    begin = time.perf_counter()
    while not found or (len(found) < _TRIES and time.perf_counter() - begin < _SECONDS):
        found.append((meet(workers, 1)[0], meet(workers, 1 + _ROUNDS)[0]))
    short, long = (min(times) for times in zip(*found))
    return max(0.0, long - short) / _ROUNDS
