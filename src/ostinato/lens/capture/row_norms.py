"""Row norms that do not overflow or underflow: a float32 gradient of 1e-25 has a norm, although its square is 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...execution import backends
from .call_layout import chosen_rows


def row_norms(matrices: Sequence[Tensor]) -> list[Tensor]:
    """‖v‖ of each row of each matrix: [R, H] each → float64 [R] each.

    Cost: one pass over all of them where kernels run, else three for each.
    """
    return norms_and_lines(matrices, [])[0]


def norms_and_lines(
    matrices: Sequence[Tensor], samples: Sequence[tuple[Tensor, Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """(`row_norms` of the matrices, copies of some lines of others: [M, H] each), in one launch where kernels run.

    samples  ([R, H], int64 [M] on the CPU) of each: a matrix, and the numbers of the lines
    """
    found = backends.norms(matrices, samples)
    lines = [chosen_rows(source, index) for source, index in samples] if found is None else found[1]
    if found is None or not _in_range(found[0], matrices[0].dtype):
        return [_scaled(v) for v in matrices], lines
    norms = found[0]
    return [norms] if len(matrices) == 1 else list(norms.split([v.shape[0] for v in matrices])), lines


def norms_of_parts(
    tensors: Sequence[Tensor], counts: Sequence[int], subtract: Sequence[Tensor] = ()
) -> list[list[float]]:
    """The norm of each of the equal parts of each tensor, as many as `counts` says; all of one number type and device.

    subtract  of each tensor another one of its size, whose values are subtracted first; or nothing
    """
    found = backends.part_norms(tensors, counts, subtract)
    if found is not None and _in_range(found, tensors[0].dtype):
        numbers = found.tolist()
    else:
        rows = [t.detach().reshape(count, -1) for t, count in zip(tensors, counts)]
        less = [t.detach().reshape(count, -1) for t, count in zip(subtract, counts)]
        differences = [v - w for v, w in zip(rows, less)] if less else rows
        numbers = torch.cat([_scaled(v) for v in differences]).tolist()
    parts, first = [], 0
    for count in counts:
        parts.append(numbers[first : first + count])
        first += count
    return parts


def _in_range(norms: Tensor, kind: torch.dtype) -> bool:
    """Whether no square of float64 was out of range."""
    return kind != torch.float64 or bool(norms.isfinite().all() & (norms > 1e-140).all())


def _scaled(v: Tensor) -> Tensor:
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
