"""Whether the rows of a ragged batch can stay where the caller has them, so that nothing is gathered or scattered.

Letters: T steps, B rows of the batch, C input features, H hidden units, N pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from . import engine
from .layout import Exact
from .routing import KERNELS, way
from .sequences import Batch, Ragged

if TYPE_CHECKING:
    from .layer import Layer


def rows_of(
    layer: Layer, batch: Batch, starts: Sequence[Tensor], weights: Sequence[Sequence[Tensor]], packed: bool
) -> tuple[Tensor, Any]:
    """(x as the layers read it, where its rows are). The caller's own x, with `engine.places`, for kernels that read a
    ragged batch there and lay the output out as x; else `batch.x`, and None: for tracers, transforms, the reference
    and segments, and where dropout is drawn for packed rows.

    starts  the states before the first step, [D·L, N, H] each
    packed  whether anybody wants to see packed rows
    """
    if packed or not isinstance(batch, Ragged) or not isinstance(batch.layout, Exact) or not len(batch.sizes):
        return batch.x, None
    if layer.checkpoint is not None or (layer.num_layers > 1 and layer.dropout and layer.training):
        return batch.x, None
    if way([batch.there, *starts, *(w for group in weights for w in group)]) != KERNELS:
        return batch.x, None
    return batch.there, engine.places(batch.layout.pieces)
