"""Operations by name: THE table of what a cell may use, and what to write for what is missing.

An operation is one row, in one of the files of this folder. Tracing, text, LaTeX, derivative, kernels, lens and export
read a row when they need it. Compiled kernels are cached by the sources of this package: a process that adds a row at
run time has to set OSTINATO_CACHE to a folder of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set

from . import activations, arithmetic, choices, own
from .operation import Operation

OPERATIONS: dict[str, Operation] = {
    row.name: row
    for file in (arithmetic, activations, choices, own)
    for row in vars(file).values()
    if isinstance(row, Operation)
}
"""name → row, in the order of the files."""


class Names(Set[str]):
    """The names of the operations of which `holds` is true, as the table is at the time of asking."""

    def __init__(self, holds: Callable[[Operation], bool]):
        self._holds = holds

    def __contains__(self, name: object) -> bool:
        row = OPERATIONS.get(name)  # type: ignore[call-overload]
        return row is not None and self._holds(row)

    def __iter__(self) -> Iterator[str]:
        return (name for name, row in OPERATIONS.items() if self._holds(row))

    def __len__(self) -> int:
        return sum(map(self._holds, OPERATIONS.values()))

    @classmethod
    def _from_iterable(cls, names: Iterable[str]) -> frozenset[str]:  # type: ignore[override]
        return frozenset(names)


POINTWISE = Names(lambda row: not row.own)
"""Torch's functions, which compute unit by unit."""
COMPARISONS = Names(lambda row: row.comparison)
MEANS = Names(lambda row: row.over_units)
"""One number out of all units of a row: their mean, and 1 / their standard deviation (in norm only)."""
LINEAR = Names(lambda row: row.linear)
BOUNDED = Names(lambda row: row.range is not None)
OWN_LINE = Names(lambda row: row.own_line)


def known() -> str:
    """All that equations may use, for messages."""
    return " ".join(row.symbol or row.name for row in OPERATIONS.values() if row.symbol or row.called)


def resolve(name: str) -> str:
    """The operation that torch, numpy or Python calls `name`; the name itself where none is known by it."""
    if name in OPERATIONS:
        return name
    return next((row.name for row in OPERATIONS.values() if name in row.synonyms), name)


# What to write for an operation that a cell does not have, where the operations that it has can say the same.
INSTEAD = {
    "abs": "maximum(a, -a)",
    "absolute": "maximum(a, -a)",
    "square": "a * a",
    "pow": "a * a for a square, sqrt(a) for a root",
    "power": "a * a for a square, sqrt(a) for a root",
    "reciprocal": "1 / a",
    "rsqrt": "1 / sqrt(a)",
    "sum": "mean(a), the mean over the units",
    "layer_norm": "norm(a), and p.name * norm(a) + b.name for a gain and a bias",
    "matmul": "a weight on the left: W.name @ x or U.name @ (...)",
    "mm": "a weight on the left: W.name @ x or U.name @ (...)",
    "linear": "W.name @ x + b.name",
    "cat": "a weight for each part, W.name @ x + U.name @ h",
    "concat": "a weight for each part, W.name @ x + U.name @ h",
    "zeros_like": "the number 0.0",
    "ones_like": "the number 1.0",
    "max": "maximum(a, b)",
    "min": "minimum(a, b)",
    "fmax": "maximum(a, b)",
    "fmin": "minimum(a, b)",
    "clamp_min": "clamp(a, min=...)",
    "clamp_max": "clamp(a, max=...)",
    "relu6": "clamp(a, 0, 6)",
    "hardtanh": "clamp(a, -1, 1)",
    "hardsigmoid": "clamp(a / 6 + 0.5, 0, 1)",
    "elu": "where(a > 0, a, exp(clamp(a, max=0)) - 1)",
    "silu": "a * sigmoid(a)",
    "logsigmoid": "-softplus(-a)",
    "log_sigmoid": "-softplus(-a)",
    "softsign": "a / (1 + maximum(a, -a))",
    "prelu": "where(a > 0, a, p.name * a)",
    "log1p": "log(1 + a)",
    "expm1": "exp(a) - 1",
    "lerp": "a + w * (b - a)",
    "addcmul": "a + b * c",
}
