"""Threads of a fit: the recurrent kernels run on all of them, torch's own operations on one.

The kernels of recurrent layers give the same bits on any number of threads. Operations of torch do not: MKL divides the
inner sum of a matrix product among its threads (the weight gradient of a Linear over 4,000 rows differs between one and
two), torch divides sums of more than 32,768 numbers, and the vectorised sigmoid rounds the last numbers of a thread's
share in another way. They are a small part of the cost of a recurrent network, so they run on one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ...kernels.system.openmp import kernel_threads

BITS = "the same for any number of threads"
"""What config.json says about a fit inside `torch_on_one_thread`."""


@contextmanager
def torch_on_one_thread(threads: int) -> Iterator[None]:
    """Recurrent kernels that this Python thread calls run on `threads` threads, operations of torch on one.

    The backward pass of a network on the CPU runs in the thread that calls it, so the context covers it too.
    """
    before = torch.get_num_threads()
    with kernel_threads(threads):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
