"""The norm of a weight's gradient at each step, without ever holding the gradient of a step.

Letters: S steps, B rows of a step, R packed rows, G·H the gates' units, C columns of what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ...execution import backends
from ...execution.backends import OuterTask
from .cell_recipe import ProductPattern
from .piece_view import PieceView

_MOST_NUMBERS = 2**22  # in memory at a time where the gradients of some steps are computed


class WeightGradientNorms:
    """‖G_t‖_F of each letter's weights, all gates together, for each step of one piece.

    Of the steps of x where the piece is the whole call; of none where segments begin inside rows and the call was cut
    into pieces, so that the steps of x lie in several of them.
    """

    def __init__(self, view: PieceView) -> None:
        """Before the backward pass of the piece."""
        self._view = view
        self._groups = view.recipe.weight_groups
        self._task = _task(view)
        # Threads divide the steps of a block: of few steps the gradients are recorded, and the norms taken at the end.
        few = backends.block_steps(view.layout.segment_index.shape[1]) < 2 * backends.threads()
        self.by_block = None if few else self._task
        """What is to be found block by block; None where gradients are to be recorded."""

    def measured(self, norms: Tensor) -> Callable[[], dict[str, Tensor]]:
        """After a pass by blocks that found `by_block`: what gives letter → the norms [S]."""
        letters = [group.letter for group in self._groups]
        return lambda: _by_letter(letters, norms.unbind())

    def recorded(self, products: Mapping[tuple[str, str], Tensor]) -> dict[str, Tensor]:
        """Letter → the norms [S], after a pass that recorded; {} where there are none.

        products  (letter, gate) → the gradient of the gate's product, laid out as the output
        """
        kernels = None if self._task is None else backends.outer_norms(self._task)
        found: Sequence[Tensor] | None
        if kernels is None:
            found = _by_torch(self._view, products)
        else:
            (key, some), columns = next(iter(products.items())), _columns(self._view)[1]
            kernels.run(0, self._view.steps, some.data_ptr() - columns[key][0] * some.element_size())
            found = kernels.norms.unbind()
        return _by_letter([group.letter for group in self._groups], found or ())


def _by_letter(letters: Sequence[str], norms: Sequence[Tensor]) -> dict[str, Tensor]:
    """The norms [S] of all weights of a letter together; letters: of the weights of each of the norms."""
    parts: dict[str, list[Tensor]] = {}
    for letter, found in zip(letters, norms):
        parts.setdefault(letter, []).append(found)
    return {
        letter: parts[letter][0] if len(parts[letter]) == 1 else torch.stack(parts[letter]).square().sum(0).sqrt()
        for letter in "WUV"
        if letter in parts
    }


def _columns(view: PieceView) -> tuple[int, dict[tuple[str, str], tuple[int, int]]]:
    return backends.product_columns(view.piece.cell, view.piece.states, view.piece.weights)


def _pattern(view: PieceView) -> ProductPattern:
    """Gradients that several groups share are multiplied once: those of r and z of a GRU belong to W and to U."""
    stride, columns = _columns(view)
    readers: dict[tuple[int, int], list[int]] = {}
    for k, group in enumerate(view.recipe.weight_groups):
        for key in group.keys:
            readers.setdefault(columns[key], []).append(k)
    merged: list[tuple[int, int]] = []
    read_by: list[set[int]] = []
    for first, width in sorted(readers):
        by = set(readers[first, width])
        if merged and sum(merged[-1]) == first and read_by[-1] == by:
            merged[-1] = merged[-1][0], merged[-1][1] + width
        else:
            merged.append((first, width))
            read_by.append(by)
    numbers = range(len(view.recipe.weight_groups))
    groups = tuple((k, tuple(n for n, by in enumerate(read_by) if k in by)) for k in numbers)
    widths = tuple(sum(columns[key][1] for key in group.keys) for group in view.recipe.weight_groups)
    return ProductPattern(tuple(merged), stride, groups, widths)


def _task(view: PieceView) -> OuterTask | None:
    """For kernels; None where none run, or where the matrices themselves are cheaper."""
    layout, recipe, x = view.layout, view.recipe, view.piece.x
    if not (layout.dense or layout.steps_align) or not recipe.weight_groups or not backends.compiled(x):
        return None
    sizes = x.shape[-1], *[s.shape[-1] for s in view.piece.states], *[w.shape for w in view.piece.weights]
    pattern = recipe.product_patterns.get(sizes)
    if pattern is None:
        pattern = recipe.product_patterns[sizes] = _pattern(view)
    rows, operands = layout.segment_index.shape[1], []
    for group, width in zip(recipe.weight_groups, pattern.widths):
        operand = view.operand_after(group.operand)
        operands.append(operand)
        columns = operand[0].shape[-1]
        if rows * (width + columns) > 4 * width * columns:
            return None
    return OuterTask(pattern.groups, pattern.columns, pattern.stride, operands, view.step_offsets(), view.piece.reverse)


def _by_torch(view: PieceView, products: Mapping[tuple[str, str], Tensor]) -> list[Tensor] | None:
    """The norms of each weight group with operations of torch; None where the steps of x lie in several pieces."""
    rows = view.rows_of_steps()
    if rows is None:
        return None
    grams: dict[object, tuple[Tensor, Tensor]] = {}
    norms = []
    for group in view.recipe.weight_groups:
        d = side_by_side(sorted((products[key] for key in group.keys), key=lambda t: t.storage_offset()))
        z = view.by_step(rows, view.operand(group.operand))
        norms.append(squared_norms(view.by_step(rows, d), z, grams).clamp(min=0).sqrt())
    return norms


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
