"""The layout of a batch of sequences for the layers, and its inverse for their results.

Layers read x [T, B, C], or packed rows [R, C] with `sizes`, the rows of each step, as in a PackedSequence: the longest
sequences come first, so the rows of a step are the first ones of the step before.

Letters: T steps, B rows of the batch, C input features, H units of a state, R steps of all rows together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..errors import InputError, phrase
from ..execution.routing import needs_registered_op, under_functional_transform
from ..ragged_layout import RaggedLayout
from .gather import gather_rows
from .lengths import Lengths, Resets, given_lengths, given_resets, known_lengths, known_values
from .segments import DenseIndex, PaddedIndex, layout_for_any, layout_of


@dataclass
class Padded:
    """Every row has T steps. The caller's x is [T, B, C], [B, T, C] with batch_first, or [T, C] without a batch.

    starts_new    bool [B], the rows that start from the initial state at their first step; None where no row does
    """

    x: Tensor
    batched: bool
    batch_first: bool
    starts_new: Tensor | None = None
    sizes = None
    lines = None
    has_padding_rows = False
    row_layout = None
    ragged = None

    @classmethod
    def of(cls, x: Tensor, batch_first: bool, starts_new: Tensor | None = None) -> Padded:
        if x.dim() == 2:
            return cls(x.unsqueeze(1), False, False, starts_new)
        return cls(x.transpose(0, 1) if batch_first else x, True, batch_first, starts_new)

    def start(self, state: Tensor, own: Tensor | None) -> Tensor:
        """The states of the rows of x, from the caller's, [D·L, B, H] or [D·L, H], and the layer's own, [D·L, 1, H].

        `own` is None where the caller gave no state: `state` is then the layer's own already.
        """
        batched = state if self.batched else state.unsqueeze(1)
        return (
            batched if own is None or self.starts_new is None else torch.where(self.starts_new[:, None], own, batched)
        )

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
    batch_first = False
    has_padding_rows = False
    row_layout = None

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

    @property
    def ragged(self) -> RaggedLayout:
        """The layout of the rows in a padded x [T, B, ·]."""
        sizes, order = self.sizes.numpy(), self.sequence.sorted_indices
        rows = int(sizes[0]) if len(sizes) else 0
        source_row = np.arange(rows) if order is None else order.cpu().numpy()
        lengths = np.empty(rows, np.int64)
        lengths[source_row] = (sizes[:, None] > np.arange(rows)).sum(0)
        numbers = np.concatenate([lengths, source_row, source_row])
        return RaggedLayout(numbers, sizes, rows, rows, len(sizes), rows)

    def sequences(self) -> Tensor:
        order = self.sequence.sorted_indices
        return torch.arange(int(self.sizes[0]), device=self.x.device) if order is None else order

    def lines(self) -> Tensor:
        """Which row of the packed ones each line is of: [R]."""
        first = self.sizes.cumsum(0) - self.sizes
        line = torch.arange(self.x.shape[0], device="cpu") - first.repeat_interleave(self.sizes)
        return line.to(self.x.device)

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

    Kernels read the steps of all segments where they are, if `layers.stack_call.try_in_place` lets them. Otherwise they
    are gathered once into packed rows, `x`, and scattered once at the end. A row's final state is that of its last
    segment, in both directions: what a call on this segment alone returns.

    source  the caller's x
    index   where each step goes
    row_layout  where x stays as it is, and the output is laid out as x
    packed  x, once it was gathered
    """

    source: Tensor
    index: PaddedIndex | DenseIndex
    batch_first: bool
    row_layout: RaggedLayout | None = None
    packed: Tensor | None = None

    @property
    def ragged(self) -> RaggedLayout:
        """The layout; tracers, which have none, do not ask for it."""
        assert isinstance(self.index, DenseIndex)
        return self.index.layout

    @property
    def lead(self) -> tuple[int, ...]:
        """The caller's leading sizes: (T, B), (B, T) with batch_first, or (T,) without a batch."""
        return tuple(self.source.shape[:-1])

    @property
    def x(self) -> Tensor:
        """[R, C], gathered when first asked for; as the caller has it where it stays."""
        if self.row_layout is not None:
            return self.source
        if self.packed is None:
            x = self.source
            self.packed = gather_rows(x if x.dim() == 2 else x.flatten(0, 1), self.index.index, self.index.inverse)
        return self.packed

    @property
    def sizes(self) -> Tensor:
        return self.index.sizes

    @property
    def has_padding_rows(self) -> bool:
        return self.index.has_padding_rows

    @property
    def _knows_rows(self) -> bool:
        """Whether the backend takes and returns states by the caller's rows."""
        return self.row_layout is not None and self.row_layout.by_rows

    def start(self, state: Tensor, own: Tensor | None) -> Tensor:
        """The start of each segment: the state of its row, or the layer's own."""
        batched = state if len(self.lead) == 2 else state.unsqueeze(1)
        if self._knows_rows:
            return batched
        of_rows = batched.index_select(1, self.index.source_row)
        starts_new = self.index.starts_new
        return of_rows if own is None or starts_new is None else torch.where(starts_new[:, None], own, of_rows)

    def final(self, state: Tensor, start: Tensor) -> Tensor:
        """The final states; that of a row without a step is its initial state."""
        if self._knows_rows:
            return state if len(self.lead) == 2 else state.squeeze(1)
        batched = start if len(self.lead) == 2 else start.unsqueeze(1)
        whole = torch.cat([state, batched], 1).index_select(1, self.index.last)
        return whole if len(self.lead) == 2 else whole.squeeze(1)

    def sequences(self) -> Tensor:
        """A row's first segment has the row's number, one from a later step a number that no other segment has."""
        rows = self.index.source_row
        first = self.index.index[: rows.shape[0]]
        return rows + self.lead[0] * (first % self.lead[1]) if self.batch_first else first  # step · B + row

    def lines(self) -> Tensor:
        """Which segment each packed line is of: [R]."""
        return self.index.segment

    def output(self, y: Tensor) -> Tensor:
        return (
            y
            if self.row_layout is not None
            else gather_rows(y, self.index.inverse, self.index.index).view(*self.lead, y.shape[-1])
        )

    def steps(self, states: Tensor) -> Tensor:
        whole = torch.stack([self.output(s) for s in states.unbind(0)])
        return whole.transpose(1, 2) if self.batch_first else whole


