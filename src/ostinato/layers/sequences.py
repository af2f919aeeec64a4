"""How a batch of sequences is laid out for the layers, and the way back.

Layers read x [T, B, C], or packed rows [R, C] with `sizes`, the rows of each step, as in a PackedSequence: the longest
sequences come first, so the rows of a step are the first ones of the step before.

Letters: T steps, B rows of the batch, C input features, H units of a state, R steps of all rows together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ..errors import InputError, phrase

Lengths = Any
"""One integer for each row: a list, an array, or an integer tensor on any device."""


@dataclass
class Padded:
    """Every row has T steps. The caller's x is [T, B, C], [B, T, C] with batch_first, or [T, C] without a batch."""

    x: Tensor
    batched: bool
    batch_first: bool
    sizes = None

    @classmethod
    def of(cls, x: Tensor, batch_first: bool) -> Padded:
        if x.dim() == 2:
            return cls(x.unsqueeze(1), False, False)
        return cls(x.transpose(0, 1) if batch_first else x, True, batch_first)

    def start(self, state: Tensor) -> Tensor:
        """The caller's state, [D·L, B, H] or [D·L, H], for the rows of x."""
        return state if self.batched else state.unsqueeze(1)

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        """The rows' last state as the caller counts rows; `start` is the caller's state."""
        return state if self.batched else state.squeeze(1)

    def output(self, y: Tensor) -> Tensor:
        """The layers' output [T, B, H] as the caller laid out x."""
        y = y if self.batched else y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y

    def steps(self, states: Tensor) -> Tensor:
        """States after every step, [D·L, T, B, H], or [D·L, T, H] without a batch."""
        return states if self.batched else states.squeeze(2)


@dataclass
class Packed:
    """torch's PackedSequence: its data are rows already, and `sorted_indices` says whose they are."""

    sequence: PackedSequence

    @property
    def x(self) -> Tensor:
        return self.sequence.data

    @property
    def sizes(self) -> Tensor:
        return self.sequence.batch_sizes

    def start(self, state: Tensor) -> Tensor:
        order = self.sequence.sorted_indices
        return state if order is None else state.index_select(1, order)

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        order = self.sequence.unsorted_indices
        return state if order is None else state.index_select(1, order)

    def output(self, y: Tensor) -> PackedSequence:
        return PackedSequence(y, *self.sequence[1:])

    def steps(self, states: Tensor) -> Tensor:
        """[D·L, R, H] → [D·L, T, B, H], 0 past the end of a row."""
        padded, _ = pad_packed_sequence(self.output(states.transpose(0, 1)))
        return padded.permute(2, 0, 1, 3)


@dataclass
class Ragged:
    """Rows that end early, in any order. Steps past a row's end are never read, and come back as 0.

    The steps within the lengths are gathered once into packed rows, and scattered once at the end.

    x        [R, C]
    sizes    int64 [T'] on the CPU; T' is the largest length
    index    int64 [R], where each packed row stands among the T·B steps of the caller's x
    inverse  int64 [T·B], the packed row of each step, R past a row's end
    order    int64 [B], rows by length, longest first; the first `living` of them have a step at all
    back     int64 [B], the inverse of order
    lead     the caller's leading sizes: (T, B), (B, T) with batch_first, or (T,) without a batch
    """

    x: Tensor
    sizes: Tensor
    index: Tensor
    inverse: Tensor
    order: Tensor
    back: Tensor
    living: int
    lead: tuple[int, ...]
    batch_first: bool

    @classmethod
    def of(cls, x: Tensor, lengths: Tensor, batch_first: bool) -> Ragged:
        """lengths int64 [B] on the CPU, each from 0 to T."""
        lead, total = tuple(x.shape[:-1]), x.shape[:-1].numel()
        batch_first = batch_first and x.dim() == 3
        steps, batch = lead[1] if batch_first else lead[0], len(lengths)
        descending, order = torch.sort(lengths, descending=True, stable=True)
        longest = int(descending[0]) if batch else 0
        step = torch.arange(longest, device="cpu")[:, None]
        valid = step < descending
        index = (order * steps + step if batch_first else step * batch + order)[valid]
        inverse = torch.full((total,), len(index), device="cpu")
        inverse[index] = torch.arange(len(index), device="cpu")
        back = torch.argsort(order)
        sizes, living = valid.sum(1), int((descending > 0).sum())
        index, inverse, order, back = [t.to(x.device) for t in (index, inverse, order, back)]
        rows = pick(x.reshape(total, x.shape[-1]), index, inverse)
        return cls(rows, sizes, index, inverse, order, back, living, lead, batch_first)

    def start(self, state: Tensor) -> Tensor:
        """The states of the rows that have a step."""
        batched = state if len(self.lead) == 2 else state.unsqueeze(1)
        return batched.index_select(1, self.order[: self.living])

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        """A row without a step ends where it starts."""
        batched = start if len(self.lead) == 2 else start.unsqueeze(1)
        resting = batched.index_select(1, self.order[self.living :])
        whole = torch.cat([state, resting], 1).index_select(1, self.back)
        return whole if len(self.lead) == 2 else whole.squeeze(1)

    def output(self, y: Tensor) -> Tensor:
        return pick(y, self.inverse, self.index).view(*self.lead, y.shape[-1])

    def steps(self, states: Tensor) -> Tensor:
        whole = torch.stack([self.output(s) for s in states.unbind(0)])
        return whole.transpose(1, 2) if self.batch_first else whole


