"""The replay of one call: for each of a layer's layers and directions, the input and the state of every step.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..._renamed import RenamedAttribute
from ...cells import Cell
from ...errors import USE_CONVERT, InputError, phrase
from ...layers.base import Layer
from ...layers.init import initial_state
from ...layers.modes import eval_mode
from ...ragged.lengths import read_lengths, read_resets
from .evaluate import evaluate


@dataclass(frozen=True)
class LayerReplay:
    """One layer and direction of a call. All tensors are detached, time first, in the order of x."""

    cell: Cell
    """The layer's equations."""
    weights: tuple[Tensor, ...]
    """Its parameters, in the order of `cell.parameters`: [G·H, C] and so on, in units of the weights."""
    x: Tensor
    """The input, [T, B, C], in its own unit; C is D·H for a layer that reads another. 0 past a row's end."""
    initial_states: tuple[Tensor, ...]
    """The state before a row's first step, [B, H] for each state, in units of the state."""
    states: tuple[Tensor, ...]
    """The states after each step, [T, B, H] each, in units of the state; 0 past a row's end."""
    output: Tensor
    """The output of each step, [T, B, H], in units of the output; 0 past a row's end."""
    valid: Tensor
    """bool [T, B], False past a row's end."""
    reverse: bool
    """True for the second direction, which starts at the row's last step."""
    depth: int
    """Which of the L layers, from 0."""
    resets: Tensor | None = None
    """bool [T, B], True where a new sequence starts inside the row; None where none does."""
    reset_states: tuple[Tensor, ...] = ()
    """The layer's own initial state, [B, H] for each state, in units of the state, from which those sequences start; ()
    without resets."""

    start = RenamedAttribute("initial_states")
    own = RenamedAttribute("reset_states")
    begins = RenamedAttribute("segment_start_masks")
    previous = RenamedAttribute("previous_states")

    @property
    def lengths(self) -> Tensor:
        """Steps of each row, int64 [B]."""
        return self.valid.sum(0)

    @property
    def segment_start_masks(self) -> tuple[Tensor, Tensor]:
        """The steps that start from `initial_states`, and those that start from `reset_states`: bool [T, B] each."""
        cut = torch.zeros_like(self.valid) if self.resets is None else self.resets & self.valid
        if not self.reverse:
            first = self.valid.clone()
            first[1:] = False
            return first & ~cut, cut
        is_last = torch.ones_like(cut)  # the last step of a segment: at the row's end, and before a reset
        is_last[:-1] = cut[1:] | ~self.valid[1:]
        later = cut.cumsum(0) > 0
        return is_last & self.valid & ~later, is_last & self.valid & later

    @property
    def previous_states(self) -> tuple[Tensor, ...]:
        """The states before each step, s_{t-1} (s_{t+1} with `reverse`): [T, B, H] each."""
        from_initial, from_reset = self.segment_start_masks
        shift = -1 if self.reverse else 1
        previous = []
        for k, (s, initial) in enumerate(zip(self.states, self.initial_states, strict=True)):
            old = torch.where(from_initial[..., None], initial, s.roll(shift, 0)) * self.valid[..., None]
            if self.reset_states:
                old = torch.where(from_reset[..., None], self.reset_states[k], old)
            previous.append(old)
        return tuple(previous)

    def to(self, dtype: torch.dtype) -> LayerReplay:
        """The same replay in another number type; nothing is computed again."""

        def cast(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(t.to(dtype) for t in tensors)

        return replace(
            self,
            weights=cast(self.weights),
            x=self.x.to(dtype),
            initial_states=cast(self.initial_states),
            states=cast(self.states),
            output=self.output.to(dtype),
            reset_states=cast(self.reset_states),
        )


def replay(
    layer: nn.Module, x: Any, state: Any = None, *, lengths: Any = None, resets: Any = None
) -> list[LayerReplay]:
    """Calls `layer` once, in eval mode and without gradients, and returns what each of its layers and directions did.

    layer                      a recurrent layer of ostinato; its mode is left as it was
    x, state, lengths, resets  as the layer takes them, x [T, B, C], a PackedSequence or [T, C]

    Returns D·L replays in the order of a state's rows: the first layer's directions first. Raises InputError for
    another module, and what the layer raises. States are in their own units. Cost: one forward pass; memory [T, B, H] a
    state.
    """
    if not isinstance(layer, Layer):
        raise InputError(phrase("lens", "layer", "a recurrent layer of ostinato", type(layer).__name__, USE_CONVERT))
    if isinstance(x, PackedSequence):
        x, lengths = pad_packed_sequence(x, layer.batch_first)
    with torch.no_grad(), eval_mode(layer):
        *_, states = layer(x, state, lengths=lengths, resets=resets, return_states=True)
    histories = (states,) if len(layer.cell.states) == 1 else states
    histories = histories if x.dim() == 3 else tuple(s.unsqueeze(2) for s in histories)
    inputs = normalize_inputs(layer, x, state, lengths, resets)
    below, valid = inputs.x.detach(), inputs.valid
    replays: list[LayerReplay] = []
    directions = 2 if layer.bidirectional else 1
    for depth in range(layer.num_layers):
        for direction in range(directions):
            k = depth * directions + direction
            one = LayerReplay(
                cell=layer.cell,
                weights=tuple(getattr(layer, name).detach() for name in layer._weight_names()[k]),
                x=below,
                initial_states=tuple(s[k].detach() for s in inputs.initial_states),
                states=tuple(s[k].detach() for s in histories),
                output=below,
                valid=valid,
                reverse=direction == 1,
                depth=depth,
                resets=inputs.resets,
                reset_states=tuple(s[k].detach() for s in inputs.reset_states),
            )
            replays.append(replace(one, output=_output(one)))
        below = torch.cat([one.output for one in replays[-directions:]], -1)
    return replays


@dataclass(frozen=True)
class CallInputs:
    """The arguments of a call, time first and with a batch, with the graph that autograd has of them."""

    x: Tensor
    """[T, B, C]; 0 past a row's end."""
    initial_states: tuple[Tensor, ...]
    """[D·L, B, H] for each state, as given, learned, or zero."""
    valid: Tensor
    """bool [T, B], False past a row's end."""
    resets: Tensor | None
    """bool [T, B]; None without resets."""
    reset_states: tuple[Tensor, ...]
    """The layer's own initial state, [D·L, B, H] for each state; () without resets."""


def normalize_inputs(layer: Layer, x: Tensor, state: Any, lengths: Any, resets: Any) -> CallInputs:
    """The arguments of a call as the layer takes them, and as it has checked them; no PackedSequence."""
    initial = initial_state(layer, x) if state is None else [state] if isinstance(state, Tensor) else list(state)
    reset_states = [] if resets is None else initial_state(layer, x)
    batched = x.dim() == 3
    cut = None if resets is None else read_resets(resets, tuple(x.shape[:-1]), layer.batch_first, "lens").to(x.device)
    if not batched:
        x, initial, reset_states = (
            x.unsqueeze(1),
            [s.unsqueeze(1) for s in initial],
            [s.unsqueeze(1) for s in reset_states],
        )
    elif layer.batch_first:
        x = x.transpose(0, 1)
    steps, rows = x.shape[:2]
    known = None if lengths is None else read_lengths(lengths, rows, steps, batched, "lens").to(x.device)
    ends = torch.full((rows,), steps, device=x.device) if known is None else known
    valid = torch.arange(steps, device=x.device)[:, None] < ends
    return CallInputs(torch.where(valid[..., None], x, 0.0), tuple(initial), valid, cut, tuple(reset_states))


def replay_layer(
    layer: nn.Module, x: Any, state: Any, lengths: Any, resets: Any, depth: int, direction: int, where: str
) -> LayerReplay:
    """The replay of one layer (`depth`, -1 for the last) and direction (0 or 1); `where` names the caller in errors."""
    replays = replay(layer, x, state, lengths=lengths, resets=resets)
    layers, directions = replays[-1].depth + 1, 1 + replays[-1].reverse
    if not isinstance(depth, int) or not -layers <= depth < layers:
        expected = f"one of the {layers} layers, from 0 to {layers - 1} or from -{layers} to -1"
        raise InputError(phrase(where, "depth", expected, depth))
    if direction not in range(directions):
        expected = "0 or 1" if directions == 2 else "0 for a layer of one direction"
        raise InputError(phrase(where, "direction", expected, direction))
    return replays[depth % layers * directions + direction]


def _output(one: LayerReplay) -> Tensor:
    if one.cell.output_state is not None:
        return one.states[one.cell.output_state]
    output = evaluate(one.cell, one.weights, one.x, one.previous_states, [one.cell.trace.output])[0]
    size = one.cell.output_size(one.weights, one.initial_states)
    return torch.where(one.valid[..., None], output, 0.0).expand(*output.shape[:-1], size)
