"""Vector instructions: every floating point instruction of a kernel is emitted here.

No instruction carries a fast-math flag and none is fused by LLVM: a fused multiply-add is an explicit `llvm.fma`,
and the order of every sum is the order in which it is emitted. The same emitter calls therefore give the same bits
in every kernel and for every number of lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir

# llvmlite is untyped; a value is whatever its builder returns.
Value = Any

_FORMATS: dict[str, tuple[Any, int, Any]] = {
    "float32": (ir.FloatType(), 32, np.float32),
    "float64": (ir.DoubleType(), 64, np.float64),
}


@lru_cache(maxsize=256)
def _every_lane(kind: ir.Type, lanes: int, value: int | str) -> Value:
    """A vector constant. value: an integer, or a floating point number in hexadecimal, which tells -0.0 from 0.0.

    Cached, and with it its text: a kernel names some constants hundreds of times.
    """
    number = value if isinstance(value, int) else float.fromhex(value)
    return ir.Constant(ir.VectorType(kind, lanes), [ir.Constant(kind, number)] * lanes)


@lru_cache(maxsize=64)
def _undefined(kind: ir.Type, lanes: int) -> Value:
    return ir.Constant(ir.VectorType(kind, lanes), ir.Undefined)


_FIRST = ir.Constant(ir.IntType(32), 0)


class Lanes:
    """Vector instructions of one builder: `lanes` numbers of one scalar type at a time.

    F is the scalar type, V the vector of `lanes` of them, I the integer vector of the same width, M the mask
    <lanes x i1>. A single lane is still a vector, <1 x F>. Integer arithmetic on I goes through `builder` itself,
    with constants from `int_const`.
    """

    def __init__(self, module: ir.Module, builder: ir.IRBuilder, scalar: str, lanes: int) -> None:
        if scalar not in _FORMATS:
            raise ValueError(f"Lanes: scalar must be one of {', '.join(_FORMATS)}, got {scalar!r}.")
        if lanes < 1 or lanes & (lanes - 1):
            raise ValueError(f"Lanes: lanes must be a power of two, got {lanes}.")
        self.module = module
        self.builder = builder
        self.scalar = scalar
        self.lanes = lanes
        self.F, bits, self._round = _FORMATS[scalar]
        self.itemsize = bits // 8
        self.V = ir.VectorType(self.F, lanes)
        self.I = ir.VectorType(ir.IntType(bits), lanes)  # noqa: E741 - named like F, V and M
        self.M = ir.VectorType(ir.IntType(1), lanes)

    def _call(self, name: str, result: ir.Type, arguments: Sequence[Value]) -> Value:
        """A call of an intrinsic, declared once in the module."""
        function = self.module.globals.get(name)
        if function is None:
            signature = ir.FunctionType(result, [argument.type for argument in arguments])
            function = ir.Function(self.module, signature, name)
        return self.builder.call(function, arguments)

    def _elementwise(self, name: str, *arguments: Value) -> Value:
        kind = f"f{self.itemsize * 8}"
        return self._call(f"llvm.{name}.v{self.lanes}{kind}", self.V, arguments)

    # constants

    def const(self, x: float) -> Value:
        """Every lane is x, rounded to nearest; infinities, NaN, signed zeros and denormal numbers survive."""
        with np.errstate(over="ignore"):
            return _every_lane(self.F, self.lanes, float(self._round(x)).hex())

    def int_const(self, n: int) -> Value:
        """Every lane is the integer n, taken modulo 2^width: 0x80000000 is the sign bit of float32."""
        width = self.itemsize * 8
        signed = (n + (1 << width - 1)) % (1 << width) - (1 << width - 1)
        return _every_lane(self.I.element, self.lanes, signed)

    @property
    def zero(self) -> Value:
        return self.const(0.0)

    def splat(self, value: Value) -> Value:
        """A scalar in every lane."""
        return self._repeat(value)

    def _repeat(self, value: Value) -> Value:
        nothing = _undefined(value.type, self.lanes)
        first = self.builder.insert_element(nothing, value, _FIRST)
        return self.builder.shuffle_vector(first, nothing, _every_lane(_FIRST.type, self.lanes, 0))

    # arithmetic, each correctly rounded

    def add(self, a: Value, b: Value) -> Value:
        return self.builder.fadd(a, b)

    def sub(self, a: Value, b: Value) -> Value:
        return self.builder.fsub(a, b)

    def mul(self, a: Value, b: Value) -> Value:
        return self.builder.fmul(a, b)

    def div(self, a: Value, b: Value) -> Value:
        return self.builder.fdiv(a, b)

    def neg(self, a: Value) -> Value:
        return self.builder.fneg(a)

    def abs(self, a: Value) -> Value:
        return self._elementwise("fabs", a)

    def copysign(self, magnitude: Value, sign: Value) -> Value:
        return self._elementwise("copysign", magnitude, sign)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self._elementwise("fma", a, b, c)

    def sqrt(self, a: Value) -> Value:
        return self._elementwise("sqrt", a)

    def rint(self, a: Value) -> Value:
        """The nearest integer, ties to even."""
        return self._elementwise("rint", a)

    # comparisons: false where an operand is NaN, except `ne`, which is true there

    def lt(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_ordered("<", a, b)

    def le(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_ordered("<=", a, b)

    def gt(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_ordered(">", a, b)

    def ge(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_ordered(">=", a, b)

    def eq(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_ordered("==", a, b)

    def ne(self, a: Value, b: Value) -> Value:
        return self.builder.fcmp_unordered("!=", a, b)

    def isnan(self, a: Value) -> Value:
        return self.builder.fcmp_unordered("uno", a, a)

    def and_(self, a: Value, b: Value) -> Value:
        return self.builder.and_(a, b)

    def or_(self, a: Value, b: Value) -> Value:
        return self.builder.or_(a, b)

    def select(self, mask: Value, a: Value, b: Value) -> Value:
        """a where the mask holds, else b."""
        return self.builder.select(mask, a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        """As torch.minimum: NaN in either operand gives NaN. Of two zeros, b."""
        return self.select(self.isnan(a), a, self.select(self.lt(a, b), a, b))

    def maximum(self, a: Value, b: Value) -> Value:
        """As torch.maximum: NaN in either operand gives NaN. Of two zeros, b."""
        return self.select(self.isnan(a), a, self.select(self.gt(a, b), a, b))

    def relu(self, a: Value) -> Value:
        """As torch.relu: 0 where a < 0, else a itself, so NaN stays NaN and -0.0 stays -0.0."""
        return self.select(self.gt(self.zero, a), self.zero, a)

    # integers

    def bits(self, a: Value) -> Value:
        return self.builder.bitcast(a, self.I)

    def from_bits(self, i: Value) -> Value:
        return self.builder.bitcast(i, self.V)

    # memory: aligned to one element, because torch promises no more

    def load(self, pointer: Value, mask: Value | None = None) -> Value:
        """`lanes` consecutive elements; lanes outside the mask are not read and are 0."""
        if mask is None:
            return self.builder.load(pointer, typ=self.V, align=self.itemsize)
        align = ir.Constant(ir.IntType(32), self.itemsize)
        name = f"llvm.masked.load.v{self.lanes}f{self.itemsize * 8}.p0"
        return self._call(name, self.V, [pointer, align, mask, self.zero])

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """`lanes` consecutive elements; memory outside the mask is not written."""
        if mask is None:
            self.builder.store(value, pointer, align=self.itemsize)
            return
        align = ir.Constant(ir.IntType(32), self.itemsize)
        name = f"llvm.masked.store.v{self.lanes}f{self.itemsize * 8}.p0"
        self._call(name, ir.VoidType(), [value, pointer, align, mask])

    def tail_mask(self, n: Value) -> Value:
        """Lanes i with i < n; n is a scalar integer of any size."""
        # Compared in 32 bits: sixteen 64-bit indices would take two registers.
        most = ir.Constant(n.type, self.lanes)
        count = self.builder.select(self.builder.icmp_signed("<", n, most), n, most)
        narrow = ir.IntType(32)
        counts = self._repeat(count if n.type == narrow else self.builder.trunc(count, narrow))
        indices = ir.Constant(ir.VectorType(narrow, self.lanes), list(range(self.lanes)))
        return self.builder.icmp_signed("<", indices, counts)

    def sum(self, a: Value) -> Value:
        """The sum over the lanes as a scalar: lane i + lane i + lanes/2, halved until one is left."""
        index = ir.IntType(32)
        width = self.lanes
        while width > 1:
            width //= 2
            half = ir.VectorType(index, width)
            low = self.builder.shuffle_vector(a, a, ir.Constant(half, list(range(width))))
            high = self.builder.shuffle_vector(a, a, ir.Constant(half, list(range(width, 2 * width))))
            a = self.builder.fadd(low, high)
        return self.first(a)

    def sums(self, several: Sequence[Value]) -> Value:
        """The sums of `lanes` vectors as one vector: lane k is the `sum` of the k-th, bit for bit.

        At each level a vector holds partial sums of two, one in each half of the lanes: a shuffle, a blend and an
        addition in place of the two shuffles of separate sums.
        """
        index, half = ir.IntType(32), self.lanes // 2
        found = list(several)
        while half:
            lanes = range(self.lanes)
            keep = [k if not k & half else self.lanes + k for k in lanes]
            move = [k + half if not k & half else self.lanes + k - half for k in lanes]
            kept, moved = (ir.Constant(ir.VectorType(index, self.lanes), order) for order in (keep, move))
            found = [
                self.builder.fadd(self.builder.shuffle_vector(a, c, kept), self.builder.shuffle_vector(a, c, moved))
                for a, c in zip(found[:half], found[half:])
            ]
            half //= 2
        return found[0]

    def first(self, a: Value) -> Value:
        """Lane 0 as a scalar."""
        return self.builder.extract_element(a, ir.Constant(ir.IntType(32), 0))

    def greatest(self, a: Value) -> Value:
        """The greatest lane as a scalar, NaN where one is NaN; in halves, as `sum`."""
        index, width = ir.IntType(32), self.lanes
        while width > 1:
            width //= 2
            order = [k % width + (k < width) * width for k in range(2 * width)] + [0] * (self.lanes - 2 * width)
            swapped = ir.Constant(ir.VectorType(index, self.lanes), order)
            a = self.maximum(a, self.builder.shuffle_vector(a, a, swapped))
        return self.first(a)
