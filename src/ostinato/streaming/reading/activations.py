"""Functions of one value, unit by unit, composed of the operations that nodes have: torch's activations.

Each takes the builder, the value and torch's further arguments, by torch's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...cells.operations import OPERATIONS, POINTWISE
from .builder import Builder, Operand
from .values import Value, refuse

# torch's constants of SELU, from its paper: arXiv 1706.02515.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def clamp(b: Builder, input: Value, min: Any = None, max: Any = None) -> Value:
    """Bounds that are numbers, or values."""
    if isinstance(min, int | float | None) and isinstance(max, int | float | None):
        if min is None and max is None:
            refuse("given a bound", "none", "Write clamp(x, min=...), clamp(x, max=...) or both.")
        low, high = -math.inf if min is None else float(min), math.inf if max is None else float(max)
        return b.op("clamp", input, settings=(low, high))
    if min is not None:
        input = b.op("maximum", input, min)
    return input if max is None else b.op("minimum", input, max)


def leaky_relu(b: Builder, input: Value, negative_slope: float = 0.01) -> Value:
    return b.op("leaky_relu", input, settings=(float(negative_slope),))


def rrelu(b: Builder, input: Value, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False) -> Value:
    if training:
        refuse("without random numbers in evaluation", "training=True", "Write training=self.training.")
    return leaky_relu(b, input, (lower + upper) / 2)


def _exponential(b: Builder, x: Value, alpha: float, divisor: float = 1.0) -> Value:
    """x where x > 0, else alpha · (exp(x / divisor) - 1)."""
    below = b.op("clamp", x, settings=(-math.inf, 0.0))
    below = below if divisor == 1 else b.op("div", below, divisor)
    curve = b.op("sub", b.op("exp", below), 1.0)
    return b.op("where", b.op("gt", x, 0.0), x, curve if alpha == 1 else b.op("mul", curve, alpha))


def elu(b: Builder, input: Value, alpha: float = 1.0) -> Value:
    return _exponential(b, input, alpha)


def celu(b: Builder, input: Value, alpha: float = 1.0) -> Value:
    return _exponential(b, input, alpha, alpha)


def selu(b: Builder, input: Value) -> Value:
    return b.op("mul", _exponential(b, input, _SELU_ALPHA), _SELU_SCALE)


def silu(b: Builder, input: Value) -> Value:
    return b.op("mul", input, b.op("sigmoid", input))


def gelu(b: Builder, input: Value, approximate: str = "none") -> Value:
    if approximate != "tanh":
        remedy = 'Train with nn.GELU(approximate="tanh"); the error function is none of the operations of a stream.'
        refuse('GELU with approximate="tanh"', f"approximate={approximate!r}", remedy)
    cube = b.op("mul", b.op("mul", input, input), input)
    inner = b.op("mul", b.op("add", input, b.op("mul", cube, 0.044715)), math.sqrt(2 / math.pi))
    return b.op("mul", b.op("mul", input, 0.5), b.op("add", b.op("tanh", inner), 1.0))


def softplus(b: Builder, input: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if threshold != 20:
        refuse("Softplus with threshold=20", f"threshold={threshold!r}", "Leave it out.")
    return b.op("softplus", input) if beta == 1 else b.op("div", b.op("softplus", b.op("mul", input, beta)), beta)


def mish(b: Builder, input: Value) -> Value:
    return b.op("mul", input, b.op("tanh", b.op("softplus", input)))


def logsigmoid(b: Builder, input: Value) -> Value:
    return b.op("neg", b.op("softplus", b.op("neg", input)))


def absolute(b: Builder, input: Value) -> Value:
    return b.op("maximum", input, b.op("neg", input))


def softsign(b: Builder, input: Value) -> Value:
    return b.op("div", input, b.op("add", absolute(b, input), 1.0))


def hardtanh(b: Builder, input: Value, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    return b.op("clamp", input, settings=(float(min_val), float(max_val)))


def relu6(b: Builder, input: Value) -> Value:
    return hardtanh(b, input, 0.0, 6.0)


def hardsigmoid(b: Builder, input: Value) -> Value:
    return b.op("div", relu6(b, b.op("add", input, 3.0)), 6.0)


def hardswish(b: Builder, input: Value) -> Value:
    return b.op("mul", input, hardsigmoid(b, input))


def tanhshrink(b: Builder, input: Value) -> Value:
    return b.op("sub", input, b.op("tanh", input))


def threshold(b: Builder, input: Value, threshold: float, value: float) -> Value:
    return b.op("where", b.op("gt", input, threshold), input, value)


def hardshrink(b: Builder, input: Value, lambd: float = 0.5) -> Value:
    return b.op("where", b.op("le", absolute(b, input), lambd), 0.0, input)


def softshrink(b: Builder, input: Value, lambd: float = 0.5) -> Value:
    return b.op("sub", input, b.op("clamp", input, settings=(-lambd, lambd)))


def square(b: Builder, input: Value) -> Value:
    return b.op("mul", input, input)


def reciprocal(b: Builder, input: Value) -> Value:
    return b.op("div", 1.0, input)


def rsqrt(b: Builder, input: Value) -> Value:
    return b.op("div", 1.0, b.op("sqrt", input))


def log1p(b: Builder, input: Value) -> Value:
    return b.op("log", b.op("add", input, 1.0))


def expm1(b: Builder, input: Value) -> Value:
    return b.op("sub", b.op("exp", input), 1.0)


def power(b: Builder, input: Operand, exponent: Any) -> Value:
    """Whole exponents from -8 to 8, and 0.5 and -0.5."""
    if not isinstance(exponent, int | float) or not isinstance(input, Value):
        refuse("a power with a number as the exponent", "another one", "Write exp(y * log(x)) for a positive x.")
    if abs(exponent) == 0.5:
        found = b.op("sqrt", input)
    elif exponent == int(exponent) and 1 <= abs(exponent) <= 8:
        found = input
        for _ in range(int(abs(exponent)) - 1):
            found = b.op("mul", found, input)
    else:
        remedy = "Write exp(y * log(x)) for a positive x."
        refuse("a power of 0.5 or of a whole number up to 8", repr(exponent), remedy)
    return found if exponent > 0 else reciprocal(b, found)


def row_of(name: str) -> Callable[..., Value]:
    """An operation of the table that takes one operand and no settings."""

    def read(b: Builder, input: Value) -> Value:
        return b.op(name, input)

    return read


ACTIVATIONS: dict[str, Callable[..., Value]] = {
    **{name: row_of(name) for name in POINTWISE if OPERATIONS[name].operands == 1 and not OPERATIONS[name].settings},
    **{f.__name__: f for f in (clamp, leaky_relu, rrelu, elu, celu, selu, silu, gelu, softplus, mish, logsigmoid)},
    **{f.__name__: f for f in (softsign, hardtanh, relu6, hardsigmoid, hardswish, tanhshrink, threshold, hardshrink)},
    **{f.__name__: f for f in (softshrink, square, reciprocal, rsqrt, log1p, expm1)},
    "abs": absolute,
    "absolute": absolute,
    "pow": power,
    "log_sigmoid": logsigmoid,
    "clip": clamp,
    "clamp_min": lambda b, input, min: clamp(b, input, min=min),
    "clamp_max": lambda b, input, max: clamp(b, input, max=max),
}
"""torch's name of a function → how it is read."""
