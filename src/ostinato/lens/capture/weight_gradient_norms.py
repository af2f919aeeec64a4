"""The norm of a weight's gradient at each step, without ever holding the gradient of a step.

Letters: S steps, B rows of a step, R packed rows, G·H the gates' units, C columns of what they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...execution import backends
from .cell_recipe import WeightGroup
from .piece_view import PieceView

_MOST_NUMBERS = 2**22  # in memory at a time where the gradients of some steps are computed


@dataclass(slots=True)
class _Group:
    """The weights of one letter that read one operand, and the gradients of their products."""

    weights: WeightGroup
    gradients: list[Tensor]


def weight_gradient_norms(view: PieceView, gate_gradients: Mapping[tuple[str, str], Tensor]) -> dict[str, Tensor]:
    """Letter → ‖G_t‖_F [S] of its weights, all gates together, for each step of the piece.

    gate_gradients  (letter, gate) → the gradient of the gate's product, laid out as the output

    Of the steps of x where the piece is the whole call; {} where segments begin inside rows and the call was cut into
    pieces, so that the steps of x lie in several of them.
    """
    groups = []
    for weights in view.recipe.weight_groups:
        gradients = [gate_gradients[key] for key in weights.keys if key in gate_gradients]
        if gradients:
            groups.append(_Group(weights, gradients))
    squares = _by_kernels(view, groups)
    if squares is None:
        squares = _by_torch(view, groups)
    if squares is None:
        return {}
    by_letter: dict[str, Tensor] = {}
    for group, square in zip(groups, squares):
        letter = group.weights.letter
        by_letter[letter] = by_letter[letter] + square if letter in by_letter else square
    return {letter: by_letter[letter].sqrt() for letter in "WUV" if letter in by_letter}


def _by_kernels(view: PieceView, groups: Sequence[_Group]) -> list[Tensor] | None:
    """The squared norms of each group; None where no kernels run, or where the matrices themselves are cheaper.

    Gradients that several groups share are multiplied once: those of r and z of a GRU belong to W and to U. Gradients
    that are neighbours in memory, and belong to the same groups, go to the kernel as one block.
    """
    if not (view.layout.dense or view.layout.steps_align):
        return None
    segments = view.layout.segment_index.shape[1]
    operands = []
    blocks: dict[int, Tensor] = {}
    readers: dict[int, list[int]] = {}
    for k, group in enumerate(groups):
        operand = view.operand_after(group.weights.operand)
        operands.append(operand)
        width, columns = 0, operand[0].shape[-1]
        for t in group.gradients:
            width += t.shape[-1]
            address = t.data_ptr()
            blocks[address] = t
            shared = readers.setdefault(address, [])
            if k not in shared:
                shared.append(k)
        if segments * (width + columns) > 4 * width * columns:
            return None
    merged: list[list[Tensor]] = []
    merged_readers: list[list[int]] = []
    end = 0
    for address in sorted(blocks):
        if merged and end == address and readers[address] == merged_readers[-1]:
            merged[-1].append(blocks[address])
        else:
            merged.append([blocks[address]])
            merged_readers.append(readers[address])
        end = address + blocks[address].shape[-1] * blocks[address].element_size()
    d = [side_by_side(parts).flatten(0, -2) for parts in merged]
    pattern = [(k, [n for n, of in enumerate(merged_readers) if k in of]) for k in range(len(groups))]
    norms = backends.outer_norms(pattern, d, operands, view.step_offsets(), view.piece.reverse)
    return None if norms is None else list(norms.square())


def _by_torch(view: PieceView, groups: Sequence[_Group]) -> list[Tensor] | None:
    """The same with operations of torch; None where the steps of x lie in several pieces."""
    rows = view.rows_of_steps()
    if rows is None:
        return None
    grams: dict[object, tuple[Tensor, Tensor]] = {}
    squares = []
    for group in groups:
        d = side_by_side(sorted(group.gradients, key=lambda t: t.storage_offset()))
        z = view.by_step(rows, view.operand(group.weights.operand))
        squares.append(squared_norms(view.by_step(rows, d), z, grams).clamp(min=0))
    return squares


def squared_norms(d: Tensor, z: Tensor, grams: dict[object, tuple[Tensor, Tensor]]) -> Tensor:
    """‖Σ_b d_b ⊗ z_b‖_F² of each step: d [S, B, G·H], z [S, B, C] → [S].

    Σ_{b,b'} (d_b · d_b')(z_b · z_b') where the batch is small beside the matrix, else the matrix of some steps at a
    time. `grams` caches the inner products of earlier arguments.
    """
    _, rows, gates = d.shape
    columns = z.shape[2]
    if rows * (gates + columns) <= 2 * gates * columns:
        return (_gram(d, grams) * _gram(z, grams)).sum((1, 2))
    parts = zip(*[t.split(max(1, _MOST_NUMBERS // (gates * columns))) for t in (d, z)])
    return torch.cat([torch.bmm(a.transpose(1, 2), b).square().sum((1, 2)) for a, b in parts])


def _gram(t: Tensor, grams: dict[object, tuple[Tensor, Tensor]]) -> Tensor:
    key = (t.data_ptr(), t.shape, t.stride())
    if key not in grams:
        grams[key] = t, torch.bmm(t, t.transpose(1, 2))  # keeps t alive, so that no other tensor gets its address
    return grams[key][1]


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Tensors next to each other along the last dimension: one view where they are neighbours in memory."""
    first, width = parts[0], 0
    if len(parts) == 1:
        return first
    stride, storage = first.stride(), first.untyped_storage().data_ptr()
    for p in parts:
        same = p.stride() == stride and p.untyped_storage().data_ptr() == storage
        if not same or p.storage_offset() != first.storage_offset() + width:
            return torch.cat(list(parts), -1)
        width += p.shape[-1]
    return first.as_strided((*first.shape[:-1], width), stride)
