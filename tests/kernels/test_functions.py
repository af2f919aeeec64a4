"""exp, log, tanh, sigmoid and softplus against long double and mpmath, over the whole range of both formats."""

import ctypes
import functools
import re

import mpmath
import numpy as np
import pytest
import torch
from llvmlite import ir

from kernels.jit import I64, POINTER, functions_of, optimised
from ostinato.kernels.codegen import math_functions
from ostinato.kernels.codegen.vector_ops import Lanes

NAMES = ["exp", "log", "tanh", "sigmoid", "softplus"]
SCALARS = ["float32", "float64"]
LANES = [1, 4, 8, 16]
MOST_ULPS = 4.0
# The errors that the docstrings state, in ulp.
STATED = {
    "float32": {"exp": 2.1, "log": 1.0, "tanh": 2.6, "sigmoid": 3.5, "softplus": 2.9},
    "float64": {"exp": 1.0, "log": 1.3, "tanh": 2.6, "sigmoid": 2.1, "softplus": 2.1},
}
FAST_MATH = re.compile(r"\b(fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)\b")

both = pytest.mark.parametrize("scalar", SCALARS)
every = pytest.mark.parametrize("name", NAMES)


@functools.cache
def _module(scalar):
    """Functions `{name}_{lanes}`(in, out, n): the loop over n numbers, n a multiple of the lanes."""
    module = ir.Module()
    for name in NAMES:
        for lanes in LANES:
            _loop(module, name, scalar, lanes)
    return str(module)


def _loop(module, name, scalar, lanes):
    signature = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64])
    function = ir.Function(module, signature, f"{name}_{lanes}")
    source, target, n = function.args
    entry, body, done = (function.append_basic_block(label) for label in ("entry", "body", "done"))
    b = ir.IRBuilder(entry)
    b.branch(body)
    b.position_at_end(body)
    i = b.phi(I64)
    v = Lanes(module, b, scalar, lanes)
    x = v.load(b.gep(source, [i], source_etype=v.F))
    v.store(getattr(math_functions, name)(v, x), b.gep(target, [i], source_etype=v.F))
    following = b.add(i, ir.Constant(I64, lanes))
    i.add_incoming(ir.Constant(I64, 0), entry)
    i.add_incoming(following, body)
    b.cbranch(b.icmp_signed("<", following, n), body, done)
    b.position_at_end(done)
    b.ret_void()


@functools.cache
def _compiled(scalar):
    return functions_of(_module(scalar))


def apply(name, x, lanes=16):
    """The compiled function of an array of any length."""
    padded = np.concatenate([x, np.ones(-x.size % lanes, x.dtype)])
    y = np.empty_like(padded)
    arguments = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
    _compiled(str(x.dtype))(f"{name}_{lanes}", *arguments)(padded, y, padded.size)
    return y[: x.size]


def exact(name, x):
    """The function in long double, which keeps eleven bits more than float64."""
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        match name:
            case "exp":
                return np.exp(x)
            case "log":
                return np.log(x)
            case "tanh":
                return np.tanh(x)
            case "sigmoid":
                return 1 / (1 + np.exp(-x))
            case "softplus":
                return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


def ulps(y, wanted):
    """|y - wanted| in units in the last place of `wanted` in y's format."""
    format = np.finfo(y.dtype)
    exponent = np.maximum(np.frexp(wanted)[1] - 1, format.minexp)
    return abs(y.astype(np.longdouble) - wanted) / np.ldexp(np.longdouble(1), exponent - format.nmant)


def neighbours(x, scalar, steps=40):
    """The `steps` numbers next to each x on either side."""
    x = np.asarray(x, scalar)
    x = x[x > 0]
    integer = f"int{8 * x.itemsize}"
    return (x.view(integer)[:, None] + np.arange(-steps, steps + 1, dtype=integer)).view(scalar).ravel()


