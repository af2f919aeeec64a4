"""Arithmetic and comparisons: the operations with a symbol."""

from __future__ import annotations

from typing import Any

import torch

from .operation import COMPARISON, PRODUCT, SIGN, SUM, Operation


def _is(a: Any, number: float) -> bool:
    return a.op == "const" and a.attr == number


# Kernels write sums and differences in chains, with fused multiply-adds: kernels/emit/pointwise.py.
ADD = Operation(
    name="add",
    symbol="+",
    precedence=SUM,
    operands=2,
    function=torch.add,
    simplify=lambda a, b: b if _is(a, 0.0) else a if _is(b, 0.0) else None,
    fold=lambda a, b: a + b,
    adjoint=lambda y, d, a, b: (d, d),
    linear=True,
    latex="+",
    onnx=lambda g, a, b: g.make("Add", a, b),
    rematerialize="always",
)
SUB = Operation(
    name="sub",
    symbol="-",
    precedence=SUM,
    operands=2,
    function=torch.sub,
    synonyms=("subtract",),
    simplify=lambda a, b: a if _is(b, 0.0) else None,
    fold=lambda a, b: a - b,
    adjoint=lambda y, d, a, b: (d, -d),
    linear=True,
    latex="-",
    onnx=lambda g, a, b: g.make("Sub", a, b),
    rematerialize="always",
)
MUL = Operation(
    name="mul",
    symbol="*",
    precedence=PRODUCT,
    operands=2,
    function=torch.mul,
    synonyms=("multiply",),
    simplify=lambda a, b: b if _is(a, 1.0) else a if _is(b, 1.0) else None,
    fold=lambda a, b: a * b,
    adjoint=lambda y, d, a, b: (d * b, d * a),
    linear=True,
    latex=r"\odot",
    vector=lambda v, a, b: v.mul(a, b),
    onnx=lambda g, a, b: g.make("Mul", a, b),
    rematerialize="always",
)
DIV = Operation(
    name="div",
    symbol="/",
    precedence=PRODUCT,
    operands=2,
    function=torch.div,
    synonyms=("true_divide", "divide", "truediv"),
    simplify=lambda a, b: a if _is(b, 1.0) else None,
    fold=lambda a, b: None if b == 0.0 else a / b,
    adjoint=lambda y, d, a, b: (d / b, -(d * y / b)),
    linear=True,
    latex=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    vector=lambda v, a, b: v.div(a, b),
    onnx=lambda g, a, b: g.make("Div", a, b),
)
NEG = Operation(
    name="neg",
    prefix="-",
    precedence=SIGN,
    function=torch.neg,
    synonyms=("negative",),
    simplify=lambda a: a.args[0] if a.op == "neg" else None,
    fold=lambda a: -a,
    adjoint=lambda y, d, a: (-d,),
    linear=True,
    latex="-",
    vector=lambda v, a: v.neg(a),
    onnx=lambda g, a: g.make("Neg", a),
    rematerialize="always",
)
LT = Operation(
    name="lt",
    symbol="<",
    precedence=COMPARISON,
    operands=2,
    comparison=True,
    function=torch.lt,
    synonyms=("less",),
    latex="<",
    vector=lambda v, a, b: v.lt(a, b),
    onnx=lambda g, a, b: g.make("Less", a, b),
    rematerialize="always",
)
LE = Operation(
    name="le",
    symbol="<=",
    precedence=COMPARISON,
    operands=2,
    comparison=True,
    function=torch.le,
    synonyms=("less_equal",),
    latex=r"\le",
    vector=lambda v, a, b: v.le(a, b),
    onnx=lambda g, a, b: g.make("LessOrEqual", a, b),
    rematerialize="always",
)
GT = Operation(
    name="gt",
    symbol=">",
    precedence=COMPARISON,
    operands=2,
    comparison=True,
    function=torch.gt,
    synonyms=("greater",),
    latex=">",
    vector=lambda v, a, b: v.gt(a, b),
    onnx=lambda g, a, b: g.make("Greater", a, b),
    rematerialize="always",
)
GE = Operation(
    name="ge",
    symbol=">=",
    precedence=COMPARISON,
    operands=2,
    comparison=True,
    function=torch.ge,
    synonyms=("greater_equal",),
    latex=r"\ge",
    vector=lambda v, a, b: v.ge(a, b),
    onnx=lambda g, a, b: g.make("GreaterOrEqual", a, b),
    rematerialize="always",
)
