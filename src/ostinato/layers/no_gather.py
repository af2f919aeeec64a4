"""Ragged batches without gather and scatter: kernels read the rows in the caller's x.

Letters: B rows of the batch, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..execution import backends
from ..execution.routing import KERNELS, choose_backend
from ..ragged.batch import Batch, Ragged
from ..ragged.index_tensors import DenseIndex
from ..ragged.segments import Pieces
from .structure import LayerStructure


def rows_can_stay(layer: LayerStructure) -> bool:
    """Whether a ragged batch may stay where it is: segments of a checkpoint are cut from packed rows, and dropout
    between layers is drawn for them."""
    return layer.options.checkpoint is None and not (layer.num_layers > 1 and layer.dropout and layer.training)


def try_in_place(
    layer: LayerStructure, batch: Batch, states: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]
) -> None:
    """Leaves x as the caller has it, where kernels can read a ragged batch there and lay the output out as x.

    Tracers, transforms and the reference read packed rows.
    states  as the caller has them, [D·L, B, H] each
    """
    if not isinstance(batch, Ragged) or not isinstance(batch.layout, DenseIndex) or not len(batch.sizes):
        return
    x = batch.source
    if not rows_can_stay(layer) or not backends.compiled(x):
        return
    if choose_backend([x, *states, *(w for group in weights for w in group)], x.dtype) == KERNELS:
        batch.row_layout = row_layout(batch.layout.pieces)


def row_layout(pieces: Pieces) -> Any:
    """Where the packed rows of a batch are in the caller's x, as kernels read it.

    Where every row is one piece, states are those of the caller's rows; else those of the pieces.
    """
    by_rows = pieces.ends is None
    layout = backends.kernels().RowLayout
    return layout.of(pieces.lengths, pieces.starts, pieces.rows, pieces.steps, pieces.stride, by_rows)
