"""The gradient of a global update: the sum over ranks in one message, with what all ranks must know after it.

Letters: P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .world import Alone, World

SCALARS = 4
"""Numbers behind gradients and flags: the loss times its units, the units, interrupted, too late."""


class Signals:
    """What ends a fit between two updates: a request of the user on any rank, and rank 0's clock.

    One process asks where it needs the answer. Of several, each asks while it sends its gradients, and all know the
    answers of the update that was made last, so that they end at the same one.
    """

    def __init__(self, world: World, requested: Callable[[], bool], late: Callable[[], bool]) -> None:
        self.world = world
        self._requested, self._late = requested, late
        self._known = (False, False)

    @property
    def requested(self) -> bool:
        return self._requested() if self.world.size == 1 else self._known[0]

    @property
    def late(self) -> bool:
        return self._late() if self.world.size == 1 else self._known[1]

    def sent(self) -> tuple[bool, bool]:
        """What this rank adds to the sums over ranks."""
        return self._requested(), self.world.rank == 0 and self._late()

    def received(self, requested: bool, late: bool) -> None:
        """What the sums say."""
        self._known = (requested, late)


class Reduction:
    """Makes the gradients of each rank's mean loss those of the mean over the units of all ranks."""

    def __init__(
        self, parameters: Sequence[Tensor], world: World | None = None, signals: Signals | None = None
    ) -> None:
        self.parameters, self.world, self.signals = parameters, world or Alone(), signals
        self.sizes = [p.numel() for p in parameters]

    def __call__(self, loss: float, units: int) -> tuple[float, int]:
        """Replaces the gradients of all parameters; returns the mean loss over all units, and their number.

        loss   this rank's mean over its units
        units  0 where this rank has nothing to read; it takes part nevertheless
        A parameter that has a gradient on no rank has none afterwards.
        """
        if self.world.size == 1:
            return loss, units
        count, total = len(self.parameters), sum(self.sizes)
        flat = self.parameters[0].new_zeros(total + count + SCALARS, requires_grad=False)
        with torch.no_grad():
            parts = flat[:total].split(self.sizes)
            for place, (p, part) in enumerate(zip(self.parameters, parts, strict=True)):
                if p.grad is not None:
                    torch.mul(p.grad.reshape(-1), units, out=part)
                    flat[total + place] = 1
            asked = (False, False) if self.signals is None else self.signals.sent()
            flat[total + count :] = flat.new_tensor([loss * units, units, *asked])
            self.world.sum(flat)
            weighted, weight, requested, late = flat[-SCALARS:].tolist()
            flat[:total] /= weight
            there = flat[total : total + count].tolist()
            for p, part, ranks in zip(self.parameters, parts, there, strict=True):
                p.grad = part.view_as(p) if ranks else None
        if self.signals is not None:
            self.signals.received(bool(requested), bool(late))
        return weighted / weight if weight else float("nan"), int(weight)
