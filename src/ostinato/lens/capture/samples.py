"""What an observer keeps of one piece until the report: norms and samples.

Letters: T steps of x, S packed steps of a piece, R packed rows of a piece, M sampled ones, n sampled segments or rows,
k steps of the sampled rows, H units.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Samples:
    """Norms and samples of one piece. Packed rows are in memory order; `spread` means evenly sampled rows, [M, H]."""

    __slots__ = (
        "additive",
        "carries",
        "ending",
        "gates",
        "gradients",
        "inside",
        "probe",
        "spread",
        "states",
        "waiting",
        "weights",
    )

    def __init__(self, inside: Tensor, spread: Tensor) -> None:
        self.inside = inside
        """bool [T, n]: which steps of the sampled rows lie in the piece, k in all."""
        self.spread = spread
        """int64 [M]: the evenly sampled rows of the piece."""
        self.gates: dict[str, tuple[Tensor, Tensor]] = {}
        """Gate → (spread [M, H], in the sampled rows [k, H])."""
        self.carries: dict[str, tuple[Tensor, Tensor]] = {}
        """State → (spread [M, H], in the sampled segments [S, n, H]); absent where the carry is 0 by its formula."""
        self.states: list[tuple[Tensor, Tensor]] = []
        """(‖s‖ of each step [S] of a dense batch, else of each packed row [R]; spread [M, H]) of each state."""
        self.gradients: list[tuple[Tensor, Tensor]] = []
        """(‖δ‖ [R], spread [M, H]) of each state."""
        self.probe: list[Tensor] = []
        """‖δ‖ of the probe [R], of each state."""
        self.additive: list[Tensor | None] = []
        """‖δ‖ along the additive path of the probe [R], of each state; None where it has no carry."""
        self.ending: slice | Tensor = slice(0, 0)
        """The packed rows at which segments end in the order of computation."""
        self.weights: dict[str, Tensor] = {}
        """Letter → ‖G‖ of each step [S]."""
        self.waiting: list[Callable[[Samples], None]] = []
        """What is to be done before all this is read, with these samples, to which it holds no reference: memory is
        freed without the garbage collector then."""

    def additive_norms(self, k: int) -> Tensor:
        """‖δ‖ along the additive path of the probe [R], of state k: without a carry it is 0 but where segments end."""
        along = self.additive[k]
        if along is None:
            along = torch.zeros_like(self.probe[k])
            along[self.ending] = self.probe[k][self.ending]
        return along

    def complete(self) -> Samples:
        """Itself, after the operations that could wait for the report."""
        for work in self.waiting:
            work(self)
        self.waiting.clear()
        return self
