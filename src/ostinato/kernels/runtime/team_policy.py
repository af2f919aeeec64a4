"""The team policy: whether calls run on a team of threads or on the calling thread alone, by what teams have cost.

On a machine with other work a thread of the team loses its processor for some milliseconds at a time, and the others
wait for it: the same call takes a multiple of what one thread needs. Each launch of a team therefore records how long
it took and how long its least disturbed thread was busy, which bounds what one thread would take. When the time that
teams have lost against one thread exceeds a limit, calls run on one thread for a multiple of that time; then a team is
tried again. Both add numbers in the same order, so results do not depend on it.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field

from ..codegen.arguments import MAX_TEAM, WAIT_SLOTS
from ..system import openmp

_NEVER = 2**63 - 1
FRESH_TIMES = array("q", [_NEVER, 0, _NEVER, _NEVER, *[0] * WAIT_SLOTS])
"""The times of an argument block before a launch, `first_start` to `waits`: minima are the largest number, others 0."""


@dataclass(slots=True)
class TeamPolicy:
    """The decision for a process, updated after each launch. Times are seconds.

    limit    lost time from which calls run on one thread
    credit   gained time that is kept at most, against which lost time counts: a team that gained may lose as much
    factor   the time on one thread over the time that was lost; doubled when a team loses, halved when it gains
    most     the largest factor
    expiry   the longest time on one thread, by the clock
    """

    limit: float = 0.5e-3
    credit: float = 5e-3
    factor: float = 4.0
    most: float = 64.0
    expiry: float = 10.0
    lost: float = -5e-3
    """What teams have lost against one thread, at least -credit."""
    alone_for: float = 0.0
    """The time that calls shall still spend on one thread."""
    _multiple: float = field(init=False)
    _until: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._multiple = self.factor

    def workers(self) -> int:
        """Threads that a call may use: `openmp.thread_count()`, or 1 while teams lose."""
        count = openmp.thread_count()
        if self.alone_for > 0.0 and count > 1:
            if time.monotonic() < self._until:
                return 1
            self.alone_for = 0.0
        return count

    def ran_alone(self, seconds: float) -> None:
        """Counts a launch on one thread."""
        self.alone_for -= seconds

    def ran_as_team(self, seconds: float, threads: int, times: array) -> None:
        """Counts a launch of a team of `threads`; times: those of its argument block, as `FRESH_TIMES` has them."""
        first_start, last_end, least_busy, dissolved_at, *waits = times
        span = last_end - first_start
        if span <= 0:
            return
        if dissolved_at == _NEVER:
            alone = least_busy * threads
        else:  # what the thread that went on alone computed, in a part of the time with the others
            alone = span - waits[min(dissolved_at % MAX_TEAM, WAIT_SLOTS - 1)]
        gain = alone / span - 1.0
        self.lost = max(-self.credit, self.lost - gain * seconds)
        if self.lost > self.limit:
            self.alone_for = self._multiple * self.lost
            self._until = time.monotonic() + self.expiry
            self._multiple = min(self.most, 2.0 * self._multiple)
            self.lost = 0.0
        elif self.lost == -self.credit:
            self._multiple = max(self.factor, 0.5 * self._multiple)


TEAM = TeamPolicy()
"""The policy of this process."""
