"""Kernels before their first call: what a layer will ask for is compiled, or loaded from the cache, now."""

from __future__ import annotations

import threading

import torch

from ..cells import Cell
from .meetings import meetings
from .places import sorter
from .run import SCALARS, compiled_backward, compiled_forward

_counting = threading.Lock()


def prepare(cell: Cell, dtype: torch.dtype, training: bool, histories: bool) -> int:
    """Compile or load the kernels of `cell` for tensors of `dtype`; returns how many were not in memory before.

    training:  also the forward pass that keeps what backward reads, and backward itself.
    histories: also the builds that hand out the states after every step, and that take gradients in them.
    """
    scalar = SCALARS[dtype]
    with _counting:  # what another thread prepares meanwhile is not counted twice, nor compiled twice
        before = _made()
        for job in (sorter(), meetings()):
            job.library.address("run")
        for more in (False, True) if histories else (False,):
            for keep in (False, True) if training else (False,):
                compiled_forward(cell, scalar, keep, more)
            if training:  # as a call asks: a cache knows arguments as they are written
                compiled_backward(cell, scalar, more, False)
        return _made() - before


def _made() -> int:
    return sum(made.cache_info().misses for made in (compiled_forward, compiled_backward, sorter, meetings))
