"""Row norms that do not overflow or underflow: a float32 gradient of 1e-25 has a norm, although its square is 0."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ...execution import backends
from .call_layout import chosen_rows


class Lines(NamedTuple):
    """Some columns of some lines of a tensor, which are copied."""

    source: Tensor
    """[..., C], contiguous."""
    numbers: Tensor
    """int64 [M] on the CPU, the numbers of the lines."""
    first: int
    """The first of the columns."""
    width: int
    """How many there are."""


def row_norms(
    tensors: Sequence[Tensor], counts: Sequence[int], samples: Sequence[Lines] = ()
) -> tuple[list[Tensor], list[Tensor]]:
    """(‖v‖ of each row of each tensor, float64 [rows] each; copies of some lines, [M, width] each).

    counts  the number of rows of each, equal parts of its numbers

    Cost: one pass over all of them in one launch where kernels run, else three for each.
    """
    found = backends.norms(tensors, counts, (), samples)
    if found is None:
        lines = [chosen_rows(t.flatten(0, -2), at).narrow(1, first, width) for t, at, first, width in samples]
    else:
        lines = found[1]
    if found is None or not _in_range(found[0], tensors[0].dtype):
        return [_scaled(_rows(v, count)) for v, count in zip(tensors, counts)], lines
    return [found[0]] if len(counts) == 1 else list(found[0].split(counts)), lines


def norms_of_parts(
    tensors: Sequence[Tensor], counts: Sequence[int], subtract: Sequence[Tensor] = ()
) -> list[list[float]]:
    """The norm of each of the equal parts of each tensor, as many as `counts` says.

    subtract  of each tensor another one of its size, whose values are subtracted first; or nothing
    """
    found = backends.norms(tensors, counts, subtract)
    if found is not None and _in_range(found[0], tensors[0].dtype):
        parts, numbers = [], iter(found[0].tolist())
        for count in counts:
            parts.append(list(islice(numbers, count)))
        return parts
    parts = []
    for k, (t, count) in enumerate(zip(tensors, counts)):
        v = _rows(t, count)
        parts.append(_scaled(v - _rows(subtract[k], count) if subtract else v).tolist())
    return parts


def _rows(t: Tensor, count: int) -> Tensor:
    values = t.coalesce().values() if t.is_sparse else t
    return values.detach().reshape(count, values.numel() // max(1, count))


def _in_range(norms: Tensor, kind: torch.dtype) -> bool:
    """Whether no square of float64 was out of range."""
    return kind != torch.float64 or bool(norms.isfinite().all() & (norms > 1e-140).all())


def _scaled(v: Tensor) -> Tensor:
    if not v.shape[-1]:
        return v.new_zeros(v.shape[:-1])
    top = torch.linalg.vector_norm(v, torch.inf, dim=-1)
    scale = top.where((top > 0) & top.isfinite(), 1.0)
    return torch.linalg.vector_norm(v.double() / scale[..., None].double(), dim=-1) * scale.double()
