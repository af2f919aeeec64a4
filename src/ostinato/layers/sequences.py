"""How a batch of sequences is laid out for the layers, and the way back.

Layers read x [T, B, C], or packed rows [R, C] with `sizes`, the rows of each step, as in a PackedSequence: the longest
sequences come first, so the rows of a step are the first ones of the step before.

Letters: T steps, B rows of the batch, C input features, H units of a state, R steps of all rows together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .._torch_private import functorch_active
from ..errors import InputError, ShapeError, phrase
from .gather import pick
from .pieces import Pieces, cut

Lengths = Any
"""One integer for each row: a list, an array, or an integer tensor on any device."""
Resets = Any
"""One bool for each step of each row, [T, B] as x has them: a tensor on any device, an array, or nested lists."""


@dataclass
class Padded:
    """Every row has T steps. The caller's x is [T, B, C], [B, T, C] with batch_first, or [T, C] without a batch.

    fresh    bool [B], the rows that start anew at their first step; None where no row does
    """

    x: Tensor
    batched: bool
    batch_first: bool
    fresh: Tensor | None = None
    sizes = None

    @classmethod
    def of(cls, x: Tensor, batch_first: bool, fresh: Tensor | None = None) -> Padded:
        if x.dim() == 2:
            return cls(x.unsqueeze(1), False, False, fresh)
        return cls(x.transpose(0, 1) if batch_first else x, True, batch_first, fresh)

    def start(self, state: Tensor, own: Tensor | None) -> Tensor:
        """The states of the rows of x, from the caller's, [D·L, B, H] or [D·L, H], and the layer's own, [D·L, 1, H].

        `own` is None where the caller gave no state: `state` is then the layer's own already.
        """
        batched = state if self.batched else state.unsqueeze(1)
        return batched if own is None or self.fresh is None else torch.where(self.fresh[:, None], own, batched)

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        """The rows' last state as the caller counts rows; `start` is the caller's state."""
        return state if self.batched else state.squeeze(1)

    def sequences(self) -> Tensor:
        """int64 [B], the number of each row's sequence, by which random numbers know it."""
        return torch.arange(self.x.shape[1], device=self.x.device)

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

    def start(self, state: Tensor, own: Tensor | None) -> Tensor:
        order = self.sequence.sorted_indices
        return state if order is None else state.index_select(1, order)

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        order = self.sequence.unsorted_indices
        return state if order is None else state.index_select(1, order)

    def sequences(self) -> Tensor:
        order = self.sequence.sorted_indices
        return torch.arange(int(self.sizes[0]), device=self.x.device) if order is None else order

    def output(self, y: Tensor) -> PackedSequence:
        return PackedSequence(y, *self.sequence[1:])

    def steps(self, states: Tensor) -> Tensor:
        """[D·L, R, H] → [D·L, T, B, H], 0 past the end of a row."""
        padded, _ = pad_packed_sequence(self.output(states.transpose(0, 1)))
        return padded.permute(2, 0, 1, 3)


