"""Sums over the units of a row, in one order for every number of lanes.

A row is read as vectors of `PARTS` partial sums: unit u is added to partial sum u mod PARTS. The partial sums are then
added in halves. Registers of fewer lanes hold the partial sums in several vectors, and the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..codegen.ir_builder import Code, Int, Ptr

PARTS = {"float32": 16, "float64": 8}
"""Partial sums of a row: the lanes of the widest registers."""
Values = Callable[[Int, Any], Sequence[Any]]
"""(first unit of a vector, mask of the lanes that exist or None) → the vectors to add up, one for each sum."""


def emit_sums(code: Code, width: Int, values: Values, count: int) -> list[Any]:
    """`count` sums over the units 0 … width - 1, as scalars."""
    lanes, n = code.lanes, code.lanes.lanes
    if n == 1:
        return _sums_of_scalars(code, width, values, count)
    parts = max(PARTS[lanes.scalar] // n, 1)
    totals = [[code.alloca_vec(n) for _ in range(parts)] for _ in range(count)]
    for vector in (vector for total in totals for vector in total):
        vector.store(lanes.zero)

    def add(u: Int, mask: Any, part: int) -> None:
        for total, value in zip(totals, values(u, mask), strict=True):
            if mask is not None:
                value = lanes.select(mask, value, lanes.zero)
            total[part].store(lanes.add(total[part].load(), value))

    with code.range(width, step=parts * n) as first:
        for part in range(parts):
            u = first + part * n
            with code.if_else(u + n <= width) as (whole, rest):
                with whole:
                    add(u, None, part)
                with rest, code.if_(u < width):
                    add(u, lanes.tail_mask((width - u).value), part)
    return [_sum(code, total) for total in totals]


def _sums_of_scalars(code: Code, width: Int, values: Values, count: int) -> list[Any]:
    """The same sums one unit at a time: one loop instead of a copy of its body for each partial sum."""
    lanes, parts = code.lanes, PARTS[code.lanes.scalar]
    totals = [code.alloca_vec(parts) for _ in range(count)]
    with code.range(parts) as i:
        for total in totals:
            total.at(i).store(lanes.zero)
    with code.range(width) as u:
        for total, value in zip(totals, values(u, None), strict=True):
            place = total.at(u & (parts - 1))
            place.store(lanes.add(place.load(), value))
    return [_sum(code, [total.at(i) for i in range(parts)]) for total in totals]


def emit_means(code: Code, width: Int, values: Values, count: int) -> list[Any]:
    """The same sums divided by the width, as scalars."""
    divisor = code.builder.sitofp(width.value, code.lanes.F)
    return [code.builder.fdiv(total, divisor) for total in emit_sums(code, width, values, count)]


def reciprocal_root(lanes: Any, square: Any, eps: float) -> Any:
    """1 / √(square + eps) of a scalar."""
    root = lanes.sqrt(lanes.add(lanes.splat(square), lanes.const(eps)))
    return lanes.first(lanes.div(lanes.const(1.0), root))


def _sum(code: Code, parts: list[Ptr]) -> Any:
    """Partial sum i + partial sum i + half, halved until one is left."""
    vectors = [part.load() for part in parts]
    while len(vectors) > 1:
        half = len(vectors) // 2
        vectors = [code.lanes.add(a, b) for a, b in zip(vectors[:half], vectors[half:])]
    return code.lanes.sum(vectors[0])
