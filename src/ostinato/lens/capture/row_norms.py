"""Row norms that do not overflow or underflow: a float32 gradient of 1e-25 has a norm, although its square is 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...execution import backends


def row_norms(matrices: Sequence[Tensor], subtract: Sequence[Tensor] = ()) -> list[Tensor]:
    """‖v‖ of each row of each matrix, or ‖v - w‖ with the matrices of `subtract`: [R, H] each → float64 [R] each.

    Cost: one pass over all of them where kernels run, else three for each.
    """
    norms = backends.norms(matrices, subtract)
    if norms is not None:
        parts = norms.split(list(map(len, matrices)))
        if matrices[0].dtype != torch.float64 or bool(norms.isfinite().all() & (norms > 1e-140).all()):
            return list(parts)
    return [_scaled(v - subtract[k] if subtract else v) for k, v in enumerate(matrices)]


def _scaled(v: Tensor) -> Tensor:
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
