"""The clock of a command: seconds since the process began, imports included."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_IMPORTED = time.monotonic()


def seconds_since_start() -> float:
    """Seconds since the process began, or since this module was imported where the system does not say."""
    began = _process_start()
    return time.monotonic() - (_IMPORTED if began is None else began)


def _process_start() -> float | None:
    """The moment at which the process began on `time.monotonic`'s clock, from Linux's /proc."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = float(fields[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return None
    return time.monotonic() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))


SLOWEST = 5.0
"""The largest factor that `slowness` gives: a process that waited for a disk or a user is not slow later."""


def slowness(seconds: float, processor_seconds: float) -> float:
    """How many times longer work takes than on idle cores: seconds by the processor's, from 1 to SLOWEST."""
    return min(SLOWEST, max(1.0, seconds / processor_seconds)) if processor_seconds > 0 else 1.0


def clock_from_now(clock: Callable[[], float] = time.monotonic) -> Callable[[], float]:
    """A clock that is 0 now, for a call from a program that began long before."""
    began = clock()
    return lambda: clock() - began
