"""exp, log, tanh, sigmoid and softplus as vector code: no branch, no table, no call, at most one division each.

All five reduce their argument by a whole number of ln 2 and end in one polynomial. The polynomials are minimax fits in
the relative error of the function they stand for, computed by a Remez exchange in 50 digits (mpmath) on the reduced
interval. The leading coefficient is held at its exact value, so that the identities at 0 (or 1, for log) are exact.
For tanh, log and log1p the coefficients are rounded one at a time from the lowest, each time refitting the rest; for
exp they are rounded together. The error beside each table is that of the rounded polynomial in exact arithmetic; a
test evaluates every table in extended precision against it.

Errors in the docstrings are in units in the last place (ulp) of the exact result, measured over all exponents and both
signs with denormal numbers on. A result below the smallest normal number may be 0 instead, except in tanh. Where the
processor flushes denormal numbers, as it does in kernels, a denormal argument counts as 0, and log gives -inf for it.
NaN gives NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.kernels.codegen.vector_ops import Lanes, Value


@dataclass(frozen=True)
class Format:
    """What the functions need to know of a floating point format.

    The tables, lowest power first:
    expm1: (e^r - 1)/r in r, |r| <= ln(2)/2.
    tanh:  tanh(r)/r in r^2, |r| <= ln(2)/4, after the leading 1.
    log:   2 atanh(s)/s in s^2, |s| <= 3 - 2 sqrt(2), after the leading 2.
    log1p: the same for 0 <= s <= 1/3.
    """

    mantissa: int  # stored bits of the mantissa
    bias: int  # of the exponent
    ln2: float  # ln 2 rounded to the format
    ln2_rest: float  # ln 2 - ln2
    tanh_limit: float  # tanh rounds to 1 well below it
    exp_low: float  # the smallest argument for which exp is a normal number
    exp_high: float  # the largest argument for which exp is finite
    expm1: Sequence[float]
    tanh: Sequence[float]
    log: Sequence[float]
    log1p: Sequence[float]


_LN2_REST = 2.319046813846299615e-17  # ln 2 - float64(ln 2)

FORMATS = {
    "float32": Format(
        mantissa=23,
        bias=127,
        ln2=float(np.float32(math.log(2))),
        ln2_rest=math.log(2) - float(np.float32(math.log(2))),
        tanh_limit=10.0,
        exp_low=-87.33654,
        exp_high=88.72283,
        # relative error of e^r: 9.5e-8
        expm1=(0.9999997, 0.4999915, 0.16667636, 0.041897934, 0.008290319),
        # 5.6e-8
        tanh=(-0.33331272, 0.13110621),
        # 8.1e-10
        log=(0.66666776, 0.39977586, 0.29870695),
        # 4.5e-9
        log1p=(0.6666642, 0.40021437, 0.28003025, 0.2800678),
    ),
    "float64": Format(
        mantissa=52,
        bias=1023,
        ln2=math.log(2),
        ln2_rest=_LN2_REST,
        tanh_limit=20.0,
        exp_low=-708.3964185322641,
        exp_high=709.782712893384,
        # relative error of e^r: 1.2e-17
        expm1=(
            1.0,
            0.5000000000000012,
            0.16666666666666216,
            0.04166666666651782,
            0.008333333333549714,
            0.0013888888946356113,
            0.00019841269436760226,
            2.4801490632708095e-05,
            2.755762672217194e-06,
            2.763103547777615e-07,
            2.4991427159976713e-08,
        ),
        # 4.1e-18
        tanh=(
            -0.3333333333333249,
            0.13333333332784877,
            -0.05396825278368621,
            0.021869370826632324,
            -0.008857312234118828,
            0.0034448780602016307,
        ),
        # 1.3e-18
        log=(
            0.6666666666666734,
            0.3999999999941704,
            0.28571428741894694,
            0.2222219862133909,
            0.181835619241795,
            0.15314109838355738,
            0.14795375330685015,
        ),
        # 4.9e-17
        log1p=(
            0.666666666666777,
            0.39999999996048374,
            0.2857142905814072,
            0.22222192897205495,
            0.18182814285197088,
            0.15364292001985455,
            0.13586347963571357,
            0.09902648098446748,
            0.17740126399880332,
        ),
    ),
}


def exp(v: Lanes, x: Value) -> Value:
    """e^x = 2^n e^r, 2^n added to the exponent of e^r as an integer, which alone reaches both ends of the range.

    Error 2.1 ulp in float32, 1.0 in float64. exp(0) = 1, exp(inf) = inf, exp(-inf) = 0.
    """
    format = FORMATS[v.scalar]
    power, exponent = _exp(v, x, 1, bias=0)
    y = v.from_bits(v.builder.add(v.bits(power), exponent))
    y = v.select(v.lt(x, v.const(format.exp_low)), v.zero, y)
    return v.select(v.le(x, v.const(format.exp_high)), y, v.mul(x, v.const(math.inf)))


def log(v: Lanes, x: Value) -> Value:
    """ln x = k ln 2 + ln m with x = 2^k m, sqrt(1/2) <= m < sqrt(2), and ln m = 2 atanh((m - 1)/(m + 1)).

    Error 1.0 ulp in float32, 1.3 in float64, for denormal arguments too. log(1) = 0, log(±0) = -inf, log(inf) = inf,
    and NaN for x < 0.
    """
    format = FORMATS[v.scalar]
    b = v.builder
    # A denormal number has no leading bit to centre on: shift it into the normal range first.
    denormal = v.lt(x, v.const(2.0 ** (1 - format.bias)))
    shift = format.mantissa + 1
    normal = v.select(denormal, v.mul(x, v.const(2.0**shift)), x)
    bits = v.bits(normal)
    steps = b.ashr(b.sub(bits, v.int_const(_bits(math.sqrt(0.5), v))), v.int_const(format.mantissa))
    m = v.from_bits(b.sub(bits, b.shl(steps, v.int_const(format.mantissa))))
    k = b.sitofp(steps, v.V)
    k = v.select(denormal, v.sub(k, v.const(shift)), k)
    # ln 2 in one part is enough: its error is a fraction of an ulp of the result for every k.
    y = v.fma(k, v.const(format.ln2), _log1p(v, v.sub(m, v.const(1.0)), format.log))
    y = v.select(v.lt(x, v.const(math.inf)), y, x)
    y = v.select(v.eq(x, v.zero), v.const(-math.inf), y)
    return v.select(v.lt(x, v.zero), v.const(math.nan), y)


def tanh(v: Lanes, x: Value) -> Value:
    """tanh x = ((s - 1) + (s + 1) w) / ((s + 1) + (s - 1) w) with s = 2^n = e^2(x - r), w = tanh r, |r| <= ln(2)/4.

    Error 2.6 ulp in both formats. Exactly odd, so tanh(-0.0) = -0.0; tanh(±inf) = ±1. Never beyond 1: while s - 1 and
    s + 1 are exact the numerator is the smaller one before both are rounded, and from there on the two are equal.
    """
    format = FORMATS[v.scalar]
    # Past the limit 2^n would leave the exponent's range.
    x = _at_least(v, _at_most(v, x, format.tanh_limit), -format.tanh_limit)
    # The second part of ln 2 is not needed: where n is large enough to show it, tanh is flat.
    n, s = _whole_part(v, x, 2.0 / math.log(2), format.bias)
    r = v.fma(n, v.const(-format.ln2 / 2), x)
    w = v.mul(r, _polynomial(v, v.mul(r, r), (1.0, *format.tanh)))
    s = v.from_bits(s)
    # 1 - s, subtracted, rather than s - 1, added: for s = 1 that keeps the sign of a zero w.
    less, more = v.neg(v.sub(v.const(1.0), s)), v.add(s, v.const(1.0))
    return v.div(v.fma(more, w, less), v.fma(less, w, more))


def sigmoid(v: Lanes, x: Value) -> Value:
    """1 / (1 + e^-x), e^-x = 2^n e^r in one fused multiply-add with the 1.

    Error 3.5 ulp in float32, 2.1 in float64. sigmoid(0) = 1/2, sigmoid(inf) = 1, sigmoid(-inf) = 0; greater than 0
    wherever the exact result is a normal number.
    """
    format = FORMATS[v.scalar]
    # At the lower limit 2^n is inf and the quotient 0; at the upper one e^-x has long been lost beside 1.
    x = _at_least(v, _at_most(v, x, 64.0), -(format.bias + 1) * math.log(2))
    power, scale = _exp(v, x, -1, format.bias)
    return v.div(v.const(1.0), v.fma(v.from_bits(scale), power, v.const(1.0)))


def softplus(v: Lanes, x: Value) -> Value:
    """ln(1 + e^x) = max(x, 0) + log1p(u), u = e^-|x|, log1p(u) = 2 atanh(u / (2 + u)).

    Error 2.9 ulp in float32, 2.1 in float64. softplus(inf) = inf, softplus(-inf) = 0. torch.nn.functional.softplus
    returns x itself for x > 20, where ln(1 + e^x) - x < 2.1e-9. In float32 that is x already; in float64 its rule is
    taken over, so that the two agree to the last digits and not to nine.
    """
    format = FORMATS[v.scalar]
    # At the limit 2^n is 0.
    power, scale = _exp(v, _at_most(v, v.abs(x), format.bias * math.log(2)), -1, format.bias)
    u = v.mul(v.from_bits(scale), power)
    y = v.add(_log1p(v, u, format.log1p), v.relu(x))
    return v.select(v.gt(x, v.const(20.0)), x, y) if v.scalar == "float64" else y


def _exp(v: Lanes, x: Value, sign: int, bias: int) -> tuple[Value, Value]:
    """e^r in [sqrt(1/2), sqrt(2)] and the integer (n + bias) 2^mantissa, sign x = n ln 2 + r: e^(sign x) = 2^n e^r.

    With the format's own bias that integer is the bits of 2^n for n from -bias, where it is 0, to bias + 1, where it
    is inf. The sign costs nothing: it goes into the constants.
    """
    format = FORMATS[v.scalar]
    n, exponent = _whole_part(v, x, sign / math.log(2), bias)
    # x - n ln2 is exact, since both are multiples of the last place of ln 2 and the difference is small.
    r = v.fma(n, v.const(-sign * format.ln2), x)
    r = v.fma(n, v.const(-sign * format.ln2_rest), r)
    return _polynomial(v, r, [c * sign**k for k, c in enumerate((1.0, *format.expm1))]), exponent


def _log1p(v: Lanes, u: Value, coefficients: Sequence[float]) -> Value:
    """ln(1 + u) = 2 atanh s = 2 s + s^3 q(s^2) = u - s (u - s^2 q(s^2)), s = u / (2 + u).

    The last form keeps u itself as the leading term, so that the rounding of s counts only in the correction.
    """
    s = v.div(u, v.add(u, v.const(2.0)))
    z = v.mul(s, s)
    correction = v.fma(v.neg(z), _polynomial(v, z, coefficients), u)
    return v.fma(v.neg(s), correction, u)


def _whole_part(v: Lanes, x: Value, factor: float, bias: int) -> tuple[Value, Value]:
    """n = the whole number nearest to factor x, and the integer (n + bias) 2^mantissa.

    The addition to a number with a last place of 1 rounds factor x to a whole number, and leaves n + bias in the lowest
    bits, from which one shift moves it to the exponent.
    """
    mantissa = FORMATS[v.scalar].mantissa
    large = v.const(1.5 * 2.0**mantissa + bias)
    rounded = v.fma(x, v.const(factor), large)
    return v.sub(rounded, large), v.builder.shl(v.bits(rounded), v.int_const(mantissa))


def _polynomial(v: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule: the fewest instructions; kernels keep several vectors in flight."""
    *rest, y = (v.const(c) for c in coefficients)
    for c in reversed(rest):
        y = v.fma(y, x, c)
    return y


def _at_least(v: Lanes, x: Value, low: float) -> Value:
    """max(x, low) in one instruction, for low not NaN; NaN stays NaN."""
    return v.select(v.gt(v.const(low), x), v.const(low), x)


def _at_most(v: Lanes, x: Value, high: float) -> Value:
    """min(x, high) in one instruction, for high not NaN; NaN stays NaN."""
    return v.select(v.lt(v.const(high), x), v.const(high), x)


def _bits(x: float, v: Lanes) -> int:
    return int(np.array(x, v.scalar).view(f"int{v.itemsize * 8}"))


class MathLanes(Lanes):
    """The instructions of `Lanes`, and the functions of this file beside them: what vector code is written over."""

    exp = exp
    log = log
    tanh = tanh
    sigmoid = sigmoid
    softplus = softplus
