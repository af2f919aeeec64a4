"""Packed batches from and to concatenated sequences with offsets, and nested (jagged) tensors.

The layers take and return PackedSequence. Other libraries keep a batch as rows [R, C], the sequences concatenated, and
offsets [B + 1]: where each sequence begins, and where the last one ends.

Letters: B sequences, R steps of all of them together, C features.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .errors import InputError, ShapeError, phrase
from .ragged.gather import gather_rows
from .ragged.lengths import on_cpu
from .ragged.segments import cut


def from_offsets(rows: Tensor, offsets: Tensor) -> PackedSequence:
    """rows [R, C] and integer offsets [B + 1], as of `cu_seqlens`, → a packed batch, in the order of the sequences.

    Sequence b has the rows offsets[b] … offsets[b + 1] - 1, at least one, as PackedSequence requires. Differentiable.
    """
    where, given, bounds = "packing.from_offsets", cast(object, rows), cast(object, offsets)
    if not isinstance(given, Tensor):
        raise InputError(phrase(where, "rows", "a tensor [R, C]", type(given).__name__, "Write torch.as_tensor(rows)."))
    if bounds is None:
        raise InputError(phrase(where, "offsets", "integers [B + 1]", "None", "The sequences' lengths give them."))
    known = on_cpu(offsets).detach().to("cpu")
    if known.dim() != 1 or len(known) < 2 or known.is_floating_point() or known.dtype == torch.bool:
        remedy = "Write torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])."
        received = f"{known.dtype} of shape {list(known.shape)}"
        raise InputError(phrase(where, "offsets", "integers [B + 1] with B of 1 or more", received, remedy))
    lengths = known.to(torch.int64).diff()
    if known[0] != 0 or known[-1] != len(rows) or bool((lengths < 1).any()):
        expected = f"growing from 0 to R = {len(rows)}"
        remedy = "A PackedSequence has no sequence without a step; leave those out."
        raise ShapeError(phrase(where, "offsets", expected, known.tolist(), remedy))
    index, inverse, sizes, order = _order(lengths)
    index, inverse, order = (t.to(rows.device) for t in (index, inverse, order))
    return PackedSequence(gather_rows(rows, index, inverse), sizes, order, torch.argsort(order))


def to_offsets(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """(rows [R, C], offsets int64 [B + 1]): the sequences one after the other. Differentiable."""
    given: object = packed
    if not isinstance(given, PackedSequence):
        remedy = "Write torch.nn.utils.rnn.pack_padded_sequence(x, lengths)."
        raise InputError(phrase("packing", "packed", "a PackedSequence", type(given).__name__, remedy))
    sizes = packed.batch_sizes
    descending = (sizes[None, :] > torch.arange(int(sizes[0]), device="cpu")[:, None]).sum(1)
    unsorted = packed.unsorted_indices
    lengths = descending if unsorted is None else descending[unsorted.cpu()]
    index, inverse, _, order = _order(lengths)
    if packed.sorted_indices is not None and not torch.equal(order, packed.sorted_indices.cpu()):
        # Sequences of equal length are in another order than ours, so the rows are indexed by the order of `packed`.
        index, inverse, _, _ = _order(lengths, packed.sorted_indices.cpu())
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]).to(packed.data.device)
    return gather_rows(packed.data, inverse.to(packed.data.device), index.to(packed.data.device)), offsets


def from_nested(nested: Tensor) -> PackedSequence:
    """A nested tensor of sequences [B, j, C], torch.jagged or torch.strided, → a packed batch. Differentiable."""
    if not isinstance(nested, Tensor) or not nested.is_nested or nested.dim() != 3:
        remedy = "Write torch.nested.nested_tensor(sequences, layout=torch.jagged)."
        kind = type(nested).__name__
        raise InputError(phrase("packing.from_nested", "nested", "a nested tensor of sequences [T, C]", kind, remedy))
    sequences = nested.unbind()
    lengths = torch.tensor([len(s) for s in sequences], device="cpu")
    return from_offsets(torch.cat(sequences), torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))


def to_nested(packed: PackedSequence) -> Tensor:
    """A packed batch → a nested tensor [B, j, C] of layout torch.jagged, in the order of the sequences."""
    rows, offsets = to_offsets(packed)
    return torch.nested.nested_tensor_from_jagged(rows, offsets)


def _order(lengths: Tensor, order: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(row of each packed row, the inverse, rows of each step, whose they are) of int64 lengths [B] on the CPU."""
    order = (
        torch.from_numpy(cut(lengths.numpy(), None, int(lengths.max()), False).source_row) if order is None else order
    )
    begins = lengths.cumsum(0) - lengths
    step = torch.arange(int(lengths.max()), device="cpu")[:, None]
    inside = step < lengths[order]
    index = (begins[order] + step)[inside]
    return index, torch.argsort(index), inside.sum(1), order
