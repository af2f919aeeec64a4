"""Sizes derived from a call's tensors, and the layout of the tensors that forward saves."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...caching import bounded_cache
from ...cells import Cell
from .cell_program import program


def hidden_sizes(cell: Cell, states: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[int, int]:
    """(H, P) of the tensors; without a projection both are H."""
    if not cell.projected:
        H = states[0].shape[-1]
        return H, H
    widths = cell.state_widths
    known = {w: s.shape[-1] for w, s in zip(widths, states)}
    if "H" not in known:
        known["H"] = next(
            weights[k].shape[0] // len(cell.gates[letter]) for k, letter in enumerate(cell.letters) if letter in "WUbd"
        )
    if "P" not in known:  # no state is projected: only the output has P units
        known["P"] = weights[cell.letters.index("V")].shape[0] // len(cell.gates["V"])
    return known["H"], known["P"]


def saved_shapes(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """The shapes of the tensors that `forward` saves, in its order, without compiling or running a kernel."""
    p, (H, P) = program(cell), hidden_sizes(cell, states, weights)
    widths = [p.saved_width[0] * H + p.saved_width[1] * P + p.saved_width[2]] if p.saved else []
    return [(*x.shape[:-1], width) for width in [*widths, *(states[k].shape[-1] for k in p.state_histories)]]


def saved_columns(cell: Cell, states: Sequence[Tensor], weights: Sequence[Tensor]) -> dict[int, tuple[int, int]]:
    """node id → (first column, width) of the saved values in the first tensor that `forward` saves.

    Ids are those of the trace of the canonical text. {} where no value but the states is saved.
    """
    return _saved_columns(cell, *hidden_sizes(cell, states, weights))


@bounded_cache(1 << 20, size_of=lambda found, *_: 512 * len(found))
def _saved_columns(cell: Cell, H: int, P: int) -> dict[int, tuple[int, int]]:
    p, size, columns = program(cell), {"H": H, "P": P, "1": 1}, {}
    for v in p.saved:
        s = p.saved_locations[v.id]
        columns[v.id] = s.column[0] * H + s.column[1] * P + sum(s.column[2:]), size[s.width]
    return columns


def product_columns(
    cell: Cell, states: Sequence[Tensor], weights: Sequence[Tensor]
) -> tuple[int, dict[tuple[str, str], tuple[int, int]]]:
    """(numbers of a line of the gradients of products, (letter, gate) → (first column, width) of its product).

    Products of several weights may have one gradient, and then the same columns.
    """
    return _product_columns(cell, *hidden_sizes(cell, states, weights))


@bounded_cache(1 << 20, size_of=lambda found, *_: 512 * len(found[1]))
def _product_columns(cell: Cell, H: int, P: int) -> tuple[int, dict[tuple[str, str], tuple[int, int]]]:
    p, size, columns = program(cell), {"H": H, "P": P}, {}
    for key, (gradient, _) in p.derivative.products.items():
        s = p.gradient_workspace[gradient.id]
        columns[key] = s.column[0] * H + s.column[1] * P, size[s.width]
    return p.workspace_width[0] * H + p.workspace_width[1] * P, columns
