"""Kernels before their first call: what a layer will ask for is compiled, or loaded from the cache, now."""

from __future__ import annotations

import threading
from typing import Any

import torch

from ...cells import Cell
from .api import SCALARS, compiled_backward, compiled_forward
from .barrier_cost import barrier_benchmark
from .row_layout import sort_kernel

_counting = threading.Lock()


def prepare(cell: Cell, dtype: torch.dtype, training: bool, histories: bool) -> int:
    """Compile or load the kernels of `cell` for tensors of `dtype`; returns how many were not in memory before.

    training:  also the forward pass that keeps what backward reads, and backward itself.
    histories: also the builds that hand out the states after every step, and that take gradients in them.
    """
    scalar, made = SCALARS[dtype], 0
    with _counting:  # what another thread prepares meanwhile is not counted twice, nor compiled twice
        for kernel in (sort_kernel, barrier_benchmark):
            made += _new(kernel)
            kernel().library.address("run")
        for more in (False, True) if histories else (False,):
            for save in (False, True) if training else (False,):
                made += _new(compiled_forward, cell, scalar, save, more)
            if training:
                # As a call asks: a cache knows arguments as they are written.
                made += _new(compiled_backward, cell, scalar, more, False)
    return made


def _new(cache: Any, *arguments: object) -> bool:
    """Asks a cache for an entry, and whether it was made now. The count of misses starts again where it is emptied."""
    before = cache.cache_info().misses
    cache(*arguments)
    return bool(cache.cache_info().misses != before)
