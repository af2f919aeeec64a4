"""What a line of a traced model can be: a value of every step, a constant of the model, a state, or a refusal.

Letters: T steps, B rows, C features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from torch import Tensor

from .sizes import ROWS, TIME, Axis


class RefusedError(Exception):
    """What cannot be read, as the parts of a message.

    layout  it may be that only the assumed order of x's axes is wrong
    """

    def __init__(self, expected: str, received: str, remedy: str, layout: bool = False):
        super().__init__(expected, received)
        self.expected, self.received, self.remedy, self.layout = expected, received, remedy, layout


def refuse(expected: str, received: str, remedy: str, layout: bool = False) -> NoReturn:
    """Raises RefusedError."""
    raise RefusedError(expected, received, remedy, layout)


@dataclass(frozen=True)
class Value:
    """A value that depends on x, or a number, with the meaning of its axes.

    node   index in the network; the features of one row and step, in the order of the axes that hold them
    axes   what each axis is. A value without time is that of the present step
    lead   steps before x's first one, from padding that no convolution has consumed
    tail   steps behind x's last one
    zeros  whether the steps of `lead` hold zeros
    kind   "condition": true or false, from a comparison; "token": whole numbers of an embedding
    state  whether it is a layer's final state, as the layer returned it
    """

    node: int
    axes: tuple[Axis, ...]
    lead: int = 0
    tail: int = 0
    zeros: bool = True
    kind: Literal["number", "condition", "token"] = "number"
    state: bool = False

    @property
    def time(self) -> int | None:
        """The place of the axis of time, where it is one of its own."""
        return self.axes.index(TIME) if TIME in self.axes else None

    @property
    def has_time(self) -> bool:
        """Whether it has one value for each step."""
        return any(a == TIME or (isinstance(a, tuple) and TIME in a) for a in self.axes)

    @property
    def extra(self) -> int:
        """Steps that it has beside those of x."""
        return self.lead + self.tail

    def whole_features(self, axis: int) -> bool:
        """Whether this axis alone holds features, apart from axes of length 1."""
        return all(not isinstance(a, int) or a == 1 or k == axis for k, a in enumerate(self.axes))


@dataclass(frozen=True)
class Hidden:
    """A state that is no layer's output, as the c of an LSTM: it may be returned, and nothing else."""

    name: str


@dataclass(frozen=True)
class Const:
    """A tensor that does not depend on x: a parameter, a buffer, or what is computed from these.

    name     of its parameter or line
    compute  its present value
    shape    its sizes
    """

    name: str
    compute: Callable[[], Tensor]
    shape: tuple[int, ...]


def axis_index(value: Value, dim: object) -> int:
    """The place that `dim` means, from 0. Raises RefusedError for another one."""
    rank = len(value.axes)
    if not isinstance(dim, int) or isinstance(dim, bool) or not -rank <= dim < rank:
        refuse(f"given a dimension from {-rank} to {rank - 1}", repr(dim), "Give one dimension by its number.", True)
    return dim % rank


def meaning(axis: Axis) -> str:
    """What an axis is, in words for messages."""
    if isinstance(axis, tuple):
        return "time and rows"
    return "time" if axis == TIME else "the rows of the batch" if axis == ROWS else "features"


def described(value: Value) -> str:
    """The axes as letters, "[T, B, 8]"."""
    return f"[{', '.join('·'.join(a) if isinstance(a, tuple) else str(a) for a in value.axes)}]"
