"""`Recipe`: which kernel of a cell is meant, before it is planned, emitted and compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...cells import Cell
from ..emit.backward import Backward
from ..emit.forward import Forward
from ..emit.time_loop import Kernel
from ..planning.cell_program import program
from ..system.compile_cache import Order
from ..system.target import host


class Recipe(NamedTuple):
    """One kernel of a cell, for this machine.

    make  plans the kernel; its `module` emits it
    kind  tells the kernels of a cell apart
    """

    cell: Cell
    scalar: str
    kind: str
    make: Callable[[], Kernel]

    @property
    def order(self) -> Order:
        """What is compiled, and found again in the cache."""
        cell = self.cell
        key = f"{cell.equations}\n{cell.states} {cell.gates}\n{self.kind} {self.scalar}"
        return Order(lambda: self.make().module(), f"{cell.name} {self.kind}", key, host())


def forward_recipe(cell: Cell, scalar: str, save: bool, histories: bool) -> Recipe:
    """The forward pass; save: with what backward reads, histories: with the states after every step."""
    kind = f"forward save={save} histories={histories}"
    return Recipe(cell, scalar, kind, lambda: Forward(program(cell), host(), scalar, save, histories))


def backward_recipe(cell: Cell, scalar: str, d_histories: bool, record: bool) -> Recipe:
    """The backward pass; d_histories: with gradients of the states after every step, record: with all adjoints."""
    kind = f"backward d_histories={d_histories}" + " record" * record
    return Recipe(cell, scalar, kind, lambda: Backward(program(cell), host(), scalar, d_histories, record))
