"""`run`: one layer, one direction, any cell. Everything above calls it; it chooses how."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..cells import Cell
from . import plain


def run(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None = None,
        reverse: bool = False, histories: bool = False) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Runs `cell` over a sequence, differentiably.

    x        [T, B, C]; with `sizes`, packed rows [R, C]
    states   [B, H or P] per state, the start of every row
    weights  in the order of `cell.parameters`
    sizes    int64 [T] on the CPU, rows per step, never growing: a PackedSequence's batch_sizes
    reverse  from the last step to the first; a packed row starts at its own last step
    Returns the output [T, B, ·] or [R, ·], the final states [B, ·], and with `histories` the states after every step, like
    the output, of each state that is not the output.
    """
    return plain.run(cell, x, states, weights, sizes, reverse, histories)