Batch = Padded | Packed | Ragged


def lay_out(x: Tensor | PackedSequence, lengths: Lengths, batch_first: bool, where: str) -> Batch:
    """The batch as the layers read it. x [T, B, C], [B, T, C] with batch_first, [T, C], or a PackedSequence."""
    if isinstance(x, PackedSequence):
        if lengths is not None:
            remedy = "A PackedSequence knows its lengths already; leave the argument out."
            raise InputError(phrase(where, "lengths", "None with a PackedSequence", type(lengths).__name__, remedy))
        return Packed(x)
    return Padded.of(x, batch_first) if lengths is None else _lay_out_ragged(x, lengths, batch_first, where)


def _lay_out_ragged(x: Tensor, lengths: Lengths, batch_first: bool, where: str) -> Padded | Ragged:
    time = 1 if batch_first and x.dim() == 3 else 0
    steps, rows = x.shape[time], x.shape[1 - time] if x.dim() == 3 else 1
    known = read_lengths(lengths, rows, steps, x.dim() == 3, where)
    if bool((known == steps).all()) and steps:
        return Padded.of(x, batch_first)
    return Ragged.of(x, known, batch_first)


def read_lengths(lengths: Lengths, rows: int, steps: int, batched: bool, where: str) -> Tensor:
    """`lengths` as int64 [B] on the CPU; refuses what is no integer, another count than B, and values outside 0 … T."""
    remedy = "Give a list, an array or an integer tensor."
    try:
        given = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(phrase(where, "lengths", "integers, one for each row", repr(lengths), remedy)) from error
    if given.numel() and (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool):
        raise InputError(phrase(where, "lengths", "integers, one for each row", given.dtype, remedy))
    if given.shape != (rows,) and (batched or given.shape != ()):
        expected = f"{rows} integers, one for each row"
        raise InputError(phrase(where, "lengths", expected, f"a shape of {list(given.shape)}", remedy))
    known = given.detach().to("cpu", torch.int64).reshape(rows)
    for row, length in enumerate(known.tolist()):
        if not 0 <= length <= steps:
            expected = f"between 0 and T = {steps}"
            raise InputError(phrase(where, f"lengths[{row}]", expected, length, "x has no more steps than T."))
    return known


def pick(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """rows [N, C], index [M] → [M, C]: row index[m] for each m, zeros where index[m] is N.

    No row is taken twice. Either every place gets a row, M ≤ N, or every row is taken, M ≥ N. `inverse` [N] is the same
    map read backwards, M where a row is not taken. With it the gradient is a gather too, where torch's own,
    `index_add`, adds row by row.
    """
    # torch.compile differentiates the gather itself, and cannot trace a function of our own between two graphs.
    return _gather(rows, index) if torch.compiler.is_compiling() else _Pick.apply(rows, index, inverse)


def _gather(rows: Tensor, index: Tensor) -> Tensor:
    if index.shape[0] > rows.shape[0]:
        rows = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
    return rows.index_select(0, index)


class _Pick(torch.autograd.Function):
    """Its own backward with index and inverse exchanged, and so differentiable any number of times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        return _gather(rows, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> tuple[Tensor, None, None]:
        index, inverse = ctx.saved_tensors
        return pick(d[0], inverse, index), None, None

    @staticmethod
    def jvp(ctx: Any, *d: Tensor) -> Tensor:
        index, inverse = ctx.saved_tensors
        return pick(d[0], index, inverse)
