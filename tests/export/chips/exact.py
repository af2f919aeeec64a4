"""a · b + c in float32 by integers of any size, and cases that are hard to round."""

import math
import random
import struct

PRECISION, LOWEST, HIGHEST = 24, -149, 127


def fma(a, b, c):
    """a · b + c, rounded once; all are values of float32, given and returned as Python floats."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c  # infinities and NaN need no rounding
    (m, e), (n, f) = _product(_parts(a), _parts(b)), _parts(c)
    low = min(e, f)
    total = (m << e - low) + (n << f - low)
    if total == 0:
        return a * b + c if m == 0 else 0.0  # of two zeros the sign is that of IEEE's sum
    return math.copysign(_rounded(abs(total), low), total)


def _parts(x):
    """x = integer · 2^exponent."""
    mantissa, exponent = math.frexp(x)
    return int(math.ldexp(mantissa, PRECISION)), exponent - PRECISION


def _product(x, y):
    return x[0] * y[0], x[1] + y[1]


def _rounded(m, e):
    """m · 2^e in float32, ties to even."""
    shift = max(m.bit_length() - PRECISION, LOWEST - e)
    if shift > 0:
        half, rest, m = 1 << shift - 1, m & (1 << shift) - 1, m >> shift
        m += rest > half or (rest == half and m & 1)
        e += shift
    return math.inf if m.bit_length() + e > HIGHEST + 1 else math.ldexp(m, e)


def float32(x):
    """The nearest value of float32; infinite past its range."""
    return struct.unpack("f", struct.pack("f", x))[0] if abs(x) < 3.4028235677973366e38 else math.copysign(math.inf, x)


def hard_cases(count, seed=0):
    """Triples: any bits, cancellation, ties, results below the normal numbers, and at the end of the range."""
    draw = random.Random(seed)
    kinds = (_any_bits, _cancellation, _tie, _subnormal, _overflow)
    return [kinds[i % len(kinds)](draw) for i in range(count)]


def _any_bits(draw):
    special = (0.0, -0.0, math.inf, -math.inf, math.nan, 2.0**-149, 2.0**-126, 1.0)
    bits = lambda: struct.unpack("f", draw.randbytes(4))[0]  # noqa: E731
    return tuple(draw.choice(special) if draw.random() < 0.1 else bits() for _ in range(3))


def _number(draw, low, high):
    return math.ldexp(draw.choice((-1, 1)) * draw.randrange(1 << 23, 1 << 24), draw.randint(low, high) - 23)


def _cancellation(draw):
    a, b = _number(draw, -40, 40), _number(draw, -40, 40)
    return a, b, -float32(a * b * (1 + draw.randint(-2, 2) * 2.0**-23))


def _tie(draw):
    """c and half of its last place, or a little more or less; less than float64 can show where both factors differ."""
    c = _number(draw, -60, 60)
    half = math.ldexp(1.0, math.frexp(c)[1] - PRECISION - 1)
    power, little, other = draw.randint(-20, 20), draw.randint(-2, 2) * 2.0**-23, draw.randint(0, 1)
    return half * 2.0**power * (1 + little), draw.choice((-1, 1)) * 2.0**-power * (1 - little * other), c


def _subnormal(draw):
    sign, exponent = draw.choice((-1, 1)), draw.randint(-80, -60)
    c = sign * math.ldexp(draw.randrange(1 << 24), LOWEST)
    return _number(draw, exponent, exponent), _number(draw, -150 - exponent, -120 - exponent), c


def _overflow(draw):
    a, exponent = _number(draw, 60, 64), draw.choice((102, 103, 104, 127))
    return a, float32(2.0**128 / a), -_number(draw, exponent, exponent)
