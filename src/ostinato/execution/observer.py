"""Observation of a running layer: its tensors are passed to an observer, forward and backward.

Observation changes no bit: forward saves more tensors, and backward runs a variant of the kernel that also stores the
gradients of states and gates of every step. `interception` says which calls are observed.

Letters: T steps, B rows of the batch, H hidden units, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..cells import Cell
from ..sequence import ForwardResult, Gradients, Needs, OnBlock, RecordedGradients, SequenceCall, Upstream
from . import backends, reference_backend
from .reference_backend import Tensors


@dataclass(frozen=True)
class SequenceRecord:
    """Steps of one layer and direction, with detached tensors: all steps of a call, or a segment of a checkpoint."""

    cell: Cell
    first: int
    """The step of the call at which the record begins, in packed steps."""
    x: Tensor
    """[T, B, C], or packed rows [R, C] with `sizes`."""
    states: Tensors
    """The states before the first step in processing order, [B, H] each."""
    weights: Tensors
    sizes: Tensor | None
    reverse: bool
    output: Tensor
    kept: Tensors
    """The tensors that forward saved; `backends.saved_columns` names what is in the first of them."""
    histories: Tensors
    """The states after each step, in the order of the cell, laid out as the output."""
    noise: Tensor | None = None
    """The random state, as `SequenceCall.random_state`."""

    @property
    def call(self) -> SequenceCall:
        """The call that ran these steps."""
        return SequenceCall(self.cell, self.x, self.states, self.weights, self.sizes, self.reverse, self.noise)


class SequenceObserver(Protocol):
    """Observes one layer and direction of one call."""

    @property
    def active(self) -> bool:
        """Whether `forward` and `backward` are still to be called."""

    def forward(self, record: SequenceRecord) -> None:
        """Called once for each record, after its forward pass."""

    def probe(self, record: SequenceRecord, upstream: Upstream) -> Upstream | None:
        """Called before the backward pass of each record: other gradients to send through it, if there are any."""

    def on_block(self, record: SequenceRecord) -> OnBlock | None:
        """Called after `probe`: what takes the gradients of products block by block; None to have them recorded."""

    def backward(self, record: SequenceRecord, upstream: Upstream, recorded: RecordedGradients) -> None:
        """Called for each record of a backward pass, in its order, with the gradients that enter and that leave."""

    def not_observed(self, why: str) -> None:
        """Called instead of both where the call is executed in a way that cannot be observed."""


Observe = Callable[[Any, Any], Callable[[int, int], SequenceObserver] | None]
"""(the `layers.structure.LayerStructure`, the `ragged.batch.Batch` that it was called on) → a function
(number of a layer in the stack, direction) → its observer; None where the call is not observed."""


class ObservedBackend(NamedTuple):
    """A backend that passes every call to an observer, as a record that begins at the step `first`.

    The tensors that forward saves end with the states after every step.
    """

    observer: SequenceObserver
    first: int = 0

    def at(self, first: int) -> ObservedBackend:
        """The same observer, for another record."""
        return ObservedBackend(self.observer, first)

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        result = self.recompute(call, True, True)
        self._observe(self._record_of(call, result))
        return ForwardResult(
            result.output, result.final_states, result.histories if histories else [], result.saved if save else []
        )

    def recompute(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        """`forward` once more, without passing it to the observer."""
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
        record = self._record_of(call, result)
        result = ForwardResult(result.output, [], [], list(record.kept))
        if not self.observer.active:
            return backends.backward(call, result, upstream, needs, accumulate_into)
        with _in_full_precision(call.x):
            probe, on_block = self.observer.probe(record, upstream), self.observer.on_block(record)
        recorded = backends.backward_recorded(call, result, upstream, needs, accumulate_into, probe, on_block)
        with _in_full_precision(call.x):
            self.observer.backward(record, upstream, recorded)
        return recorded.gradients

    def _observe(self, record: SequenceRecord) -> None:
        if self.observer.active:
            with _in_full_precision(record.x):
                self.observer.forward(record)

    def _record_of(self, call: SequenceCall, result: ForwardResult) -> SequenceRecord:
        cell = call.cell
        count = len(cell.states) - (cell.output_state is not None)
        first = len(result.saved) - count
        every = iter(result.saved[first:])
        histories = [result.output if k == cell.output_state else next(every) for k in range(len(cell.states))]
        return SequenceRecord(
            cell, self.first, call.x, call.states, call.weights, call.batch_sizes, call.reverse, result.output,
            result.saved[:first], histories, call.random_state,
        )  # fmt: skip


def _in_full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """A context without gradients and without autocast, which is turned off only where it is on: that costs less."""
    if not reference_backend.autocast_on(x.device.type):
        return torch.no_grad() if torch.is_grad_enabled() else nullcontext()
    context = ExitStack()
    context.enter_context(torch.no_grad())
    context.enter_context(torch.autocast(x.device.type, enabled=False))
    return context
