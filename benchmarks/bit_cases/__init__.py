"""The cases of `benchmarks/bits.py`: what is computed, through public names alone, and its SHA-256.

The same files run on commits with other internals, so nothing private may be named here.
"""

from __future__ import annotations

from . import calls, catalogue, files, lens, options, records, training
from .digest import Case, Result, result

__all__ = ["Case", "Result", "cases", "result"]


def cases() -> dict[str, Case]:
    """Name → what computes its parts. What stands before the colon of a name is its group: it shares kernels."""
    found: dict[str, Case] = {}
    for chapter in (catalogue, calls, options, training, lens, records, files):
        for name, case in chapter.cases():
            if name in found:
                raise ValueError(f"bits: a case must be listed once, got {name!r} twice. Give one another name.")
            found[name] = case
    return found
