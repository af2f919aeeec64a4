"""Checks of tensors that save_for_backward returns: a user's saved-tensor hooks may return anything.

Letters: T steps, B rows of the batch, C input features, R packed rows, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells import Cell
from ..errors import InputError, ShapeError, phrase
from ..sequence import SequenceCall
from . import backends

_REMEDY = "Saved-tensor hooks have to give back what they were given; only its strides may be others."


def check_saved(call: SequenceCall, read: tuple[Sequence[int], torch.dtype], saved: Sequence[Tensor | None]) -> None:
    """Refuses tensors of another shape, number type or device than those that were saved.

    read   the shape and the number type of x when it was saved
    saved  sizes, noise, x, and all others, which are of the number type of x; None for what was not saved
    Kernels check the shapes of the tensors that they read. Where plain torch runs instead, shapes are checked here:
    torch would broadcast a tensor of one row over all.
    """
    cell = call.cell
    sizes, noise, x, *others = saved
    shape, kind = read
    assert x is not None
    on_kernels = not torch.is_grad_enabled() and backends.compiled(x)
    if on_kernels and x.shape == shape and x.dtype is kind:
        return  # kernels check every tensor that they read against x
    for name, t in (("sizes", sizes), ("noise", noise)):
        if t is not None and t.dtype is not torch.int64:
            raise InputError(phrase(_where(cell), f"the saved {name}", "of torch.int64", t.dtype, _REMEDY))
    if x.shape != shape:
        raise ShapeError(phrase(_where(cell), "the saved x", f"of shape {list(shape)}", list(x.shape), _REMEDY))
    for t in (x, *others):
        if t is not None and (t.dtype is not kind or t.device != x.device):
            expected, received = f"of {kind} on {x.device}", f"{t.dtype} on {t.device}"
            raise InputError(phrase(_where(cell), "a saved tensor", expected, received, _REMEDY))
    if not on_kernels:
        _check_shapes(call)


def _check_shapes(call: SequenceCall) -> None:
    """Checks each state and weight against the sizes that they have together."""
    cell, x, sizes, states, weights = call.cell, call.x, call.batch_sizes, call.states, call.weights
    try:
        # Rows without a step are in no step's size.
        rows = x.shape[1] if sizes is None else max(states[0].shape[-2], *sizes[:1].tolist())
        H = cell.size("H", weights, states)
        P = cell.size("P", weights, states) if cell.projected else H
    except IndexError:
        received = [list(t.shape) for t in (*states, *weights)]
        expected = "of the dimensions of a cell's states and weights"
        raise ShapeError(phrase(_where(cell), "the saved tensors", expected, received, _REMEDY)) from None
    widths = {"H": H, "P": P}
    expected_shapes: dict[str, tuple[int, ...]] = {
        f"state {n}": (rows, widths[w]) for n, w in zip(cell.states, cell.state_widths)
    }
    expected_shapes |= cell.parameters(x.shape[-1], H, P)
    for (name, wanted), t in zip(expected_shapes.items(), (*states, *weights), strict=True):
        found = t.shape[1:] if name.startswith("state ") and t.dim() == 3 and t.shape[0] == 1 else t.shape
        if found != wanted:
            raise ShapeError(
                phrase(_where(cell), f"the saved {name}", f"of shape {list(wanted)}", list(found), _REMEDY)
            )


def _where(cell: Cell) -> str:
    return f"backward of the cell {cell.name}"
