"""Precompilation: kernels are compiled, or loaded from the cache, before the first call of their layers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, NamedTuple

import torch

from ...cells import Cell
from ..system import compile_cache, openmp
from ..system.compile_cache import Order
from .api import SCALARS, compiled_backward, compiled_forward
from .barrier_cost import barrier_benchmark
from .recipes import backward_recipe, forward_recipe
from .row_layout import sort_kernel

_counting = threading.Lock()


class Need(NamedTuple):
    """Kernels of `cell` for tensors of `dtype`.

    training:  also the forward pass that saves tensors for backward, and backward.
    histories: also the builds that return the states after every step, and that take gradients of them.
    """

    cell: Cell
    dtype: torch.dtype
    training: bool
    histories: bool

    def forward(self) -> Iterator[tuple[Cell, str, bool, bool]]:
        """The arguments of `compiled_forward`. Positional, as in a call: the cache distinguishes keyword arguments."""
        for histories in (False, True) if self.histories else (False,):
            for save in (False, True) if self.training else (False,):
                yield self.cell, SCALARS[self.dtype], save, histories

    def backward(self) -> Iterator[tuple[Cell, str, bool, bool]]:
        """The arguments of `compiled_backward`."""
        if self.training:
            for histories in (False, True) if self.histories else (False,):
                yield self.cell, SCALARS[self.dtype], histories, False


def prepare(needs: Sequence[Need]) -> int:
    """Compile or load the kernels; returns how many were not in memory before.

    Where several have to be compiled, threads do so side by side, as many as calls may use. The error of a kernel that
    cannot be compiled is raised when its turn comes in the order of `needs`.
    """
    made = 0
    with _counting:  # another thread's kernels are neither counted nor compiled twice
        _compile_side_by_side(needs)
        for kernel in (sort_kernel, barrier_benchmark) if needs else ():
            made += _new(kernel)
            kernel().library.address("run")
        for need in needs:
            made += sum(_new(compiled_forward, *arguments) for arguments in need.forward())
            made += sum(_new(compiled_backward, *arguments) for arguments in need.backward())
    return made


def _compile_side_by_side(needs: Sequence[Need]) -> None:
    threads = openmp.thread_count()
    orders = compile_cache.missing(_orders(needs)) if threads > 1 else []
    if len(orders) < 2:
        return
    pool = ThreadPoolExecutor(min(threads, len(orders)), "ostinato-compile")
    try:
        with suppress(RuntimeError):  # no thread can be started: `prepare` compiles what is left
            wait([pool.submit(compile_cache.compile_ahead, order) for order in orders])
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C only those are waited for that have begun


def _orders(needs: Sequence[Need]) -> Iterator[Order]:
    for need in needs:
        yield from (forward_recipe(*arguments).order for arguments in need.forward())
        yield from (backward_recipe(*arguments).order for arguments in need.backward())
    if needs:
        yield from (kernel().order for kernel in (sort_kernel, barrier_benchmark))


def _new(cache: Any, *arguments: object) -> bool:
    """Fills a cache entry; True if it was missing. The count of misses restarts where the cache is cleared."""
    before = cache.cache_info().misses
    cache(*arguments)
    return bool(cache.cache_info().misses != before)
