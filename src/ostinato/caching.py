"""Caches bounded by the bytes of what they hold: the sizes and cells of a program that runs for weeks have no end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper, cache, wraps
from typing import Any, TypeVar

from torch import Tensor

R = TypeVar("R")

ENTRY_BYTES = 512
"""What a key, its entry in the table and a small value take."""
NODE_BYTES = 4096
"""What a node of a cell's graph takes at most, with its share of the derivative and of the plans made from both."""


def bounded_cache(
    max_bytes: int, size_of: Callable[..., int], and_clear: Callable[[], object] | None = None
) -> Callable[[Callable[..., R]], _lru_cache_wrapper[R]]:
    """A `functools.lru_cache` that holds at most `max_bytes`, or a single entry that is larger.

        @bounded_cache(1 << 20, size_of=lambda found, length: found.nbytes)
        def table(length): ...

    size_of    (value, *arguments) → bytes that the entry keeps alive
    and_clear  called where the cache is emptied by itself: for what else keeps its entries alive

    A result that does not fit empties the cache before it goes in, so entries that are still needed are made again once
    for every `max_bytes` of others. In return a hit is one of `lru_cache`, with no order to keep, in any thread. Where
    a result may be larger than the whole cache, its caller knows from the arguments and asks `table.__wrapped__`, which
    is the function without the cache.
    """

    def decorate(function: Callable[..., R]) -> _lru_cache_wrapper[R]:
        sizes: list[int] = []  # appended to and emptied without a lock, which a fork could leave locked

        @cache
        @wraps(function)
        def cached(*args: Any, **kwargs: Any) -> R:
            value = function(*args, **kwargs)
            size = ENTRY_BYTES + size_of(value, *args, **kwargs)
            if not cached.cache_info().currsize:  # emptied by the caller
                sizes.clear()
            if sum(sizes) + size > max_bytes:
                sizes.clear()
                cached.cache_clear()
                if and_clear is not None:
                    and_clear()
            sizes.append(size)
            return value

        cached.__wrapped__ = function
        return cached

    return decorate


def graph_bytes(*made: Any) -> int:
    """What graphs take at most, or the graphs of what has a `trace`: cells, and all that is derived from one."""
    graphs = [m.trace.graph if hasattr(m, "trace") else m for m in made]
    return sum(NODE_BYTES * len(graph.nodes) for graph in graphs)


def tensor_bytes(tensors: Iterable[Tensor | None]) -> int:
    """What the numbers of tensors take; None takes nothing."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)
