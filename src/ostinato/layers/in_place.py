"""Whether the rows of a ragged batch can stay where the caller has them, so that nothing is gathered or scattered.

Letters: B rows of the batch, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from . import engine
from .layout import Exact
from .routing import KERNELS, way
from .sequences import Batch, Ragged

if TYPE_CHECKING:
    from .layer import Layer


def stay(layer: Layer, batch: Batch, given: Sequence[Tensor], weights: Sequence[Sequence[Tensor]]) -> None:
    """Leaves x as the caller has it, where kernels can read a ragged batch there and lay the output out as x.

    Tracers, transforms, the reference and segments of steps want packed rows, and dropout is drawn for them.
    given: the states as the caller has them, [D·L, B, H] each.
    """
    if not isinstance(batch, Ragged) or not isinstance(batch.layout, Exact) or not len(batch.sizes):
        return
    if layer.checkpoint is not None or (layer.num_layers > 1 and layer.dropout and layer.training):
        return
    if not engine.compiled(batch.there):
        return
    if way([batch.there, *given, *(w for group in weights for w in group)]) == KERNELS:
        batch.places = engine.places(batch.layout.pieces)
