"""A model's computation with its recurrent layers cut out of the autograd graph.

Inside `recorded(model)` every call of a recurrent layer returns its usual values as leaves: autograd records the
computation between the layers, and not the layers themselves. A `DetachedCall` is one layer and direction of one call,
with its inputs, which have a graph, and its outputs, which are leaves.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ...execution.interception import Answer, not_replaced, replaced
from ...layers.arguments import State
from ...layers.base import Layer
from ...ragged.lengths import Lengths, Resets
from .replay import LayerReplay, normalize_inputs, replay


@dataclass(frozen=True)
class DetachedCall:
    """One layer and direction in one call."""

    replay: LayerReplay
    """Its replay, detached."""
    name: str
    """The layer's name inside the model."""
    weights: dict[str, Tensor]
    """Parameter name inside the model → the tensor, in the order of `cell.parameters`."""
    x: Tensor
    """The input, [T, B, C], with its autograd graph."""
    initial_states: tuple[Tensor, ...]
    """The states before a row's first step, [B, H] each, with their graphs."""
    reset_states: tuple[Tensor, ...]
    """The layer's own initial states, [B, H] each, with their graphs; () without resets."""
    states: tuple[Tensor, ...]
    """Leaves: the states after each step, [T, B, H] each."""
    output: Tensor
    """A leaf: the output of each step, [T, B, H]."""

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """(output, *states)."""
        return self.output, *self.states


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[DetachedCall]]:
    """Records the calls of the recurrent layers inside `model`, in order. The layers themselves are not changed, and
    calls in other threads are not recorded.
    """
    calls: list[DetachedCall] = []
    names = {module: name for name, module in model.named_modules() if isinstance(module, Layer)}
    recorders = {layer: _Recorder(layer, name, calls) for layer, name in names.items()}

    def recorder(layer: Layer) -> Answer | None:
        return recorders[layer].call if layer in recorders and torch.is_grad_enabled() else None

    with replaced(recorder):
        yield calls


class _Recorder:
    """Answers the calls of one layer with detached ones."""

    def __init__(self, layer: Layer, name: str, calls: list[DetachedCall]) -> None:
        self.layer, self.name, self.calls = layer, name, calls

    def call(
        self,
        layer: Layer,
        x: Tensor | PackedSequence,
        state: State,
        lengths: Lengths,
        resets: Resets,
        return_states: bool,
    ) -> Any:
        """The result of the call, as a `execution.interception.Answer`."""
        with not_replaced():
            with torch.no_grad():  # checks the arguments as a usual call does
                layer._sequence(x, state, lengths, resets, return_states)
            if not isinstance(x, PackedSequence):
                result = self._detached(x, state, lengths, resets)
            else:
                padded, known = pad_packed_sequence(x, layer.batch_first)
                output, *rest = self._detached(padded, state, known, resets)
                result = _packed_as(output, x, layer.batch_first), *rest
        return result if return_states else result[:2]

    def _detached(self, x: Tensor, state: Any, lengths: Any, resets: Any) -> tuple[Any, Any, Any]:
        """(output, final state, states) in the caller's layout, computed from the leaves of new detached calls."""
        layer = self.layer
        replays = replay(layer, x, state, lengths=lengths, resets=resets)
        inputs = normalize_inputs(layer, x, state, lengths, resets)
        below = inputs.x
        directions = 2 if layer.bidirectional else 1
        new: list[DetachedCall] = []
        for k, (replayed, names) in enumerate(zip(replays, layer._weight_names(), strict=True)):
            if k and k % directions == 0:
                below = torch.cat([call.output for call in new[-directions:]], -1)
            prefix = f"{self.name}." if self.name else ""
            new.append(
                DetachedCall(
                    replay=replayed,
                    name=self.name,
                    weights={prefix + name: getattr(layer, name) for name in names},
                    x=below,
                    initial_states=tuple(s[k] for s in inputs.initial_states),
                    reset_states=tuple(s[k] for s in inputs.reset_states),
                    states=tuple(s.clone().requires_grad_() for s in replayed.states),
                    output=replayed.output.clone().requires_grad_(),
                )
            )
        self.calls += new
        output = torch.cat([call.output for call in new[-directions:]], -1)
        finals = [torch.stack(s) for s in zip(*[_final_states(call) for call in new], strict=True)]
        histories = [torch.stack(s) for s in zip(*[call.states for call in new], strict=True)]
        if x.dim() == 2:
            output, finals = output.squeeze(1), [s.squeeze(1) for s in finals]
            histories = [s.squeeze(2) for s in histories]
        elif layer.batch_first:
            output = output.transpose(0, 1)
        if len(finals) > 1:
            return output, tuple(finals), tuple(histories)
        return output, finals[0], histories[0]


def _final_states(call: DetachedCall) -> list[Tensor]:
    """The state of each row at its own last step, its initial state where there is none: [B, H] each."""
    replayed = call.replay
    lengths = replayed.lengths
    if not len(replayed.x):
        return list(call.initial_states)
    last = lengths.clamp(min=1) - 1
    if replayed.reverse:  # the first step of the row's last segment
        last = torch.zeros_like(lengths)
        if replayed.resets is not None:
            step = torch.arange(len(replayed.x), device=lengths.device)[:, None]
            last = torch.where(replayed.resets & replayed.valid, step, 0).amax(0)
    rows = torch.arange(len(lengths), device=lengths.device)
    return [
        torch.where((lengths > 0)[:, None], s[last, rows], start)
        for s, start in zip(call.states, call.initial_states, strict=True)
    ]


def _packed_as(output: Tensor, like: PackedSequence, batch_first: bool) -> PackedSequence:
    """Padded output, rows in the caller's order, packed as x was."""
    time_first = output.transpose(0, 1) if batch_first else output
    if like.sorted_indices is not None:
        time_first = time_first.index_select(1, like.sorted_indices)
    inside = torch.arange(time_first.shape[1], device="cpu")[None] < like.batch_sizes[:, None]
    return PackedSequence(time_first[inside.to(time_first.device)], *like[1:])
