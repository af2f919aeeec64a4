"""Who looks on while layers run: what a call has in hand is shown to a watcher, where the context has one.

Nothing here changes a result: forward keeps more than it must, backward runs as the kernel that also writes out what it
has in passing, whose bits are the same. Without a watcher a call asks one context variable, and no more.

Letters: T steps, B rows of the batch, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from ..cells import Cell
from . import engine
from .plain import Found, Gradients, Kept, Needs, Recorded, Tensors
from .sequences import Batch

if TYPE_CHECKING:
    from .layer import Layer


@dataclass(frozen=True)
class Piece:
    """Steps of one layer and direction: all of a call, or a segment of a checkpointed one. Detached, as kernels see it.

    first      the step of the call at which it begins, in packed steps
    x          [T, B, C], or packed rows [R, C] with `sizes`
    states     the states before its first step, in the order of work: [B, H] each
    kept       what forward kept; `engine.kept_values` says of which nodes
    histories  the states after each step, in the order of the cell, laid out as the output
    noise      what its random numbers come from
    """

    cell: Cell
    first: int
    x: Tensor
    states: Tensors
    weights: Tensors
    sizes: Tensor | None
    reverse: bool
    output: Tensor
    kept: Tensors
    histories: Tensors
    noise: Tensor | None = None


class Onlooker(Protocol):
    """Looks on at one layer and direction of one call."""

    @property
    def looking(self) -> bool:
        """Whether it still wants to be shown anything."""

    def forward(self, piece: Piece) -> None:
        """Called once for each piece, after it ran."""

    def backward(
        self, piece: Piece, d_output: Tensor | None, d_finals: Gradients, d_histories: Gradients, found: Recorded
    ) -> None:
        """Called for each piece of a backward pass, in its order, with what went in and what was found."""

    def unseen(self, why: str) -> None:
        """Called where the call goes a way on which there is nothing to see."""


class Watcher(Protocol):
    """Decides which calls are looked at."""

    def call(self, layer: Layer, batch: Batch) -> Callable[[int, int], Onlooker] | None:
        """(which layer of `layer`, which direction) → who looks on; None where nobody does."""


WATCHER: ContextVar[Watcher | None] = ContextVar("ostinato_watcher", default=None)


@contextmanager
def unwatched() -> Iterator[None]:
    """Calls inside concern nobody: those that try something out, and are no part of a training step."""
    token = WATCHER.set(None)
    try:
        yield
    finally:
        WATCHER.reset(token)


class Watched(NamedTuple):
    """`engine.forward` and `engine.backward` with an onlooker, for a piece that begins at the step `first`.

    What forward keeps ends with the states after every step.
    """

    onlooker: Onlooker
    first: int = 0

    def at(self, first: int) -> Watched:
        """The same onlooker, for another piece."""
        return Watched(self.onlooker, first)

    def forward(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        keep: bool,
        histories: bool,
        noise: Tensor | None = None,
    ) -> Kept:
        output, finals, every, kept = self.again(cell, x, states, weights, sizes, reverse, True, True, noise)
        self._show(self._piece(cell, x, states, weights, sizes, reverse, output, kept, noise))
        return output, finals, every if histories else [], kept if keep else []

    def again(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        keep: bool,
        histories: bool,
        noise: Tensor | None = None,
    ) -> Kept:
        """`forward` once more, which the onlooker has seen already."""
        output, finals, every, kept = engine.forward(cell, x, states, weights, sizes, reverse, True, True, noise)
        return output, finals, every, [*kept, *every]

    def backward(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        output: Tensor,
        kept: Tensors,
        d_output: Tensor | None,
        d_finals: Gradients,
        d_histories: Gradients,
        needs: Needs,
        onto: Tensors = (),
        noise: Tensor | None = None,
    ) -> Found:
        piece = self._piece(cell, x, states, weights, sizes, reverse, output, kept, noise)
        run = engine.backward_recorded if self.onlooker.looking else engine.backward
        found = run(
            cell,
            x,
            states,
            weights,
            sizes,
            reverse,
            output,
            piece.kept,
            d_output,
            d_finals,
            d_histories,
            needs,
            onto,
            noise,
        )
        if not self.onlooker.looking:
            return found  # type: ignore[return-value]
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            self.onlooker.backward(piece, d_output, d_finals, d_histories, found)  # type: ignore[arg-type]
        return found[0]  # type: ignore[return-value]

    def _show(self, piece: Piece) -> None:
        if self.onlooker.looking:
            with torch.no_grad(), torch.autocast(piece.x.device.type, enabled=False):
                self.onlooker.forward(piece)

    def _piece(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        output: Tensor,
        kept: Tensors,
        noise: Tensor | None,
    ) -> Piece:
        count = len(cell.states) - (cell.output_state is not None)
        kept, every = list(kept[: len(kept) - count]), iter(kept[len(kept) - count :])
        histories = [output if k == cell.output_state else next(every) for k in range(len(cell.states))]
        return Piece(cell, self.first, x, states, weights, sizes, reverse, output, kept, histories, noise)
