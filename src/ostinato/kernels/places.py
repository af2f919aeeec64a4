"""Rows that stay where the caller has them: which line of x each packed row begins at, and which lines no row has."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ShapeError, phrase

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Packed rows of x [T, B, C], or [B, T, C] with batch_first, or [T, C]. Read by kernels, and trusted.

    starts   [N], the line of x, one of its T·B, at which each packed row begins
    step     lines from one step of a row to its next
    lengths  [B], the steps of each row of x; the lines past them are 0 in what is laid out as x is
    steps    T
    whose    [N], which row of x each packed row is: states are then those of the rows of x, B of them. None where they
             are those of the packed rows
    """

    starts: Integers
    step: int
    lengths: Integers
    steps: int
    whose: Integers | None = None

    def fill(self, frame: array, places: dict[str, int]) -> None:
        """The entries of a frame; its addresses are good while these arrays live."""
        frame[places["starts"]], frame[places["line_step"]] = self.starts.ctypes.data, self.step
        frame[places["all_steps"]], frame[places["all_rows"]] = self.steps, len(self.lengths)
        frame[places["lengths"]] = self.lengths.ctypes.data
        if self.whose is not None:
            frame[places["whose"]] = self.whose.ctypes.data

    def check(self, x: Tensor, states: Sequence[Tensor], rows: int) -> None:
        """Refuses an x with other lines, and other counts of rows: kernels trust what the frame says."""
        lines, given = self.steps * len(self.lengths), len(self.lengths)
        same = self.whose is None or all(s.shape[-2] == given for s in states)
        if prod(x.shape[:-1]) != lines or len(self.starts) != rows or not same:
            expected = f"x of {lines} lines and {given} rows, {len(self.starts)} of which are packed"
            received = f"{list(x.shape)}, states {[list(s.shape) for s in states]} and {rows}"
            raise ShapeError(phrase("kernels", "places", expected, received, "Give those of this very x."))

    def idle_rows(self, starts: Sequence[Tensor], ends: Sequence[Tensor]) -> None:
        """Rows of x without a step end where they began."""
        if self.whose is not None and len(self.whose) < len(self.lengths):
            idle = torch.from_numpy(np.flatnonzero(self.lengths == 0))
            for a, b in zip(starts, ends):
                b.view(-1, b.shape[-1])[idle] = a.view(-1, a.shape[-1])[idle]

    def index(self, sizes: Sequence[int]) -> Integers:
        """[R], the line of x of each packed row, where step t has sizes[t] of them."""
        return np.concatenate([self.starts[:n] + t * self.step for t, n in enumerate(sizes)])
