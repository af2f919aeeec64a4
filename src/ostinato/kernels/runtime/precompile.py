"""Precompilation: the kernels of a layer are compiled, or loaded from the cache, before its first call."""

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

    training:  also the forward pass that saves tensors for backward, and backward.
    histories: also the builds that return the states after every step, and that take gradients of them.
    """
    scalar, made = SCALARS[dtype], 0
    with _counting:  # another thread's kernels are neither counted nor compiled twice
        for kernel in (sort_kernel, barrier_benchmark):
            made += _new(kernel)
            kernel().library.address("run")
        for more in (False, True) if histories else (False,):
            for save in (False, True) if training else (False,):
                made += _new(compiled_forward, cell, scalar, save, more)
            if training:
                # Positional, as in a call: the cache distinguishes positional from keyword arguments.
                made += _new(compiled_backward, cell, scalar, more, False)
    return made


def _new(cache: Any, *arguments: object) -> bool:
    """Fills a cache entry; True if it was missing. The count of misses restarts where the cache is cleared."""
    before = cache.cache_info().misses
    cache(*arguments)
    return bool(cache.cache_info().misses != before)
