"""Operations that choose between values, unit by unit: minimum, maximum, clamp, where."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import where

from ...errors import CellError
from ..functions import is_number
from .operation import Operation, Setting


def _number_refused(name: str, bound: str, operands: tuple) -> str:
    if not any(is_number(a) for a in operands):
        return ""
    return f"torch.{name} takes two values, not a number. Write clamp(a, {bound}=...)."


def _bounds(low: float | None, high: float | None) -> tuple[float, float]:
    if low is None and high is None:
        raise CellError("clamp takes a bound, got none. Write clamp(a, min=...), clamp(a, max=...) or both.")
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _between(d: Any, a: Any, low: float, high: float) -> Any:
    """d where low <= a <= high, else 0; a bound that is infinite asks nothing."""
    if high < math.inf:
        d = where(a <= high, d, 0.0)
    return where(a >= low, d, 0.0) if low > -math.inf else d


def _clamp_latex(a: str, min: str = "", max: str = "") -> str:
    text = rf"\max\left({a}, {min}\right)" if min else a
    return rf"\min\left({text}, {max}\right)" if max else text


def _clamp_code(v: Any, a: Any, low: float, high: float) -> Any:
    least, most = v.const(low), v.const(high)
    raised = v.select(v.lt(a, least), least, a)
    return v.select(v.gt(raised, most), most, raised)  # the upper bound last: it holds where bounds are crossed


# At a corner the derivative is torch's: clamp' = 1 on its bounds, a tie of maximum goes half to each side.
MINIMUM = Operation(
    name="minimum",
    operands=2,
    function=torch.minimum,
    check=lambda *operands: _number_refused("minimum", "max", operands),
    remedy="Write clamp(a, max=...) for a bound that is a number.",
    adjoint=lambda y, d, a, b: (
        where(a < b, d, where(b < a, 0.0, d * 0.5)),
        where(b < a, d, where(a < b, 0.0, d * 0.5)),
    ),
    latex=r"\min",
    vector=lambda v, a, b: v.minimum(a, b),
    onnx=lambda g, a, b: g.make("Min", a, b),
    rematerialize="always",
)
MAXIMUM = Operation(
    name="maximum",
    operands=2,
    function=torch.maximum,
    check=lambda *operands: _number_refused("maximum", "min", operands),
    remedy="Write clamp(a, min=...) for a bound that is a number.",
    adjoint=lambda y, d, a, b: (
        where(a > b, d, where(b > a, 0.0, d * 0.5)),
        where(b > a, d, where(a > b, 0.0, d * 0.5)),
    ),
    latex=r"\max",
    vector=lambda v, a, b: v.maximum(a, b),
    onnx=lambda g, a, b: g.make("Max", a, b),
    rematerialize="always",
)


def _clamp_onnx(g: Any, a: Any, low: float, high: float) -> Any:
    """Clip; in float64 Max and Min, because ONNX Runtime fuses Relu and Clip, and refuses the result for doubles."""
    if g.dtype != torch.float64:
        return g.make("Clip", a, *(g.number(b) if math.isfinite(b) else None for b in (low, high)))
    for op, bound in (("Max", low), ("Min", high)):
        a = g.make(op, a, g.number(bound)) if math.isfinite(bound) else a
    return a


CLAMP = Operation(
    name="clamp",
    function=torch.clamp,
    settings=(Setting("min", None), Setting("max", None)),
    attr=_bounds,
    learned="minimum(a, p.name) or maximum(a, p.name)",
    synonyms=("clip",),
    simplify=lambda a, low, high: a if (low, high) == (-math.inf, math.inf) else None,
    adjoint=lambda y, d, a: (_between(d, a, *y.attr),),
    written=lambda low, high: [f"{k}={b!r}" for k, b in (("min", low), ("max", high)) if math.isfinite(b)],
    latex=_clamp_latex,
    vector=_clamp_code,
    onnx=_clamp_onnx,
    rematerialize="always",
)
WHERE = Operation(
    name="where",
    operands=3,
    condition=True,
    function=torch.where,
    check=lambda c=None, *sides: (
        "torch.where takes a value on one side at least, got two numbers: torch would choose the dtype. "
        "Write where(a > b, 1.0, 0.0 * a)."
        if all(is_number(a) for a in sides)
        else ""
    ),
    remedy="Write where(a > b, u, v).",
    adjoint=lambda y, d, c, a, b: (None, where(c, d, 0.0), where(c, 0.0, d)),
    latex=lambda c, a, b: rf"\begin{{cases}} {a} & {c} \\ {b} & \text{{otherwise}} \end{{cases}}",
    vector=lambda v, c, a, b: v.select(c, a, b),
    onnx=lambda g, c, a, b: g.make("Where", c, a, b),
    rematerialize="always",
)
