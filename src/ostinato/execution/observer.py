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
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..cells import Cell
from ..sequence import ForwardResult, Gradients, Needs, RecordedGradients, SequenceCall, Upstream
from . import backends
from .reference_backend import Tensors


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

    @property
    def call(self) -> SequenceCall:
        """The call that ran these steps."""
        return SequenceCall(self.cell, self.x, self.states, self.weights, self.sizes, self.reverse, self.noise)


class Onlooker(Protocol):
    """Looks on at one layer and direction of one call."""

    @property
    def looking(self) -> bool:
        """Whether it still wants to be shown anything."""

    def forward(self, piece: Piece) -> None:
        """Called once for each piece, after it ran."""

    def backward(self, piece: Piece, upstream: Upstream, recorded: RecordedGradients) -> None:
        """Called for each piece of a backward pass, in its order, with the gradients that enter and that leave."""

    def unseen(self, why: str) -> None:
        """Called where the call goes a way on which there is nothing to see."""


class Watcher(Protocol):
    """Decides which calls are looked at."""

    def call(self, layer: Any, batch: Any) -> Callable[[int, int], Onlooker] | None:
        """(which layer of `layer`, which direction) → its observer; None where the call is not observed.

        layer  a `layers.structure.LayerStructure`
        batch  the `ragged.batch.Batch` that it was called on
        """


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
    """A backend that shows every call to an onlooker, for a piece that begins at the step `first`.

    The tensors that forward saves end with the states after every step.
    """

    onlooker: Onlooker
    first: int = 0

    def at(self, first: int) -> Watched:
        """The same onlooker, for another piece."""
        return Watched(self.onlooker, first)

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        result = self.again(call, True, True)
        self._show(self._piece(call, result))
        return ForwardResult(
            result.output, result.final_states, result.histories if histories else [], result.saved if save else []
        )

    def again(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        """`forward` once more, which the onlooker has seen already."""
        result = backends.forward(call, True, True)
        return ForwardResult(result.output, result.final_states, result.histories, [*result.saved, *result.histories])

    def backward(
        self,
        call: SequenceCall,
        result: ForwardResult,
        upstream: Upstream,
        needs: Needs,
        accumulate_into: Tensors = (),
    ) -> Gradients:
        piece = self._piece(call, result)
        result = ForwardResult(result.output, [], [], list(piece.kept))
        if not self.onlooker.looking:
            return backends.backward(call, result, upstream, needs, accumulate_into)
        recorded = backends.backward_recorded(call, result, upstream, needs, accumulate_into)
        with torch.no_grad(), torch.autocast(call.x.device.type, enabled=False):
            self.onlooker.backward(piece, upstream, recorded)
        return recorded.gradients

    def _show(self, piece: Piece) -> None:
        if self.onlooker.looking:
            with torch.no_grad(), torch.autocast(piece.x.device.type, enabled=False):
                self.onlooker.forward(piece)

    def _piece(self, call: SequenceCall, result: ForwardResult) -> Piece:
        cell = call.cell
        count = len(cell.states) - (cell.output_state is not None)
        first = len(result.saved) - count
        every = iter(result.saved[first:])
        histories = [result.output if k == cell.output_state else next(every) for k in range(len(cell.states))]
        return Piece(
            cell, self.first, call.x, call.states, call.weights, call.batch_sizes, call.reverse, result.output,
            result.saved[:first], histories, call.random_state,
        )  # fmt: skip
