"""The norm of a weight's gradient at each step, without ever holding the gradient of a step.

Letters: S steps, B rows of a step, G·H the gates' units, C what they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..cells.derivative import Derivative
from ..cells.value import Value
from ..layers import engine
from ..layers.watching import Piece
from .sight import lines

if TYPE_CHECKING:
    from .onlooker import Looking

_AT_ONCE = 2**22  # numbers held at a time where the gradients of some steps are made after all


def norms_by_step(
    looking: Looking, piece: Piece, derivative: Derivative, sent: Mapping[tuple[str, str], Tensor]
) -> dict[str, Tensor]:
    """Letter → ‖G_t‖_F [S] of its weights, all gates together, for each step of the piece.

    Of the steps of x where the piece is the whole call; {} where runs begin inside rows and the call was cut into
    segments, so that the steps of x lie in several pieces.
    """
    by_operand: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for key, (_, operand) in derivative.products.items():
        if key in sent:
            by_operand.setdefault((key[0], operand.id), []).append(key)
    operands = {operand.id: operand for _, operand in derivative.products.values()}
    found = _by_kernels(looking, piece, {g: [sent[k] for k in keys] for g, keys in by_operand.items()}, operands)
    if found is None:
        rows = looking.rows_of_steps(piece)
        if rows is None:
            return {}
        gates = {
            group: side_by_side([sent[k] for k in sorted(keys, key=lambda k: sent[k].storage_offset())])
            for group, keys in by_operand.items()
        }
        grams: dict[object, tuple[Tensor, Tensor]] = {}
        found = []
        for (_, i), d in gates.items():
            z = looking.stacked(rows, looking.operand(piece, operands[i]))
            found.append(squared_norms(looking.stacked(rows, d), z, grams).clamp(min=0))
    squares: dict[str, Tensor] = {}
    for (letter, _), one in zip(by_operand, found):
        squares[letter] = squares[letter] + one if letter in squares else one
    return {letter: squares[letter].sqrt() for letter in "WUV" if letter in squares}


def _by_kernels(
    looking: Looking,
    piece: Piece,
    gates: Mapping[tuple[str, int], Sequence[Tensor]],
    operands: Mapping[int, Value],
) -> list[Tensor] | None:
    """The squared norms of each group; None where no kernels run, or where the matrices themselves are the shorter way.

    What several groups read is multiplied once: r and z of a GRU are sent to W and to U.
    """
    first = looking.first_lines(piece)
    if first is None:
        return None
    z = [looking.rows_before(piece, operands[i]) for _, i in gates]
    for parts, (t, _) in zip(gates.values(), z):
        width, columns = sum(p.shape[-1] for p in parts), t.shape[-1]
        if looking.layout.lines.shape[1] * (width + columns) > 4 * width * columns:
            return None
    places: dict[int, Tensor] = {t.data_ptr(): t for parts in gates.values() for t in parts}
    readers = {
        at: [k for k, parts in enumerate(gates.values()) if any(t.data_ptr() == at for t in parts)] for at in places
    }
    runs: list[list[int]] = []
    for at in sorted(places):
        before = runs[-1][-1] if runs else 0
        neighbours = runs and before + places[before].shape[-1] * places[before].element_size() == at
        if neighbours and readers[before] == readers[at]:
            runs[-1].append(at)
        else:
            runs.append([at])
    d = [lines(side_by_side([places[at] for at in run])) for run in runs]
    groups = [(k, [n for n, run in enumerate(runs) if k in readers[run[0]]]) for k in range(len(z))]
    found = engine.outer_norms(groups, d, z, first, looking.reverse)
    return None if found is None else list(found.square())


def squared_norms(d: Tensor, z: Tensor, grams: dict[object, tuple[Tensor, Tensor]]) -> Tensor:
    """‖Σ_b d_b ⊗ z_b‖_F² of each step: d [S, B, G·H], z [S, B, C] → [S].

    Σ_{b,b'} (d_b · d_b')(z_b · z_b') where the batch is small beside the matrix, else the matrix of some steps at a
    time. `grams` keeps the inner products of what was given before.
    """
    _, rows, gates = d.shape
    columns = z.shape[2]
    if rows * (gates + columns) <= 2 * gates * columns:
        return (_gram(d, grams) * _gram(z, grams)).sum((1, 2))
    parts = zip(*[t.split(max(1, _AT_ONCE // (gates * columns))) for t in (d, z)])
    return torch.cat([torch.bmm(a.transpose(1, 2), b).square().sum((1, 2)) for a, b in parts])


def _gram(t: Tensor, grams: dict[object, tuple[Tensor, Tensor]]) -> Tensor:
    key = (t.data_ptr(), t.shape, t.stride())
    if key not in grams:
        grams[key] = t, torch.bmm(t, t.transpose(1, 2))  # t stays, so that no other tensor gets its address
    return grams[key][1]


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Tensors next to each other along the last dimension: one view where they are neighbours in memory."""
    first, width = parts[0], 0
    for p in parts:
        same = p.untyped_storage().data_ptr() == first.untyped_storage().data_ptr() and p.stride() == first.stride()
        if not same or p.storage_offset() != first.storage_offset() + width:
            return torch.cat(list(parts), -1)
        width += p.shape[-1]
    return first.as_strided((*first.shape[:-1], width), first.stride())
