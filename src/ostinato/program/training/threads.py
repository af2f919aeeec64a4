"""Threads of a fit: the recurrent kernels run on all of them, torch's own operations on one.

The kernels of recurrent layers give the same bits on any number of threads. Operations of torch do not: MKL divides the
inner sum of a matrix product among its threads (the weight gradient of a Linear over 4,000 rows differs between one and
two), torch divides sums of more than 32,768 numbers, and the vectorised sigmoid rounds the last numbers of a thread's
share in another way. They are a small part of the cost of a recurrent network, so they run on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...kernels.system.openmp import kernel_threads
from ..one_thread import one_thread

BITS = "the same for any number of threads"
"""What config.json says about a fit inside `torch_on_one_thread`."""


@contextmanager
def torch_on_one_thread(threads: int) -> Iterator[None]:
    """Recurrent kernels that this Python thread calls run on `threads` threads, operations of torch on one.

    The backward pass of a network on the CPU runs in the thread that calls it, so the context covers it too.
    """
    with kernel_threads(threads), one_thread():
        yield


class ThreadCount:
    """How many threads the kernels of a fit run on: the fastest of some counts, as the updates on each of them went.

    The bits do not depend on it, so the clock may decide. On cores that other processes use, threads that wait for each
    other at every step of a sequence are several times slower than one.
    """

    def __init__(self, candidates: Sequence[int]) -> None:
        self.candidates = list(candidates)
        self.count = self.candidates[0]
        self._seconds: dict[int, float] = {}

    @classmethod
    def fixed(cls, count: int) -> ThreadCount:
        """No choice."""
        return cls([count])

    @classmethod
    def chosen_by_time(cls, most: int) -> ThreadCount:
        """`most` threads or one."""
        return cls([most, 1] if most > 1 else [1])

    def took(self, count: int, seconds: float) -> None:
        """Notes what a mean update on `count` threads took last, and changes to the fastest count that is known."""
        self._seconds[count] = seconds
        self.count = min(self._seconds, key=lambda known: (self._seconds[known], self.candidates.index(known)))
