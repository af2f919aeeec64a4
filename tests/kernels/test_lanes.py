"""Every instruction of the vocabulary against numpy and torch, with NaN, signed zeros and a masked tail."""

import ctypes
import functools

import numpy as np
import pytest
import torch
from llvmlite import ir

from kernels.jit import I64, POINTER, functions_of
from ostinato.kernels.codegen.vector_ops import Lanes

ARGUMENTS = (ctypes.c_void_p,) * 3 + (ctypes.c_int64,)
SCALARS = ["float32", "float64"]
A = [1.5, -0.0, np.nan, 2.5, -3.0, 4.0, 0.1, np.inf, 0.5, -1.5, 3.0, 0.0, 7.25, -0.7, 1e30, -2.0]
B = [2.0, 0.0, 1.0, np.nan, -3.0, 5.0, -9.0, 0.3, 1.5, -0.1, 2.0, -0.0, 7.5, 0.7, 1e30, np.inf]

# name: (what is emitted, what numpy or torch gives), both of the vectors a and b
CASES = {
    "add": (lambda v, a, b: v.add(a, b), lambda a, b: a + b),
    "sub": (lambda v, a, b: v.sub(a, b), lambda a, b: a - b),
    "mul": (lambda v, a, b: v.mul(a, b), lambda a, b: a * b),
    "div": (lambda v, a, b: v.div(a, b), lambda a, b: a / b),
    "neg": (lambda v, a, b: v.neg(a), lambda a, b: -a),
    "abs": (lambda v, a, b: v.abs(a), lambda a, b: abs(a)),
    "copysign": (lambda v, a, b: v.copysign(a, b), np.copysign),
    "sqrt": (lambda v, a, b: v.sqrt(a), lambda a, b: np.sqrt(a)),
    "rint": (lambda v, a, b: v.rint(a), lambda a, b: np.rint(a)),
    "minimum": (lambda v, a, b: v.minimum(a, b), lambda a, b: _torch(torch.minimum, a, b)),
    "maximum": (lambda v, a, b: v.maximum(a, b), lambda a, b: _torch(torch.maximum, a, b)),
    "relu": (lambda v, a, b: v.relu(a), lambda a, b: _torch(torch.relu, a)),
    "lt": (lambda v, a, b: v.select(v.lt(a, b), a, b), lambda a, b: np.where(a < b, a, b)),
    "le": (lambda v, a, b: v.select(v.le(a, b), a, v.zero), lambda a, b: np.where(a <= b, a, 0)),
    "gt": (lambda v, a, b: v.select(v.gt(a, b), a, b), lambda a, b: np.where(a > b, a, b)),
    "ge": (lambda v, a, b: v.select(v.ge(a, b), a, v.zero), lambda a, b: np.where(a >= b, a, 0)),
    "eq": (lambda v, a, b: v.select(v.eq(a, b), a, v.const(9)), lambda a, b: np.where(a == b, a, 9)),
    "ne": (lambda v, a, b: v.select(v.ne(a, b), a, v.const(9)), lambda a, b: np.where(a != b, a, 9)),
    "isnan": (lambda v, a, b: v.select(v.isnan(a), b, a), lambda a, b: np.where(np.isnan(a), b, a)),
    "and": (
        lambda v, a, b: v.select(v.and_(v.lt(a, b), v.gt(a, v.zero)), a, b),
        lambda a, b: np.where((a < b) & (a > 0), a, b),
    ),
    "or": (
        lambda v, a, b: v.select(v.or_(v.lt(a, b), v.gt(a, v.zero)), a, b),
        lambda a, b: np.where((a < b) | (a > 0), a, b),
    ),
    "bits": (
        lambda v, a, b: v.from_bits(v.builder.xor(v.bits(a), v.int_const(1 << v.itemsize * 8 - 1))),
        lambda a, b: -a,
    ),
    "const 0.1": (lambda v, a, b: v.const(0.1), lambda a, b: np.full_like(a, 0.1)),
    "const 1e39": (lambda v, a, b: v.const(1e39), lambda a, b: np.full_like(a, np.inf if a.itemsize == 4 else 1e39)),
    "const inf": (lambda v, a, b: v.const(-np.inf), lambda a, b: np.full_like(a, -np.inf)),
    "const nan": (lambda v, a, b: v.const(np.nan), lambda a, b: np.full_like(a, np.nan)),
    "const denormal": (lambda v, a, b: v.const(1e-42), lambda a, b: np.full_like(a, 1e-42)),
    "const -0": (lambda v, a, b: v.const(-0.0), lambda a, b: np.full_like(a, -0.0)),
}  # fmt: skip


