"""Where the steps of a call lie in memory, in its x, and in each of its runs.

A run is an unbroken row: a row of the batch up to its length, or a piece between two resets. Kernels read lines: step s
of run n is a line, the runs that have a step s side by side.

Letters: T steps and B rows of the caller's x, N runs, S steps of the longest run, R lines, K lags.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from ..caching import bounded_cache, tensor_bytes
from ..layers.sequences import Batch

_KEPT = 1 << 16
"""Of calls of how many lines at most the layout is kept for the next one: 1 MiB, or 4 where there are few runs."""


class Layout:
    """The lines of one call; the same for all its layers, and mirrored for its second direction.

    lines    int64 [S, N], the line of each run's step, -1 past its end
    lengths  int64 [N]
    grid     int64 [T, B], the line of each step of x, -1 past a row's end
    first    the first line of each step, and R
    """

    def __init__(self, batch: Batch):
        x, sizes = batch.x, batch.sizes
        if sizes is None:
            T, B = x.shape[:2]
            dense = _dense if T * (B + 1) <= _KEPT else _dense.__wrapped__
            self.lines, self.lengths, self.first = dense(T, B)
            self.grid = self.lines
        else:
            per_step = sizes.to(torch.int64)
            runs = int(per_step[0]) if len(per_step) else 0
            there = torch.arange(runs, device="cpu") < per_step[:, None]
            first = per_step.cumsum(0) - per_step
            self.lines = torch.where(there, first[:, None] + torch.arange(runs, device="cpu"), -1)
            self.lengths = there.sum(0)
            numbers = torch.arange(1, x.shape[0] + 1, dtype=torch.float64, device=x.device).view(1, -1, 1)
            grid = batch.steps(numbers)[0, ..., 0].to("cpu", torch.int64) - 1
            self.grid = grid if grid.dim() == 2 else grid[:, None]
            self.first = [0, *per_step.cumsum(0).tolist()]
        self.dense = sizes is None

    @property
    def count(self) -> int:
        """R."""
        return self.first[-1]

    @cached_property
    def by_rows(self) -> bool:
        """Whether step s of every run is step s of x: no run begins inside a row."""
        steps, rows = self.grid.shape
        at = torch.full((self.count,), -1, device="cpu")
        there = self.grid >= 0
        at[self.grid[there]] = torch.arange(steps, device="cpu")[:, None].expand(steps, rows)[there]
        known = self.lines >= 0
        return bool(
            (
                at[self.lines[known]] == torch.arange(len(self.lines), device="cpu")[:, None].expand_as(known)[known]
            ).all()
        )

    def in_x(self, per_line: Tensor, fill: float = math.nan) -> Tensor:
        """per_line [R, ...] → [T, B, ...] in the order of x; `fill` where x has no such step."""
        return placed(per_line, self.grid, fill)

    def in_runs(self, per_line: Tensor) -> Tensor:
        """per_line [R, ...] → [S, N, ...]; NaN past a run's end."""
        return placed(per_line, self.lines, math.nan)

    def by_lag(self, per_line: Tensor, reverse: bool) -> Tensor:
        """per_line [R, ...] → [K, N, ...], row k the step that lies k before a run's last one in the order of work.

        NaN where a run has no such step.
        """
        if reverse:
            lines = self.lines
        else:
            at = self.lengths - 1 - torch.arange(len(self.lines), device="cpu")[:, None]
            lines = self.lines.gather(0, at.clamp(min=0)).where(at >= 0, -1) if len(self.lines) else self.lines
        return placed(per_line, lines, math.nan)

    def last_lines(self, reverse: bool) -> Tensor:
        """int64 [N], the line of each run's last step in the order of work."""
        if reverse:
            return self.lines[0]
        return self.lines.gather(0, (self.lengths - 1)[None])[0]


@bounded_cache(4 << 20, size_of=lambda found, steps, runs: tensor_bytes(found[:2]) + 64 * steps)
def _dense(steps: int, runs: int) -> tuple[Tensor, Tensor, list[int]]:
    """(lines, lengths, first) of a batch in which no row ends early; only ever read."""
    with torch.inference_mode(False):
        first = [*range(0, steps * runs + 1, runs)] if runs else [0] * (steps + 1)
        return (
            torch.arange(steps * runs, device="cpu").view(steps, runs),
            torch.full((runs,), steps, device="cpu"),
            first,
        )


def placed(per_line: Tensor, lines: Tensor, fill: float) -> Tensor:
    """per_line [R, ...], lines int64 [S, B] → [S, B, ...], `fill` where a line is -1."""
    there = lines.clamp(min=0).to(per_line.device)
    found = per_line.index_select(0, there.flatten()).view(*lines.shape, *per_line.shape[1:])
    known = (lines >= 0).to(per_line.device).view(*lines.shape, *[1] * (per_line.dim() - 1))
    return found.where(known, fill) if not bool((lines >= 0).all()) else found
