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
    norms = _by_kernel(matrices, subtract)
    if norms is not None:
        return [norms] if len(matrices) == 1 else list(norms.split([v.shape[0] for v in matrices]))
    return [_scaled(v - subtract[k] if subtract else v) for k, v in enumerate(matrices)]


def row_norm_numbers(matrices: Sequence[Tensor], subtract: Sequence[Tensor] = ()) -> list[float]:
    """The norms of `row_norms`, one after the other, as numbers."""
    norms = _by_kernel(matrices, subtract)
    return (torch.cat(row_norms(matrices, subtract)) if norms is None else norms).tolist()


def _by_kernel(matrices: Sequence[Tensor], subtract: Sequence[Tensor]) -> Tensor | None:
    """The norms one after the other; None where no kernels run, or where a square of float64 is out of range."""
    norms = backends.norms(matrices, subtract)
    if norms is None or matrices[0].dtype != torch.float64:
        return norms
    return norms if bool(norms.isfinite().all() & (norms > 1e-140).all()) else None


def _scaled(v: Tensor) -> Tensor:
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
