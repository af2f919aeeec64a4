"""Whether the rows of a ragged batch can stay where the caller has them, so that nothing is gathered or scattered.

Letters: B rows of the batch, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..execution import backends
from ..execution.routing import KERNELS, way
from ..ragged.batch import Batch, Ragged
from ..ragged.index_tensors import Exact
from ..ragged.segments import Pieces
from .structure import LayerStructure


def stay(layer: LayerStructure, batch: Batch, given: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]) -> None:
    """Leaves x as the caller has it, where kernels can read a ragged batch there and lay the output out as x.

    Tracers, transforms, the reference and segments of steps want packed rows, and dropout is drawn for them.
    given: the states as the caller has them, [D·L, B, H] each.
    """
    if not isinstance(batch, Ragged) or not isinstance(batch.layout, Exact) or not len(batch.sizes):
        return
    if layer.checkpoint is not None or (layer.num_layers > 1 and layer.dropout and layer.training):
        return
    if not backends.compiled(batch.there):
        return
    if way([batch.there, *given, *(w for group in weights for w in group)]) == KERNELS:
        batch.places = row_layout(batch.layout.pieces)


def row_layout(pieces: Pieces) -> Any:
    """Where the packed rows of a batch are in the caller's x, as kernels read it.

    Where every row is one piece, states are those of the caller's rows; else those of the pieces.
    """
    by_rows = pieces.ends is None
    layout = backends.kernels().RowLayout
    return layout.of(pieces.lengths, pieces.starts, pieces.rows, pieces.steps, pieces.stride, by_rows)
