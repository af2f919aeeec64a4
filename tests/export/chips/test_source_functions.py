"""The C functions that sources call, against exact results; and code without a C text is refused."""

import ctypes
import math

import numpy as np
import pytest
from llvmlite import ir

from export.chips.compiled_source import compiled
from export.chips.exact import fma, hard_cases
from ostinato.errors import InputError
from ostinato.export.c99.context import Context
from ostinato.export.c99.expressions import Address, Linear, literal
from ostinato.export.c99.functions import FunctionText
from ostinato.export.c99.helpers import GUARDS, helpers
from ostinato.kernels.codegen.ir_builder import BOOL, I64, PTR, Code

FORMATS = {"float32": ("float", np.float32, np.uint32), "float64": ("double", np.float64, np.uint64)}


def mapped(name, arity, scalar, folder, flags=("-O2",)):
    """A helper applied to all elements of arrays."""
    number, dtype, _ = FORMATS[scalar]
    pointers = ", ".join(f"const {number} *x{k}" for k in range(arity))
    arguments = ", ".join(f"x{k}[i]" for k in range(arity))
    text = "#include <float.h>\n#include <stdint.h>\n" + GUARDS.replace("@P", "net").partition("/* A product")[0]
    text += '#pragma GCC optimize("fp-contract=off")\n' + helpers({name}, "net", scalar)
    text += f"void all(int n, {number} *y, {pointers});\nvoid all(int n, {number} *y, {pointers})\n"
    text += f"{{\n    for (int i = 0; i < n; i += 1)\n        y[i] = net_{name}({arguments});\n}}\n"
    library = compiled(text, folder, list(flags))

    def call(*arrays):
        arrays = [np.ascontiguousarray(a, dtype) for a in arrays]
        y = np.empty_like(arrays[0])
        library.all(len(y), *(ctypes.c_void_p(a.ctypes.data) for a in (y, *arrays)))
        return y

    return call


def bits(a):
    """The bits of numbers, one pattern for every NaN."""
    return np.where(np.isnan(a), np.array(np.nan, a.dtype), a).view(f"u{a.itemsize}")


def any_bits(scalar, count=100_000):
    _, dtype, integer = FORMATS[scalar]
    top = np.iinfo(integer).max
    drawn = np.random.default_rng(0).integers(0, top, count, integer, endpoint=True).view(dtype)
    return np.concatenate([drawn, np.array([0, -0.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 1.5, 2.5, -2.5], dtype)])


def test_the_fused_multiply_add_without_hardware_is_exact(tmp_path):
    cases = hard_cases(100_000)
    columns = np.array(cases, np.float32).T
    expected = np.array([fma(*case) for case in cases], np.float32)
    assert np.array_equal(bits(mapped("fma", 3, "float32", tmp_path, ["-O2", "-mno-fma"])(*columns)), bits(expected))
    # The cases are hard: two roundings, and a rounding of the sum in float64, fail in many of them.
    a, b, c = columns
    with np.errstate(all="ignore"):
        for wrong in (a * b + c, (a.astype(float) * b + c).astype(np.float32)):
            assert np.count_nonzero(bits(wrong) != bits(expected)) > 100


@pytest.mark.parametrize("scalar", FORMATS)
def test_the_square_root_is_rounded_to_nearest(scalar, tmp_path):
    x = np.concatenate([any_bits(scalar), np.square(np.arange(3000.0)).astype(scalar)])
    _, dtype, integer = FORMATS[scalar]
    x = np.concatenate([x, np.arange(3000, dtype=integer).view(dtype)])  # below the normal numbers
    with np.errstate(invalid="ignore"):
        assert np.array_equal(bits(mapped("sqrt", 1, scalar, tmp_path)(x)), bits(np.sqrt(x)))


@pytest.mark.parametrize("scalar", FORMATS)
def test_rounding_to_an_integer_absolute_values_and_signs_are_exact(scalar, tmp_path):
    x = any_bits(scalar)
    near = np.linspace(-9, 9, 1001).astype(scalar)
    large = np.ldexp(np.array([0.5, 1, 2], scalar), {"float32": 23, "float64": 52}[scalar])
    x = np.concatenate([x, near, large, large - 0.5, -large])
    rounded, absolute = mapped("rint", 1, scalar, tmp_path)(x), mapped("fabs", 1, scalar, tmp_path)(x)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(bits(rounded), bits(np.rint(x)))
    assert np.array_equal(bits(absolute), bits(np.abs(x)))
    signed = mapped("copysign", 2, scalar, tmp_path)(x, x[::-1])
    assert np.array_equal(bits(signed), bits(np.copysign(x, x[::-1])))


def test_literals_are_exact():
    for x in (0.1, -3.0, 2.0**-149, 3.4028234663852886e38, 1.0, -0.0, 12345678.0, float.fromhex("0x1.62e43p-1")):
        text = literal(x, "float64").text
        value = float.fromhex(text) if "x" in text else float(text)
        assert value == x and math.copysign(1, value) == math.copysign(1, x)
    assert literal(2.5, "float32").text == "2.5f" and literal(0.1, "float64").text == "0x1.999999999999ap-4"


