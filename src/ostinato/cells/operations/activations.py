"""Functions of one value, unit by unit."""

from __future__ import annotations

import torch
from torch import where
from torch.nn import functional

from .operation import Operation, Setting

# At a corner the derivative is torch's: relu'(0) = 0; softplus(a) is a itself beyond 20.
SIGMOID = Operation(
    name="sigmoid",
    own_line=True,
    function=torch.sigmoid,
    synonyms=("special_expit",),
    adjoint=lambda y, d, a: (d * (y * (1 - y)),),
    slope=lambda y: y * (1 - y),
    greatest_slope=lambda: 0.25,
    range=(0.0, 1.0),
    saturated=lambda y: (y < 0.1, y > 0.9),
    latex=r"\sigma",
    vector=lambda v, a: v.sigmoid(a),
    onnx=lambda g, a: g.make("Sigmoid", a),
    rematerialize="with norm",
)
TANH = Operation(
    name="tanh",
    own_line=True,
    function=torch.tanh,
    adjoint=lambda y, d, a: (d * (1 - y * y),),
    slope=lambda y: 1 - y * y,
    greatest_slope=lambda: 1.0,
    range=(-1.0, 1.0),
    saturated=lambda y: (y < -0.9, y > 0.9),
    latex=r"\tanh",
    vector=lambda v, a: v.tanh(a),
    onnx=lambda g, a: g.make("Tanh", a),
    rematerialize="with norm",
)
RELU = Operation(
    name="relu",
    own_line=True,
    function=torch.relu,
    adjoint=lambda y, d, a: (where(y <= 0, 0.0, d),),
    slope=lambda y: (y > 0).to(y.dtype),
    greatest_slope=lambda: 1.0,
    saturated=lambda y: (y <= 0, torch.zeros_like(y, dtype=torch.bool)),
    latex=r"\mathrm{ReLU}",
    vector=lambda v, a: v.relu(a),
    onnx=lambda g, a: g.make("Relu", a),
    rematerialize="always",
)
LEAKY_RELU = Operation(
    name="leaky_relu",
    own_line=True,
    function=functional.leaky_relu,
    settings=(Setting("negative_slope", 0.01),),
    attr=float,
    learned="where(a > 0, a, p.name * a)",
    adjoint=lambda y, d, a: (where(a > 0, d, d * y.attr),),
    greatest_slope=lambda slope: max(1.0, abs(slope)),
    latex=lambda a, negative_slope="0.01", inplace="": rf"\mathrm{{LeakyReLU}}_{{{negative_slope}}}\left({a}\right)",
    vector=lambda v, a, slope: v.select(v.gt(a, v.zero), a, v.mul(a, v.const(slope))),
    # ONNX's LeakyRelu has its slope in single precision, whatever it works on.
    onnx=lambda g, a, slope: g.make("Where", g.make("Greater", a, g.number(0.0)), a, g.make("Mul", g.number(slope), a)),
    rematerialize="always",
)
SOFTPLUS = Operation(
    name="softplus",
    own_line=True,
    function=functional.softplus,
    settings=(
        Setting("beta", 1, only="must be 1, got {0}. Write softplus({0} * a) / {0}."),
        Setting("threshold", 20, only="must be 20, torch's own, got {0}. Leave it out."),
    ),
    learned="minimum(a, p.name) or maximum(a, p.name)",
    adjoint=lambda y, d, a: (where(a > 20.0, d, d * torch.sigmoid(a)),),
    slope=lambda y: 1 - (-y).exp(),
    greatest_slope=lambda: 1.0,
    vector=lambda v, a: v.softplus(a),
    onnx=lambda g, a: g.make("Softplus", a),
)
EXP = Operation(
    name="exp",
    own_line=True,
    function=torch.exp,
    adjoint=lambda y, d, a: (d * y,),
    slope=lambda y: y,
    latex=r"\exp",
    vector=lambda v, a: v.exp(a),
    onnx=lambda g, a: g.make("Exp", a),
)
LOG = Operation(
    name="log",
    own_line=True,
    function=torch.log,
    adjoint=lambda y, d, a: (d / a,),
    latex=r"\log",
    vector=lambda v, a: v.log(a),
    onnx=lambda g, a: g.make("Log", a),
)
SQRT = Operation(
    name="sqrt",
    own_line=True,
    function=torch.sqrt,
    adjoint=lambda y, d, a: (d / (y + y),),
    latex=lambda a: rf"\sqrt{{{a}}}",
    vector=lambda v, a: v.sqrt(a),
    onnx=lambda g, a: g.make("Sqrt", a),
)