@functools.cache
def grid(scalar):
    """Finite numbers of both signs: every exponent, the breakpoints of every function, and where results vary."""
    rng = np.random.default_rng(20)
    format = np.finfo(scalar)
    unsigned = f"uint{format.bits}"
    exponents = np.arange(2 * format.maxexp - 1, dtype=unsigned)[:, None] << np.array(format.nmant, unsigned)
    each = 200 if scalar == "float32" else 40
    mantissas = rng.integers(0, 1 << format.nmant, (exponents.size, each), unsigned)
    edges = np.array([0, 1, 2, (1 << format.nmant) - 2, (1 << format.nmant) - 1], unsigned)
    numbers = [(exponents | mantissas).view(scalar).ravel(), (exponents | edges).view(scalar).ravel()]

    quarters = np.arange(1, 4 * (format.maxexp + format.nmant + 2)) * (np.log(2) / 4)
    table = math_functions.FORMATS[scalar]
    limits = [table.tanh_limit, -table.exp_low, table.exp_high, 64, 20, 1, np.sqrt(0.5), np.sqrt(2), format.tiny]
    limits += [np.log(2) * k for k in (table.bias - 1, table.bias, table.bias + 1, table.bias + format.nmant)]
    numbers += [neighbours(quarters, scalar, 8), neighbours(limits, scalar, 400)]
    numbers += [rng.uniform(0, top, 40000).astype(scalar) for top in (0.01, 1, 3, 12, 100, 800)]
    numbers += [rng.uniform(0.5, 2, 40000).astype(scalar)]
    positive = np.concatenate(numbers)
    return np.concatenate([positive, -positive])


@pytest.fixture(scope="module", autouse=True)
def _reference_is_finer():
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no finer than float64 on this platform")


@both
@every
def test_error_over_the_whole_range(name, scalar):
    x = grid(scalar)
    y, wanted = apply(name, x), exact(name, x)
    if name == "softplus" and scalar == "float64":
        wanted = np.where(x > 20, x.astype(np.longdouble), wanted)
    with np.errstate(over="ignore"):
        nearest = wanted.astype(scalar)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(nearest))
    np.testing.assert_array_equal(np.where(np.isinf(y), y, 0), np.where(np.isinf(nearest), nearest, 0))
    tiny = np.finfo(scalar).tiny
    flushed = abs(nearest) < (tiny if name in ("exp", "sigmoid", "softplus") else 0)
    assert (abs(y[flushed]) <= tiny).all()
    counted = np.isfinite(nearest) & ~flushed
    error = ulps(y[counted], wanted[counted])
    worst = error.argmax()
    assert STATED[scalar][name] <= MOST_ULPS
    assert error[worst] <= STATED[scalar][name], f"{error[worst]} ulp at {x[counted][worst]!r}"


@both
@every
def test_error_against_mpmath(name, scalar):
    """A reference that shares nothing with the platform's libm: near 0, and far out in both directions."""
    rng = np.random.default_rng(3)
    x = np.concatenate([10.0 ** rng.uniform(-30, 2.8, 150), rng.uniform(0, 30, 150)]).astype(scalar)
    x = np.concatenate([x, -x]) if name != "log" else x
    reference = {
        "exp": mpmath.exp,
        "log": mpmath.log,
        "tanh": mpmath.tanh,
        "sigmoid": lambda t: 1 / (1 + mpmath.exp(-t)),
        "softplus": lambda t: t if t > 20 and scalar == "float64" else mpmath.log1p(mpmath.exp(t)),
    }[name]
    format = np.finfo(scalar)
    with mpmath.workdps(700):
        for argument, y in zip(x, apply(name, x), strict=True):
            wanted = reference(mpmath.mpf(float(argument)))
            if not format.tiny <= abs(wanted) <= float(format.max) and name != "tanh":
                continue
            exponent = max(int(mpmath.floor(mpmath.log(abs(wanted), 2))), format.minexp)
            error = abs(mpmath.mpf(float(y)) - wanted) / mpmath.mpf(2) ** (exponent - format.nmant)
            assert error <= STATED[scalar][name], f"{float(error)} ulp at {argument!r}"


@both
@every
def test_special_values(name, scalar):
    inf, nan = np.inf, np.nan
    arguments = np.array([inf, -inf, nan, 0.0, -0.0], scalar)
    wanted = {
        "exp": [inf, 0, nan, 1, 1],
        "log": [inf, nan, nan, -inf, -inf],
        "tanh": [1, -1, nan, 0.0, -0.0],
        "sigmoid": [1, 0, nan, 0.5, 0.5],
        "softplus": [inf, 0, nan, np.log(2), np.log(2)],
    }[name]
    y = apply(name, arguments)
    np.testing.assert_array_equal(y, np.array(wanted, scalar))
    if name == "tanh":
        np.testing.assert_array_equal(np.signbit(y[3:]), [False, True])
    if name == "log":
        np.testing.assert_array_equal(apply(name, np.array([1, -1, -1e-30], scalar)), np.array([0, nan, nan], scalar))


