"""Weights that are packed once for many calls: the registry behind `ostinato.prepacked`.

Calls find their packed weights by the addresses of the weights. Whether a weight was written since it was packed is
known from its version counter, which torch's in-place operations count up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ... import _torch_private
from .plan_template import PlanTemplate


class Panels:
    """The packed weights of one kernel and one direction of a layer."""

    __slots__ = ("filled", "memory", "versions")

    def __init__(self, memory: Tensor, versions: tuple[int, ...]):
        self.memory = memory
        """The panels of all products, at the offsets of `PlanTemplate.panels_of_all`."""
        self.versions = versions
        """The weights' version counters before they were packed."""
        self.filled = False
        """Whether a call has packed the weights. Two calls at once may both do so: they write the same values."""


class PackedWeights:
    """The weights of one direction of a layer, packed for each kernel that reads them."""

    def __init__(self, weights: Sequence[Tensor]):
        # Aliases: they keep the memory, and share the version counters.
        self._weights = [w.detach() for w in weights]
        self._panels: WeakKeyDictionary[PlanTemplate, Panels] = WeakKeyDictionary()

    def panels(self, template: PlanTemplate) -> Panels:
        """Those of this kernel; new ones, which the call fills, where a weight was written since they were packed."""
        versions, found = tuple(map(_torch_private.version, self._weights)), self._panels.get(template)
        if found is None or found.versions != versions:
            # New memory: a call of another thread may still read the old panels.
            with _torch_private.untransformed():
                memory = torch.empty(template.panels_of_all[1], dtype=template.dtype, device="cpu")
            found = self._panels[template] = Panels(memory, versions)
        return found


PREPACKED: dict[tuple[int, ...], PackedWeights] = {}
"""Addresses of the weights of one direction of a layer, as a call has them → the packed weights."""


def packed_weights(weights: Sequence[Tensor]) -> PackedWeights | None:
    """The packed weights of a call; None where its weights are not prepacked."""
    return PREPACKED.get(tuple(map(Tensor.data_ptr, weights)))


@contextmanager
def prepacking(groups: Sequence[Sequence[Tensor]]) -> Iterator[None]:
    """Packs these weights, of one direction of a layer each, once for all inference calls inside."""
    added = []
    for weights in groups:
        key = tuple(map(Tensor.data_ptr, weights))
        if key not in PREPACKED:
            PREPACKED[key] = PackedWeights(weights)
            added.append(key)
    try:
        yield
    finally:
        for key in added:
            PREPACKED.pop(key, None)
