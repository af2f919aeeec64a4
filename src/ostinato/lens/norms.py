"""Norms that are right where their squares leave the number type: a gradient of 1e-25 has a size in float32 too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..layers import engine


def norms(v: Tensor) -> Tensor:
    """‖v‖ over the last dimension, [R, H] → float64 [R]. Cost: one pass over v where kernels run, else three."""
    return norms_of([v])[0]


def norms_of(several: Sequence[Tensor], less: Sequence[Tensor] = ()) -> list[Tensor]:
    """`norms` of several, or of their differences from `less`, for hardly more than one costs where all are small."""
    found = engine.norms(several, less)
    if found is not None:
        parts = found.split([len(v) for v in several])
        if several[0].dtype != torch.float64 or bool(found.isfinite().all() & (found > 1e-140).all()):
            return list(parts)
    return [_scaled(v - less[k] if less else v) for k, v in enumerate(several)]


def _scaled(v: Tensor) -> Tensor:
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