Batch = Padded | Packed | Ragged


def prepare_batch(x: Tensor | PackedSequence, lengths: Lengths, resets: Resets, batch_first: bool, where: str) -> Batch:
    """The batch as the layers read it. x [T, B, C], [B, T, C] with batch_first, [T, C], or a PackedSequence."""
    if isinstance(x, PackedSequence):
        if lengths is not None:
            remedy = "A PackedSequence knows its lengths already; leave the argument out."
            raise InputError(phrase(where, "lengths", "None with a PackedSequence", type(lengths).__name__, remedy))
        return Packed(x)
    if lengths is None and resets is None:
        return Padded.of(x, batch_first)
    time = 1 if batch_first and x.dim() == 3 else 0
    steps, rows = x.shape[time], x.shape[1 - time] if x.dim() == 3 else 1
    known = None if lengths is None else given_lengths(lengths, rows, x.dim() == 3, where)
    begins = None if resets is None else given_resets(resets, tuple(x.shape[:-1]), batch_first, where)
    if not under_functional_transform() and needs_registered_op([x, *[t for t in (known, begins) if t is not None]]):
        return Ragged(x, layout_for_any(known, begins, steps, rows, time == 1, x.device, where), time == 1)
    known = None if known is None else known_lengths(known, steps, where)
    if begins is None:
        index = layout_of(known, None, steps, rows, time == 1, x.device)
        return Padded.of(x, batch_first) if index.layout.dense else Ragged(x, index, time == 1)
    begins = known_values(begins, "resets", where)
    if steps and (known is None or bool((known == steps).all())):
        if not begins.any():
            return Padded.of(x, batch_first)
        if not begins[1:].any():
            return Padded.of(x, batch_first, begins[0].to(x.device))
    return Ragged(x, layout_of(known, begins, steps, rows, time == 1, x.device), time == 1)


def packed_like(sequence: PackedSequence, padded: Tensor, batch_first: bool) -> PackedSequence:
    """padded [T, B, H], or [B, T, H], with the steps and rows of `sequence` → a PackedSequence, its rows in that order.

    B and T are those that pad_packed_sequence gives for it.
    """
    _, lengths = pad_packed_sequence(sequence)
    order = sequence.sorted_indices
    if order is not None:
        padded, lengths = padded.index_select(0 if batch_first else 1, order), lengths[order.cpu()]
    data = pack_padded_sequence(padded, lengths, batch_first).data
    return PackedSequence(data, *sequence[1:])
