"""The notation's own functions: the mean over the units, norm with the node that it makes, and clip_gradient."""

from __future__ import annotations

from typing import Any

import torch

from ..functions import clip_gradient, mean, norm
from .operation import Operation


def _mean(g: Any, a: Any) -> str:
    return g.make("ReduceMean", a, torch.tensor([-1], device="cpu"), keepdims=1)


def _rstd(g: Any, a: Any, eps: float) -> str:
    deviation = g.make("Sub", a, _mean(g, a))
    variance = _mean(g, g.make("Mul", deviation, deviation))
    return g.make("Reciprocal", g.make("Sqrt", g.make("Add", variance, g.number(eps))))


# Kernels take the sums of `mean` and `rstd` in a sweep over the units, once for all that a stage needs.
MEAN = Operation(
    name="mean",
    own=True,
    own_line=True,
    over_units=True,
    linear=True,
    function=mean,
    adjoint=lambda y, d, a: (mean(d),),
    latex=r"\mathrm{mean}",
    onnx=_mean,
)
RSTD = Operation(
    name="rstd",  # 1 / the standard deviation over the units
    own=True,
    internal=True,
    over_units=True,
    linear=True,
    written=lambda eps: [],
    function=lambda a, eps: 1 / (a.var(-1, correction=0, keepdim=True) + eps).sqrt(),
    onnx=_rstd,
)
NORM = Operation(
    name="norm",  # its node reads the value, the value's mean and its rstd
    own=True,
    own_line=True,
    linear=True,
    function=norm,
    evaluate=lambda a, m, r, eps: (a - m) * r,
    written=lambda eps: [] if eps == 1e-5 else [repr(eps)],
    # What flows through the mean m and the deviation 1/r is in the first rule already: both are of the same value.
    adjoint=lambda y, d, a, m, r: (r * (d - mean(d) - y * mean(d * y)), None, None),
    adjoint_within_unit=lambda y, d, a, m, r: (d * r, None, None),
    latex=r"\mathrm{norm}",
    vector=lambda v, a, m, r, eps: v.mul(v.sub(a, m), r),
    onnx=lambda g, a, m, r, eps: g.make("Mul", g.make("Sub", a, m), r),
)
CLIP_GRADIENT = Operation(
    name="clip_gradient",
    own=True,
    own_line=True,
    linear=True,
    function=clip_gradient,
    written=lambda bound: [repr(bound)],
    adjoint=lambda y, d, a: (torch.clamp(d, -y.attr, y.attr),),
    latex=lambda v, bound: rf"\mathrm{{clip}}_{{\nabla, {bound}}}\left({v}\right)",
    vector=lambda v, a, bound: a,
    onnx=lambda g, a, bound: g.make("Identity", a),  # the same value: only its gradient is bounded
    rematerialize="always",
)
