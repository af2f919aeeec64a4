"""What a layer went through in one call: for each of its layers and directions, the input and the state of every step.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..cells import Cell
from ..errors import InputError, phrase
from ..layers.given import read_lengths, read_resets
from ..layers.initial import own
from ..layers.layer import Layer
from ..layers.modes import eval_mode
from .evaluate import evaluate


@dataclass(frozen=True)
class Run:
    """One layer and direction of a call. All tensors are detached, time first, in the order of x.

    cell, weights  its equations and its parameters, in the order of `cell.parameters`
    x              what it read, [T, B, C]; C is D·H for a layer that reads another. 0 past a row's end
    start          the state before a row's first step, [B, H] for each state
    states         the states after each step, [T, B, H] each; 0 past a row's end
    output         [T, B, H]; 0 past a row's end
    valid          [T, B] bool, False past a row's end
    reverse        True for the second direction, whose first step is the row's last
    depth          which of the L layers
    resets         [T, B] bool, True where a new sequence starts inside the row; None where none does
    own            the layer's own start, [B, H] for each state, from which those sequences start
    """

    cell: Cell
    weights: tuple[Tensor, ...]
    x: Tensor
    start: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    output: Tensor
    valid: Tensor
    reverse: bool
    depth: int
    resets: Tensor | None = None
    own: tuple[Tensor, ...] = ()

    @property
    def lengths(self) -> Tensor:
        """Steps of each row, int64 [B]."""
        return self.valid.sum(0)

    @property
    def begins(self) -> tuple[Tensor, Tensor]:
        """The steps that start from `start`, and those that start from `own`: [T, B] bool each."""
        cut = torch.zeros_like(self.valid) if self.resets is None else self.resets & self.valid
        if not self.reverse:
            first = self.valid.clone()
            first[1:] = False
            return first & ~cut, cut
        after = torch.ones_like(cut)  # what ends a piece: the row's end, and a reset at the step after
        after[:-1] = cut[1:] | ~self.valid[1:]
        later = cut.cumsum(0) > 0
        return after & self.valid & ~later, after & self.valid & later

    @property
    def previous(self) -> tuple[Tensor, ...]:
        """The states that each step started from, s_{t-1} (s_{t+1} with `reverse`): [T, B, H] each."""
        first, anew = self.begins
        move = -1 if self.reverse else 1
        before = []
        for k, (s, start) in enumerate(zip(self.states, self.start, strict=True)):
            old = torch.where(first[..., None], start, s.roll(move, 0)) * self.valid[..., None]
            before.append(torch.where(anew[..., None], self.own[k], old) if self.own else old)
        return tuple(before)

    def to(self, dtype: torch.dtype) -> Run:
        """The same run in another number type; nothing is run again."""
        parts = {
            name: tuple(t.to(dtype) for t in getattr(self, name)) for name in ("weights", "start", "states", "own")
        }
        return replace(self, x=self.x.to(dtype), output=self.output.to(dtype), **parts)  # type: ignore[arg-type]


def runs(layer: nn.Module, x: Any, state: Any = None, *, lengths: Any = None, resets: Any = None) -> list[Run]:
    """Calls `layer` once, in eval mode and without gradients, and tells what each of its layers and directions did.

    x, state, lengths and resets as the layer takes them, a PackedSequence and [T, C] included. Returns D·L runs in the
    order of a state's rows: the first layer's directions first. Cost: one forward pass; memory [T, B, H] a state.
    """
    if not isinstance(layer, Layer):
        remedy = "ostinato.convert(model) makes one of each of torch.nn's recurrent layers."
        raise InputError(phrase("lens", "layer", "a recurrent layer of ostinato", type(layer).__name__, remedy))
    if isinstance(x, PackedSequence):
        x, lengths = pad_packed_sequence(x, layer.batch_first)
    with torch.no_grad(), eval_mode(layer):
        *_, states = layer(x, state, lengths=lengths, resets=resets, return_states=True)
    several = (states,) if len(layer.cell.states) == 1 else states
    several = several if x.dim() == 3 else tuple(s.unsqueeze(2) for s in several)
    batch = arrange(layer, x, state, lengths, resets)
    below, valid = batch.x.detach(), batch.valid
    found: list[Run] = []
    directions = 2 if layer.bidirectional else 1
    for depth in range(layer.num_layers):
        for direction in range(directions):
            k = depth * directions + direction
            weights = tuple(getattr(layer, name).detach() for name in layer._weight_names()[k])
            start, after = tuple(s[k].detach() for s in batch.starts), tuple(s[k].detach() for s in several)
            anew = tuple(s[k].detach() for s in batch.own)
            run = Run(layer.cell, weights, below, start, after, below, valid, direction == 1, depth, batch.resets, anew)
            found.append(replace(run, output=_output(run)))
        below = torch.cat([run.output for run in found[-directions:]], -1)
    return found


@dataclass(frozen=True)
class Arranged:
    """What a call reads, time first and with a batch, its history kept: autograd knows where it comes from.

    x       [T, B, C]; 0 past a row's end
    starts  [D·L, B, H] for each state, as given, learned, or zero
    valid   [T, B] bool, False past a row's end
    resets  [T, B] bool, and `own`, the layer's own start [D·L, B, H] for each state; None and () without resets
    """

    x: Tensor
    starts: tuple[Tensor, ...]
    valid: Tensor
    resets: Tensor | None
    own: tuple[Tensor, ...]


def arrange(layer: Layer, x: Tensor, state: Any, lengths: Any, resets: Any) -> Arranged:
    """The arguments of a call as the layer takes them, and as it has checked them; no PackedSequence."""
    starts = own(layer, x) if state is None else [state] if isinstance(state, Tensor) else list(state)
    anew = [] if resets is None else own(layer, x)
    batched = x.dim() == 3
    cut = None if resets is None else read_resets(resets, tuple(x.shape[:-1]), layer.batch_first, "lens").to(x.device)
    if not batched:
        x, starts, anew = x.unsqueeze(1), [s.unsqueeze(1) for s in starts], [s.unsqueeze(1) for s in anew]
    elif layer.batch_first:
        x = x.transpose(0, 1)
    steps, rows = x.shape[:2]
    known = None if lengths is None else read_lengths(lengths, rows, steps, batched, "lens").to(x.device)
    ends = torch.full((rows,), steps, device=x.device) if known is None else known
    valid = torch.arange(steps, device=x.device)[:, None] < ends
    return Arranged(torch.where(valid[..., None], x, 0.0), tuple(starts), valid, cut, tuple(anew))


def one_run(
    layer: nn.Module, x: Any, state: Any, lengths: Any, depth: int, direction: int, where: str, resets: Any = None
) -> Run:
    """The run of one layer (`depth`, -1 for the last) and direction (0 or 1)."""
    found = runs(layer, x, state, lengths=lengths, resets=resets)
    layers, directions = found[-1].depth + 1, 1 + found[-1].reverse
    if not isinstance(depth, int) or not -layers <= depth < layers:
        expected = f"one of the {layers} layers, from 0 to {layers - 1} or from -{layers} to -1"
        raise InputError(phrase(where, "depth", expected, depth))
    if direction not in range(directions):
        expected = "0 or 1" if directions == 2 else "0 for a layer of one direction"
        raise InputError(phrase(where, "direction", expected, direction))
    return found[depth % layers * directions + direction]


def _output(run: Run) -> Tensor:
    if run.cell.output_state is not None:
        return run.states[run.cell.output_state]
    output = evaluate(run.cell, run.weights, run.x, run.previous, [run.cell.trace.output])[0]
    size = run.cell.output_size(run.weights, run.start)
    return torch.where(run.valid[..., None], output, 0.0).expand(*output.shape[:-1], size)
