"""Rows that stay where the caller has them: which line of x each packed row begins at, and which lines no row has."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
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
    """

    starts: Integers
    step: int
    lengths: Integers
    steps: int

    def fill(self, frame: array, places: dict[str, int]) -> None:
        """The entries of a frame; its addresses are good while these arrays live."""
        frame[places["starts"]], frame[places["line_step"]] = self.starts.ctypes.data, self.step
        frame[places["all_steps"]], frame[places["all_rows"]] = self.steps, len(self.lengths)
        frame[places["lengths"]] = self.lengths.ctypes.data

    def check(self, x: Tensor, rows: int) -> None:
        """Refuses an x with other lines, and another count of packed rows: kernels trust what the frame says."""
        lines = self.steps * len(self.lengths)
        if prod(x.shape[:-1]) != lines or len(self.starts) != rows:
            expected = f"x of {lines} lines for {len(self.starts)} packed rows"
            received = f"{list(x.shape)} for {rows}"
            raise ShapeError(phrase("kernels", "places", expected, received, "Give those of this very x."))

    def index(self, sizes: Sequence[int]) -> Integers:
        """[R], the line of x of each packed row, where step t has sizes[t] of them."""
        return np.concatenate([self.starts[:n] + t * self.step for t, n in enumerate(sizes)])
