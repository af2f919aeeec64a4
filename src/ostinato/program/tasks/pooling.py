"""One vector of a sequence: mean and maximum over its own steps beside its last output.

Letters: T steps, B rows of the batch, D directions, H units.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pool(y: Tensor, lengths: Tensor, directions: int = 1) -> Tensor:
    """[B, 3·D·H] of a layer's output y [T, B, D·H] and lengths int64 [B]: mean, maximum, last output.

    What y holds past a row's length is never read: NaN there changes nothing, and its gradient is 0. A row without
    steps gives zeros.
    """
    known = lengths.to(y.device)
    inside = _inside(y, known)
    kept = torch.where(inside, y, 0.0)
    mean = kept.sum(0) / known.clamp(min=1).unsqueeze(-1).to(y.dtype)
    if not y.shape[0]:
        return torch.cat([mean, mean, mean], -1)
    largest = torch.where(inside, y, float("-inf")).amax(0)
    largest = torch.where((known > 0).unsqueeze(-1), largest, 0.0)
    return torch.cat([mean, largest, _last(kept, known, directions)], -1)


def last_output(y: Tensor, lengths: Tensor, directions: int = 1) -> Tensor:
    """[B, D·H]: the output of each row's own last step; of the second direction, which reads from the end, at step 0.

    Zeros for a row without steps; what stands past a row's length is never read.
    """
    known = lengths.to(y.device)
    return _last(torch.where(_inside(y, known), y, 0.0), known, directions)


def _last(kept: Tensor, known: Tensor, directions: int) -> Tensor:
    rows, width = kept.shape[1], kept.shape[-1] // directions
    if not kept.shape[0]:
        return kept.new_zeros(rows, kept.shape[-1])
    ends = (known - 1).clamp(min=0)[None, :, None].expand(1, rows, width)
    forward = kept[..., :width].gather(0, ends).squeeze(0)
    return forward if directions == 1 else torch.cat([forward, kept[0, :, width:]], -1)


def _inside(y: Tensor, known: Tensor) -> Tensor:
    """bool [T, B, 1]: the steps within the lengths."""
    return (torch.arange(y.shape[0], device=y.device)[:, None] < known).unsqueeze(-1)