def test_integers_are_linear_forms():
    i, j = Linear.of("i"), Linear.of("j")
    assert (i * Linear(constant=8) + j - i * Linear(constant=8)).text.text == "j"
    assert (Linear(constant=3) - i).text.text == "-i + 3"
    assert (i * j + Linear(constant=-2)).text.text == "(i * j) - 2"
    assert Address("work", i + Linear(constant=3)).text == "work + i + 3"
    assert Address("work").element == "work[0]"


def translated(emit, lanes=1, arguments=(PTR,)):
    """The C text of a function whose body `emit` emits."""
    code = Code(ir.Module("own"), "own", list(arguments), "float32", lanes)
    code.name_arguments(*"abcd"[: len(arguments)])
    emit(code, *code.arguments)
    function = code.close()
    return FunctionText(function, Context("net", "float32", I64, {}, {})).translate().text


def test_memory_is_read_before_it_is_written():
    def emit(code, a):
        one, two = a.load(), a.at(1).load()
        a.store(code.lanes.neg(two))
        a.at(1).store(code.lanes.add(one, code.lanes.const(2.0)))

    body = translated(emit)
    assert body.index("v1 = a[0]") < body.index("a[0] = -a[1]") < body.index("a[1] = v1 + 2.0f")


def test_operations_of_integer_lanes_wrap():
    def emit(code, a):
        b, lanes = code.builder, code.lanes
        x = b.xor(b.lshr(lanes.bits(a.load()), lanes.int_const(3)), lanes.int_const(-1))
        a.store(lanes.from_bits(b.mul(x, lanes.int_const(5))))

    assert "net_number(((net_bits(a[0]) >> 3) ^ 4294967295u) * 5u)" in translated(emit)


def test_comparisons_are_joined_as_masks():
    def emit(code, a):
        lanes, x = code.lanes, a.load()
        inside = lanes.and_(lanes.gt(x, lanes.zero), lanes.ne(x, lanes.const(1.0)))
        a.store(lanes.select(inside, lanes.copysign(lanes.rint(x), x), lanes.zero))

    assert "(v1 > 0.0f) & (v1 != 1.0f) ? net_copysign(net_rint(v1), v1) : 0.0f" in translated(emit)


def branch(code, a):
    with code.if_(code.int_const(1) > 0):
        a.store(code.lanes.zero)


def unknown_intrinsic(code, a):
    a.store(code.lanes._elementwise("sin", a.load()))


def unknown_comparison(code, a):
    x = a.load()
    a.store(code.lanes.select(code.builder.fcmp_unordered("<", x, x), x, x))


def unknown_instruction(code, a):
    x = a.load()
    a.store(code.builder.frem(x, x))


def unknown_shift(code, a):
    x = code.lanes.bits(a.load())
    a.store(code.lanes.from_bits(code.builder.shl(x, x)))


def unknown_integer_operation(code, a):
    a.at(code.int_const(5).max(3)).store(code.lanes.zero)
    a.store_scalar(code.builder.sitofp(code.builder.shl(ir.Constant(I64, 1), ir.Constant(I64, 2)), code.lanes.F))


def unknown_constant(code, a):
    a.store(ir.Constant(code.lanes.V, ir.Undefined))


def unsigned_comparison(code, a):
    one = ir.Constant(I64, 1)
    a.store(code.lanes.select(code.builder.icmp_unsigned("<", one, one), a.load(), a.load()))


def head_with_more_than_its_test(code, a):
    b = code.builder
    head, after = code.function.append_basic_block("head"), code.function.append_basic_block("end")
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    following = b.add(i, ir.Constant(I64, 1))
    i.add_incoming(ir.Constant(I64, 0), before)
    i.add_incoming(following, head)
    b.cbranch(ir.Constant(BOOL, 1), head, after)
    b.position_at_end(after)


def foreign_call(code, a):
    code.call(ir.Function(code.module, ir.FunctionType(ir.VoidType(), [PTR]), "other"), a)


def long_mean(code, a):
    a.store_scalar(code.builder.sitofp(code.int_const((1 << 24) + 1).value, code.lanes.F))


@pytest.mark.parametrize(
    "emit, received",
    [
        (branch, "the branch br"),
        (unknown_intrinsic, "a call of llvm.sin.v1f32"),
        (unknown_comparison, "the comparison"),
        (unknown_instruction, "the instruction"),
        (unknown_shift, "the instruction"),
        (unknown_integer_operation, "the operation shl of integers"),
        (unknown_constant, "the constant"),
        (unsigned_comparison, "the comparison"),
        (head_with_more_than_its_test, "the block head with 3 instructions"),
        (foreign_call, "a call of other"),
        (long_mean, "a mean over 16777217 units"),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_code_without_a_c_text_is_refused(emit, received):
    with pytest.raises(InputError, match="c_source: the code must be of loops .* got " + received):
        translated(emit)


def test_vectors_are_refused():
    with pytest.raises(InputError, match="a vector of 4 lanes"):
        translated(lambda code, a: a.store(a.load()), lanes=4)
