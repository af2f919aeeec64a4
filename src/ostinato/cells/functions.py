"""The notation's own functions, which torch does not have: on tensors, and on the values of an equation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..errors import CellError


class Traced:
    """What these functions ask of a value of an equation (`Value`): the graph that it is a node of."""

    __slots__ = ()
    graph: Any


def is_number(a: object) -> bool:
    """A plain number of Python or numpy."""
    return isinstance(a, (bool, int, float, np.integer, np.floating))


def mean(v: Any) -> Any:
    """The mean over the units: [B, H] -> [B, 1], or the node that says so. Its derivative is itself."""
    if isinstance(v, Traced):
        return v.graph.mean(v)
    if not isinstance(v, torch.Tensor):
        raise CellError(
            f"mean takes a value of the equations, got {v if is_number(v) else type(v).__name__}. Write mean(h)."
        )
    return v.mean(-1, keepdim=True)


def norm(v: Any, eps: float = 1e-5) -> Any:
    """(v - mean v) / sqrt(mean (v - mean v)² + eps) over the units: [B, H] -> [B, H] (Ba, Kiros, Hinton 2016)."""
    if not is_number(eps) or not 0 < eps < math.inf:
        raise CellError(f"norm: eps must be a finite number above 0, got {eps}. Leave it out, or write norm(a, 1e-6).")
    if isinstance(v, Traced):
        return v.graph.norm(v, float(eps))
    centred = v - mean(v)
    return centred * (1 / torch.sqrt(mean(centred * centred) + eps))


def clip_gradient(v: Any, bound: float) -> Any:
    """v itself; on the way back its gradient is clamped, unit by unit, to at most `bound` in size."""
    if not is_number(bound) or not 0 < bound < math.inf:
        raise CellError(
            f"clip_gradient: bound must be a finite number above 0, got {bound}. Write clip_gradient(a, 10.0)."
        )
    if isinstance(v, Traced):
        return v.graph.clip_gradient(v, float(bound))
    if not isinstance(v, torch.Tensor):
        raise CellError(f"clip_gradient takes a value of the equations, got {type(v).__name__}. Write it around a sum.")
    return _ClipGradient.apply(v, float(bound))


class _ClipGradient(torch.autograd.Function):
    """The identity with another derivative, for any number of derivatives and under torch.func."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: torch.Tensor, bound: float) -> torch.Tensor:
        return v.view_as(v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, float], output: torch.Tensor) -> None:
        ctx.bound = inputs[1]

    @staticmethod
    def backward(ctx: Any, *d: torch.Tensor) -> tuple[torch.Tensor, None]:
        return d[0].clamp(-ctx.bound, ctx.bound), None

    @staticmethod
    def jvp(ctx: Any, *d: torch.Tensor) -> torch.Tensor:
        return d[0].view_as(d[0])
