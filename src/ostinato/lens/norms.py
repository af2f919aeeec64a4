"""Norms that are right where their squares leave the number type: a gradient of 1e-25 has a size in float32 too."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layers import engine


def norms(v: Tensor) -> Tensor:
    """‖v‖ over the last dimension, [R, H] → [R]. Cost: one pass over v where kernels run, else three."""
    found = engine.norms(v)
    if found is not None and (v.dtype != torch.float64 or bool(found.isfinite().all() & (found > 1e-140).all())):
        return found
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
