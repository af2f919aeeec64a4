"""Caches bounded in bytes: a program that runs for weeks meets any number of sizes and cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import _lru_cache_wrapper, cache, wraps
from typing import Any, TypeVar

from torch import Tensor

R = TypeVar("R")

ENTRY_BYTES = 512
"""Bytes of a key, its table entry and a small value."""
NODE_BYTES = 4096
"""An upper bound of the bytes of a graph's node, with its share of the derivative and of the plans made from it."""


def bounded_cache(
    max_bytes: int, size_of: Callable[..., int], and_clear: Callable[[], object] | None = None
) -> Callable[[Callable[..., R]], _lru_cache_wrapper[R]]:
    """A `functools.lru_cache` that holds at most `max_bytes`, or a single entry that is larger.

        @bounded_cache(1 << 20, size_of=lambda found, length: found.nbytes)
        def table(length): ...

    size_of    (value, *arguments) → bytes that the entry keeps alive
    and_clear  called when the cache empties itself, to release other references to its entries

    A result that does not fit empties the cache first, so entries that are still needed are computed again once for
    every `max_bytes` of others. In return a hit costs as much as one of `lru_cache`, in any thread. Where the arguments
    show that a result may be larger than the whole cache, callers use `table.__wrapped__`, the function without it.
    """

    def decorate(function: Callable[..., R]) -> _lru_cache_wrapper[R]:
        # Without a lock, which a fork could leave locked: two threads that add an entry at once may count one alone.
        held = 0

        @cache
        @wraps(function)
        def cached(*args: Any, **kwargs: Any) -> R:
            nonlocal held
            value = function(*args, **kwargs)
            size = ENTRY_BYTES + size_of(value, *args, **kwargs)
            if not cached.cache_info().currsize:  # emptied by the caller
                held = 0
            if held + size > max_bytes:
                held = 0
                cached.cache_clear()
                if and_clear is not None:
                    and_clear()
            held += size
            return value

        cached.__wrapped__ = function
        return cached

    return decorate


def graph_bytes(*made: Any) -> int:
    """An upper bound of the bytes of graphs, or of the graphs of objects with a `trace`, such as cells."""
    graphs = [m.trace.graph if hasattr(m, "trace") else m for m in made]
    return sum(NODE_BYTES * len(graph.nodes) for graph in graphs)


def tensor_bytes(tensors: Iterable[Tensor | None]) -> int:
    """The bytes of the numbers of tensors; None has none."""
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)