def _torch(function, *arrays):
    return function(*map(torch.from_numpy, arrays)).numpy()


def _define(module, scalar, lanes, name, emit):
    """A function of a, b, out and n: stores what `emit` makes of the lanes i < n of a and b."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, POINTER, I64]), name)
    v = Lanes(module, ir.IRBuilder(function.append_basic_block()), scalar, lanes)
    left, right, out, count = function.args
    mask = v.tail_mask(count)
    v.store(emit(v, v.load(left, mask), v.load(right, mask)), out, mask)
    v.builder.ret_void()


@functools.cache
def _cases(scalar):
    module = ir.Module()
    for name, (emit, _) in CASES.items():
        _define(module, scalar, 16, name, emit)
    return functions_of(str(module))


def _run(scalar, lanes, emit, a, b, n):
    """As a case, with `lanes` lanes; lanes from n on keep the 77 they had."""
    module = ir.Module()
    _define(module, scalar, lanes, "test", emit)
    result = np.full(lanes, 77, scalar)
    functions_of(str(module))("test", *ARGUMENTS)(a, b, result, n)
    return result


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("name", CASES)
def test_instruction(name, scalar):
    expected = CASES[name][1]
    a, b = np.array(A, scalar), np.array(B, scalar)
    with np.errstate(all="ignore"):
        wanted = np.asarray(expected(a, b), scalar)
    got = np.empty(16, scalar)
    _cases(scalar)(name, *ARGUMENTS)(a, b, got, 16)
    np.testing.assert_array_equal(got, wanted)
    if name not in ("minimum", "maximum"):  # of two zeros torch itself takes either
        number = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(wanted)[number])


@pytest.mark.parametrize("scalar", SCALARS)
def test_fma_rounds_once(scalar):
    eps = np.finfo(scalar).eps
    a = np.full(4, 1 + eps, scalar)
    b = np.full(4, -1 - 2 * eps, scalar)
    # (1 + eps)^2 - (1 + 2 eps) = eps^2, which a product rounded on its own loses
    np.testing.assert_array_equal(_run(scalar, 4, lambda v, a, b: v.fma(a, a, b), a, b, 4), np.full(4, eps**2, scalar))


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("scalar", SCALARS)
def test_masked_tail(scalar, lanes):
    a = np.arange(1, lanes + 1).astype(scalar)
    for n in (-3, 0, 1, lanes - 1, lanes, lanes + 1, 2**33):
        got = _run(scalar, lanes, lambda v, a, b: v.add(a, b), a, a, n)
        inside = np.arange(lanes) < n
        np.testing.assert_array_equal(got, np.where(inside, 2 * a, 77))


@pytest.mark.parametrize("scalar", SCALARS)
def test_masked_off_lanes_read_as_zero(scalar):
    a = np.full(8, 5, scalar)
    total = _run(scalar, 8, lambda v, a, b: v.splat(v.sum(a)), a, a, 3)
    np.testing.assert_array_equal(total, [15, 15, 15, 77, 77, 77, 77, 77])


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("scalar", SCALARS)
def test_sum_is_one_tree(scalar, lanes):
    rng = np.random.default_rng(1)
    a = (rng.normal(size=lanes) * 10.0 ** rng.integers(-6, 6, lanes)).astype(scalar)
    wanted = a
    while wanted.size > 1:
        half = wanted.size // 2
        wanted = wanted[:half] + wanted[half:]
    got = _run(scalar, lanes, lambda v, a, b: v.splat(v.sum(a)), a, a, lanes)
    np.testing.assert_array_equal(got, np.full(lanes, wanted[0]))


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("scalar", SCALARS)
def test_sums_of_several_vectors_have_the_bits_of_each_sum(scalar, lanes):
    rng = np.random.default_rng(2)
    a = (rng.normal(size=lanes) * 10.0 ** rng.integers(-6, 6, lanes)).astype(scalar)

    def several(v, a, b):
        return v.sums([v.mul(a, v.const(k + 1)) for k in range(lanes)])

    wanted = [
        _run(scalar, lanes, lambda v, a, b, k=k: v.splat(v.sum(v.mul(a, v.const(k + 1)))), a, a, lanes)[0]
        for k in range(lanes)
    ]
    np.testing.assert_array_equal(_run(scalar, lanes, several, a, a, lanes), wanted)


def test_refusals():
    with pytest.raises(ValueError, match="scalar must be one of float32, float64, got 'bfloat16'"):
        Lanes(ir.Module(), ir.IRBuilder(), "bfloat16", 4)
    with pytest.raises(ValueError, match="lanes must be a power of two, got 6"):
        Lanes(ir.Module(), ir.IRBuilder(), "float32", 6)