@dataclass
class Ragged:
    """Rows that end early, in any order, and rows that are cut at resets. Steps past a row's end are never read, and
    come back as 0.

    The steps of all pieces are gathered once into packed rows, and scattered once at the end. A row's final state is
    that of its last piece, in both directions: what a call on this piece alone returns.

    x        [R, C]
    sizes    int64 [S] on the CPU, the packed rows of each step
    index, inverse, rows, fresh, last    those of `Pieces` as tensors on the device of x; fresh is None without resets
    lead     the caller's leading sizes: (T, B), (B, T) with batch_first, or (T,) without a batch
    """

    x: Tensor
    sizes: Tensor
    index: Tensor
    inverse: Tensor
    rows: Tensor
    fresh: Tensor | None
    last: Tensor
    lead: tuple[int, ...]
    batch_first: bool

    @classmethod
    def of(cls, x: Tensor, pieces: Pieces, batch_first: bool) -> Ragged:
        index, inverse, rows, fresh, last = (
            torch.from_numpy(a).to(x.device)
            for a in (pieces.index, pieces.inverse, pieces.rows, pieces.fresh, pieces.last)
        )
        lead = tuple(x.shape[:-1])
        packed = pick(x.reshape(x.shape[:-1].numel(), x.shape[-1]), index, inverse)
        some = fresh if pieces.fresh.any() else None
        return cls(
            packed, torch.from_numpy(pieces.sizes), index, inverse, rows, some, last, lead, batch_first and x.dim() == 3
        )

    def start(self, state: Tensor, own: Tensor | None) -> Tensor:
        """The start of each piece: the state of its row, or the layer's own."""
        batched = state if len(self.lead) == 2 else state.unsqueeze(1)
        if own is None or self.fresh is None:
            return batched.index_select(1, self.rows)
        return torch.where(self.fresh[:, None], own, batched.index_select(1, self.rows))

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        """A row without a step ends where it starts."""
        batched = start if len(self.lead) == 2 else start.unsqueeze(1)
        whole = torch.cat([state, batched], 1).index_select(1, self.last)
        return whole if len(self.lead) == 2 else whole.squeeze(1)

    def sequences(self) -> Tensor:
        """A row's first piece has the row's number, a piece from a later step one that no other piece has."""
        if self.batch_first:
            return self.rows + self.lead[0] * (self.index[: len(self.rows)] % self.lead[1])
        return self.index[: len(self.rows)]  # step · B + row

    def output(self, y: Tensor) -> Tensor:
        return pick(y, self.inverse, self.index).view(*self.lead, y.shape[-1])

    def steps(self, states: Tensor) -> Tensor:
        whole = torch.stack([self.output(s) for s in states.unbind(0)])
        return whole.transpose(1, 2) if self.batch_first else whole


Batch = Padded | Packed | Ragged


def lay_out(x: Tensor | PackedSequence, lengths: Lengths, resets: Resets, batch_first: bool, where: str) -> Batch:
    """The batch as the layers read it. x [T, B, C], [B, T, C] with batch_first, [T, C], or a PackedSequence."""
    if isinstance(x, PackedSequence):
        if lengths is not None:
            remedy = "A PackedSequence knows its lengths already; leave the argument out."
            raise InputError(phrase(where, "lengths", "None with a PackedSequence", type(lengths).__name__, remedy))
        if resets is not None:
            remedy = "Give x padded, with lengths= beside it, or cut the rows before they are packed."
            raise InputError(phrase(where, "resets", "None with a PackedSequence", type(resets).__name__, remedy))
        return Packed(x)
    if lengths is None and resets is None:
        return Padded.of(x, batch_first)
    time = 1 if batch_first and x.dim() == 3 else 0
    steps, rows = x.shape[time], x.shape[1 - time] if x.dim() == 3 else 1
    known = None if lengths is None else read_lengths(lengths, rows, steps, x.dim() == 3, where)
    begins = None if resets is None else read_resets(resets, tuple(x.shape[:-1]), batch_first, where)
    if steps and (known is None or bool((known == steps).all())):
        if begins is None or not begins.any():
            return Padded.of(x, batch_first)
        if not begins[1:].any():
            return Padded.of(x, batch_first, begins[0].to(x.device))
    known = torch.full((rows,), steps, device="cpu") if known is None else known
    pieces = cut(_array(known), None if begins is None else _array(begins), steps, time == 1)
    return Ragged.of(x, pieces, batch_first)


def _array(t: Tensor) -> Any:
    """A tensor on the CPU as an array. Inside of torch.func even a new one is wrapped, and gives only lists."""
    return np.array(t.tolist(), str(t.dtype).removeprefix("torch.")) if functorch_active() else t.numpy()


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


def read_resets(resets: Resets, lead: tuple[int, ...], batch_first: bool, where: str) -> Tensor:
    """`resets` as bool [T, B] on the CPU; refuses what is no bool, and other sizes than x has, which are `lead`."""
    remedy = "Give a bool for each step of each row of x, True where a new sequence starts."
    letters = "[T]" if len(lead) == 1 else "[B, T]" if batch_first else "[T, B]"
    try:
        given = torch.as_tensor(resets)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(phrase(where, "resets", f"bools {letters}", type(resets).__name__, remedy)) from error
    if given.dtype != torch.bool:
        raise InputError(phrase(where, "resets", f"bools {letters}", given.dtype, remedy))
    if given.shape != lead:
        expected = f"of shape {letters} = {list(lead)}"
        raise ShapeError(phrase(where, "resets", expected, f"a shape of {list(given.shape)}", remedy))
    known = given.detach().to("cpu")
    return known.unsqueeze(1) if len(lead) == 1 else known.transpose(0, 1) if batch_first else known
