"""Sizes as letters: which of a tensor's sizes is T and which is B, as the calls of recurrent layers show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .flow import Shape


@dataclass
class Letters:
    """Which axis is time and which the batch, and their sizes, as the calls of recurrent layers show."""

    time: int = 0
    """The axis of time."""
    batched: bool = True
    """Whether there is an axis of the batch."""
    rows: int = 0
    """B."""
    steps: list[int] = field(default_factory=list)
    """The numbers of steps that occur, T first."""
    packed: bool = False
    """Whether the steps are packed rows."""
    recurrent: bool = False
    """Whether a recurrent layer was called."""

    def see(self, layer: nn.Module, x: Any, data: Tensor) -> None:
        """A call of `layer` on x, whose numbers are `data`: [T, B, C], [B, T, C], [T, C] or packed rows [R, C]."""
        packed = isinstance(x, PackedSequence)
        batched = data.dim() == 3 or packed
        time = 1 if layer.batch_first and data.dim() == 3 else 0
        if not self.recurrent:
            self.time, self.batched, self.packed = time, batched, packed
            self.rows = int(x.batch_sizes[0]) if packed else data.shape[1 - time] if batched else 1
        self.recurrent = True
        steps = len(x.batch_sizes) if packed else data.shape[time]
        if steps not in self.steps:
            self.steps.append(steps)

    def over_time(self, shape: tuple[int, ...], like: Tensor) -> bool:
        """Whether a tensor of this shape has an entry for each step.

        like  the tensor that it was computed from. [B, H] from [T, B, H] has no steps even where B happens to be T
        """
        if self.packed and len(shape) > 1 and shape[0] == like.shape[0] != self.rows:
            return True
        rank = 2 if self.batched else 1
        if len(shape) < rank or shape[self.time] not in self.steps:
            return False
        if self.batched and shape[1 - self.time] != self.rows:
            return False
        without = tuple(n for k, n in enumerate(like.shape) if k != self.time)
        return not (len(shape) == len(like.shape) - 1 and shape == without)

    def steps_of(self, shape: tuple[int, ...]) -> int | None:
        """The size of the axis of time, if there is one."""
        return shape[self.time] if len(shape) > self.time else None

    def write(self, shape: tuple[int, ...], timed: bool, state: bool = False) -> Shape:
        """A shape in letters: T (T′ for a second number of steps) and B for their axes, numbers elsewhere.

        state  whether it is a state [D·L, B, H], which has no axis of time
        """
        if state and len(shape) == 3:
            return (str(shape[0]), "B" if shape[1] == self.rows else str(shape[1]), str(shape[2]))
        if self.packed and len(shape) > 1 and shape[0] != self.rows:
            return ("R", *map(str, shape[1:]))
        written = [str(n) for n in shape]
        rank = 2 if self.batched else 1
        timed = timed and len(shape) >= rank and shape[self.time] in self.steps
        if timed:
            written[self.time] = "T" + "′" * self.steps.index(shape[self.time])
            if self.batched:
                written[1 - self.time] = "B" if shape[1 - self.time] == self.rows else written[1 - self.time]
        elif self.batched and shape and shape[0] == self.rows:
            written[0] = "B"
        return tuple(written)

    def sizes(self) -> dict[str, int]:
        """The letters of this example: {"T": 7, "B": 2}."""
        sizes = {"T" + "′" * k: steps for k, steps in enumerate(self.steps)}
        return sizes | ({"B": self.rows} if self.batched else {})


def steps_read(letters: Letters, gradient: Tensor | None) -> str:
    """Which steps of a source [T, B, H] are read, from the gradient of the reader in the source."""
    if gradient is None or letters.packed or gradient.dim() < 2 + letters.batched:
        return "all"
    if gradient.shape[letters.time] not in letters.steps:
        return "all"
    g = gradient.transpose(0, letters.time)
    read = (g != 0).flatten(2).any(2) if letters.batched else (g != 0).any(1, keepdim=True)
    one = (read.sum(0) == 1).all()
    if one and read[-1].all():
        return "last"
    if one and read[0].all():
        return "first"
    if one:
        return "one of each row"
    if (read.sum(0) == 2).all() and read[0].all() and read[-1].all():
        return "first and last"
    return "all" if read.all() else "some"
