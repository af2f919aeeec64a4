"""Fused multiply-add for WebAssembly, which has no such instruction: bodies for the functions `llvm.fma.*` of a module.

relaxed  f32x4.relaxed_madd, which engines run as the processor's fused instruction where it has one
exact    software: the product in float64 is exact (48 bits of 53); the sum in float64 is rounded to odd, after which
         the rounding to float32 is that of the exact sum (Boldo and Melquiond, IEEE Trans. Computers 57, 2008)
plain    a product, rounded, and a sum: other bits
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from llvmlite import ir

Way = Literal["relaxed", "exact", "plain"]
F32, F64, I32, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
LANES = 4
V4, V4I = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)
D2, L2 = ir.VectorType(F64, 2), ir.VectorType(I64, 2)


def define_fused(module: ir.Module, way: Way) -> None:
    """Gives every `llvm.fma.*` of the module a body, and a name that is no intrinsic's."""
    for function in list(module.functions):
        if function.name.startswith("llvm.fma."):
            function.name = function.name.replace("llvm.", "multiply_add_", 1)
            function.linkage = "internal"
            function.attributes.add("alwaysinline")
            b = ir.IRBuilder(function.append_basic_block("entry"))
            b.ret(WAYS[way](b, *function.args))


def define_probe(module: ir.Module, name: str) -> None:
    """float NAME(float a, float b, float c): the relaxed multiply-add, for one call that tells whether it is fused."""
    function = ir.Function(module, ir.FunctionType(F32, [F32] * 3), name)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    b.ret(_relaxed(b, *function.args))


def _relaxed(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
    name = "llvm.wasm.relaxed.madd.v4f32"
    intrinsic = b.module.globals.get(name) or ir.Function(b.module, ir.FunctionType(V4, [V4] * 3), name)
    if x.type == V4:
        return b.call(intrinsic, [x, y, z])
    first = ir.Constant(I32, 0)
    vectors = [b.insert_element(ir.Constant(V4, [0.0] * LANES), v, first) for v in (x, y, z)]
    return b.extract_element(b.call(intrinsic, vectors), first)


def _plain(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
    return b.fadd(b.fmul(x, y), z)


def _exact(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
    """Calls a function: inlined, the code is five times as long and a quarter faster."""
    if x.type != V4:
        wide = [b.fpext(v, F64) for v in (x, y, z)]
        return b.fptrunc(_odd_sum(b, b.fmul(wide[0], wide[1]), wide[2], F64, I64), F32)
    fast, module = "multiply_add_fast", b.module
    if fast not in module.globals:
        _define_exact(module, fast)
    return b.call(module.globals[fast], [x, y, z])


def _define_exact(module: ir.Module, name: str) -> None:
    """The sum rounded to nearest in float64 and then to float32, where that is right; else the sum rounded to odd.

    Rounding twice is wrong only where the float64 lies halfway between two float32. Such a number, subnormal or not,
    has at most 25 significant bits: the last 28 of its 53 are zero. The test costs half of the rounding to odd.
    """
    kind = ir.FunctionType(V4, [V4] * 3)
    slow = ir.Function(module, kind, "multiply_add_odd")
    b = ir.IRBuilder(slow.append_basic_block("entry"))
    products, addends = _widened(b, *slow.args)
    b.ret(_narrowed(b, [_odd_sum(b, p, z, D2, L2) for p, z in zip(products, addends)]))

    function = ir.Function(module, kind, name)
    for f in (slow, function):
        f.linkage = "internal"
        f.attributes.add("noinline")
        f.attributes.add("nounwind")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    products, addends = _widened(b, *function.args)
    sums = [b.fadd(p, z) for p, z in zip(products, addends)]
    low = b.shuffle_vector(*(b.bitcast(s, V4I) for s in sums), ir.Constant(V4I, [0, 2, 4, 6]))
    all_true = ir.Function(module, ir.FunctionType(I32, [V4I]), "llvm.wasm.alltrue.v4i32")
    good = b.call(all_true, [b.and_(low, ir.Constant(V4I, [(1 << 28) - 1] * LANES))])
    with b.if_then(b.icmp_signed("==", good, ir.Constant(I32, 0)), likely=False):
        b.ret(b.call(slow, function.args))
    b.ret(_narrowed(b, sums))


def _widened(b: ir.IRBuilder, x: Any, y: Any, z: Any) -> tuple[list[Any], list[Any]]:
    """x · y and z in float64, each as two halves."""
    products, addends = [], []
    for lanes in ([0, 1], [2, 3]):
        index = ir.Constant(ir.VectorType(I32, 2), lanes)
        wide = [b.fpext(b.shuffle_vector(v, v, index), D2) for v in (x, y, z)]
        products.append(b.fmul(wide[0], wide[1]))
        addends.append(wide[2])
    return products, addends


def _narrowed(b: ir.IRBuilder, halves: list[Any]) -> Any:
    """Two halves rounded to float32."""
    # With zeros behind each, LLVM finds f32x4.demote_f64x2_zero; without them it converts lane by lane.
    zeros = ir.Constant(D2, [0.0, 0.0])
    index = ir.Constant(V4I, [0, 1, 2, 3])
    narrow = [b.fptrunc(b.shuffle_vector(h, zeros, index), V4) for h in halves]
    return b.shuffle_vector(*narrow, ir.Constant(V4I, [0, 1, 4, 5]))


def _odd_sum(b: ir.IRBuilder, p: Any, z: Any, real: ir.Type, integer: ir.Type) -> Any:
    """p + z in float64, rounded to odd: cut off, with the last bit set where anything was cut off."""

    def constant(kind: ir.Type, value: float) -> Any:
        return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)

    total = b.fadd(p, z)
    # The error of the sum, exactly (Knuth's two-sum). It is NaN where the sum is infinite or NaN, and then no bit is
    # changed, because ordered comparisons with NaN are false.
    from_z = b.fsub(total, p)
    error = b.fadd(b.fsub(p, b.fsub(total, from_z)), b.fsub(z, from_z))
    zero, whole = constant(real, 0.0), constant(integer, 0)
    inexact = b.sext(b.fcmp_ordered("!=", error, zero), integer)
    bits = b.bitcast(total, integer)
    # Rounded away from zero, where error and sum have different signs: back by one.
    away = b.sext(b.icmp_signed("<", b.xor(b.bitcast(error, integer), bits), whole), integer)
    cut = b.add(bits, b.and_(away, inexact))
    return b.bitcast(b.or_(cut, b.lshr(inexact, constant(integer, 63))), real)


WAYS: dict[Way, Callable[..., Any]] = {"relaxed": _relaxed, "exact": _exact, "plain": _plain}