@both
@every
def test_nan_of_any_payload_stays_nan(name, scalar):
    format = np.finfo(scalar)
    rng = np.random.default_rng(4)
    payload = rng.integers(1, 1 << format.nmant, 4096, f"uint{format.bits}")
    ones = np.array((2 * format.maxexp - 1) << format.nmant, payload.dtype)
    sign = rng.integers(0, 2, 4096, payload.dtype) << np.array(format.bits - 1, payload.dtype)
    assert np.isnan(apply(name, (payload | ones | sign).view(scalar))).all()


@both
@every
def test_same_bits_for_every_number_of_lanes(name, scalar):
    x = grid(scalar)[::7]
    expected = apply(name, x, lanes=16)
    for lanes in LANES:
        assert apply(name, x, lanes).tobytes() == expected.tobytes(), lanes


@both
def test_tanh_is_odd_and_never_beyond_one(scalar):
    x = grid(scalar)
    y = apply("tanh", x)
    assert abs(y).max() == 1
    np.testing.assert_array_equal(apply("tanh", -x), -y)


@both
def test_sigmoid_is_positive_until_it_underflows(scalar):
    x = grid(scalar)
    y = apply("sigmoid", x)
    lowest = np.log(np.finfo(scalar).tiny)
    assert (y[x > lowest] > 0).all()
    assert (y >= 0).all() and y.max() == 1


@both
def test_exp_reaches_both_ends_of_the_range(scalar):
    table = math_functions.FORMATS[scalar]
    low, high = np.array(table.exp_low, scalar), np.array(table.exp_high, scalar)
    x = np.array([low, np.nextafter(low, -np.inf, dtype=scalar), high, np.nextafter(high, np.inf, dtype=scalar)])
    y = apply("exp", x)
    assert y[0] >= np.finfo(scalar).tiny * (1 - np.finfo(scalar).eps) and y[1] == 0
    assert np.isfinite(y[2]) and y[2] > 0.99 * np.finfo(scalar).max and y[3] == np.inf


@both
def test_softplus_agrees_with_torch_on_both_sides_of_its_threshold(scalar):
    x = np.concatenate([neighbours([20.0], scalar), np.linspace(-40, 40, 4001).astype(scalar)])
    wanted = torch.nn.functional.softplus(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(apply("softplus", x), wanted, rtol=8 * np.finfo(scalar).eps, atol=0)


@both
def test_no_fast_math_flag_and_no_call(scalar):
    text = _module(scalar)
    for version in (text, str(optimised(text))):
        assert not FAST_MATH.search(version)
        called = set(re.findall(r"call [^@]*@\"?([\w.]+)", version))
        assert all(name.startswith("llvm.") for name in called), called
    assert "llvm.fma" in text
    for name in NAMES:
        body = text.split(f'@"{name}_16"')[1].split("\n}")[0]
        assert body.count("fdiv") <= 1, name
    assert FAST_MATH.search("  %1 = fadd contract float %a, %b")


# table: (what it approximates in z, the interval of z, its error relative to the function)
TABLES = {
    "expm1": (
        lambda r: mpmath.exp(r),
        (-mpmath.log(2) / 2, mpmath.log(2) / 2),
        {"float32": 9.6e-8, "float64": 1.2e-17},
    ),
    "tanh": (
        lambda z: mpmath.tanh(mpmath.sqrt(z)) / mpmath.sqrt(z),
        (0, (mpmath.log(2) / 4) ** 2),
        {"float32": 5.6e-8, "float64": 4.1e-18},
    ),
    "log": (
        lambda z: 2 * mpmath.atanh(mpmath.sqrt(z)) / mpmath.sqrt(z),
        (0, (3 - 2 * mpmath.sqrt(2)) ** 2),
        {"float32": 8.1e-10, "float64": 1.3e-18},
    ),
    "log1p": (
        lambda z: 2 * mpmath.atanh(mpmath.sqrt(z)) / mpmath.sqrt(z),
        (0, mpmath.mpf(1) / 9),
        {"float32": 4.5e-9, "float64": 4.9e-17},
    ),
}


@both
@pytest.mark.parametrize("table", TABLES)
def test_polynomial_keeps_its_error(table, scalar):
    function, (low, high), bounds = TABLES[table]
    leading = 2 if table.startswith("log") else 1
    coefficients = [leading, *(float(np.array(c, scalar)) for c in getattr(math_functions.FORMATS[scalar], table))]
    worst = 0
    with mpmath.workdps(40):
        for k in range(1, 400):
            z = low + (high - low) * mpmath.mpf(k) / 400
            value = mpmath.polyval(coefficients[::-1], z)
            worst = max(worst, abs(value / function(z) - 1))
    assert bounds[scalar] / 2 < worst <= bounds[scalar]
