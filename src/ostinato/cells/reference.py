"""The reference: any cell over a whole sequence in plain torch, on any device and dtype, differentiable any number of
times.

Every kernel is tested against it, and it runs under vmap, forward-mode AD and double backward.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .cell import Cell
from .noise import draw


def sequence(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Sequence[int] | Tensor | None = None,
    reverse: bool = False,
    noise: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Runs `cell` over a sequence, one layer, one direction.

    x        [T, B, C]; with `sizes`, packed rows [R, C]: sizes[t] rows for step t, never more than for the step before
    states   [B, H or P] per state, the start of every row
    weights  in the order of `cell.parameters`
    reverse  from the last step to the first; a packed row starts at its own last step
    noise    int64 [3 + B], what the random numbers of a cell with letters R or S are drawn from
    Returns the output [T, B, H or P] or [R, ·], the last state of each row [B, ·], and every state after every step,
    like the output. Without a step the last state of a row is its start.
    """
    steps = x.unbind(0) if sizes is None else x.split([int(n) for n in sizes])
    order = range(len(steps) - 1, -1, -1) if reverse else range(len(steps))
    now = list(states)
    outputs: list[Tensor] = [x] * len(steps)
    histories: list[list[Tensor]] = [[x] * len(steps) for _ in states]
    for t in order:
        n = steps[t].shape[0]
        outputs[t], new = cell.step(
            weights, steps[t], [s[:n] for s in now], drawn=drawn(cell, weights, states, noise, t, n)
        )
        for history, s in zip(histories, new, strict=True):
            history[t] = s
        now = [s if n == old.shape[0] else torch.cat([s, old[n:]]) for s, old in zip(new, now, strict=True)]
    if not steps:
        lead = x.shape[:-1]
        empty = [x.new_zeros(*lead, s.shape[-1]) for s in now]
        return x.new_zeros(*lead, cell.output_size(weights, states)), now, empty
    join = torch.stack if sizes is None else torch.cat
    return join(outputs), now, [join(h) for h in histories]


def drawn(
    cell: Cell, weights: Sequence[Tensor], states: Sequence[Tensor], noise: Tensor | None, step: int, rows: int
) -> list[Tensor]:
    """The cell's random numbers at the step'th step of a call for its first `rows` rows, [rows, H or P] each."""
    if not cell.random or noise is None:
        return []
    letters = [letter for letter, _ in cell.random]
    first = {letter: letters.index(letter) for letter in set(letters)}
    places = [
        (letter == "S", k - first[letter], cell.size(width, weights, states))
        for k, (letter, width) in enumerate(zip(letters, cell.random_widths, strict=True))
    ]
    return draw(noise, step, rows, places, states[0])
