"""The inline cache of a layer's calls: what the decisions of a call led to, for later calls of the same kind.

`direct_call` decides in every call by which names the weights are found, which backend runs them, in which number type,
by which launch plan. A call with tensors of the same kinds gets the same answers, so one guard of all tensors replaces
them, as in the inline caches of dynamic languages. A layer has an entry for calls with initial states and one for calls
without, each for calls with lengths and for calls without. The second call of a kind in a row prepares it; a call of
another kind runs by `direct_call`, and so does a call with lengths that records gradients.

Letters: T steps, B rows of the batch, C input features, H hidden units.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .. import _torch_private
from ..execution.autograd import SequenceNode, differentiable_plain
from ..execution.dispatch import REQUIRES_GRAD, prepare_call, requires_grad
from ..execution.routing import PLAIN
from ..ragged.lengths import Lengths
from ..sequence import SequenceCall
from .arguments import by_length
from .structure import LayerStructure

if TYPE_CHECKING:
    from ..kernels import PreparedCall

_IS_NESTED = attrgetter("is_nested")
_MAX_PREPARED = 4
"""Times that a kind of call is prepared: the tensors of some never pass the guard, views of x for instance."""


class Entry(NamedTuple):
    """The last kind of call of one layer, of those with the same arguments."""

    owner: weakref.ref[LayerStructure]
    shape: Sequence[int]
    """[T, B, C], or [B, T, C] with batch_first."""
    records: bool
    """Whether gradients are recorded."""
    times_prepared: int = 0
    prepared: PreparedCall | None = None
    """None after the first call, and where a tensor was not read as it is."""
    node: SequenceNode | None = None
    """Of the autograd graph; None where no gradients are recorded."""
    attributes: tuple[Any, ...] = ()
    """`LayerStructure.decisive` of the layer."""
    names: Sequence[str] = ()
    """Of the weights."""
    states: int = 0
    """How many the cell has."""
    zeros: Sequence[Tensor] = ()
    """The initial states, where the caller gives none."""


_ENTRIES: dict[tuple[int, bool, bool], Entry] = {}
"""(id of the layer, whether initial states are given, whether lengths are) → its entry. Not an attribute of the layer:
layers of torch.nn become ours by their class alone, and are copied and pickled with all that they hold. An entry is
replaced as a whole, because other threads may read it."""


def cached_call(layer: LayerStructure, x: Any, state: Any, lengths: Lengths) -> tuple[Tensor, Any] | None:
    """(output, final state) of a call that is of the kind of the layer's entry; None for others.

    Each function of Python that a small call runs costs about two microseconds where a kernel has displaced Python's
    code from the processor's caches, so there are few.
    """
    entry = _ENTRIES.get((id(layer), state is not None, lengths is not None))
    if entry is None or entry.prepared is None or entry.owner() is not layer or type(x) is not Tensor:
        return None
    if not _torch_private.unobserved() or torch.is_autocast_enabled("cpu") or x.is_nested or x.shape != entry.shape:
        return None
    if layer.decisive(layer) != entry.attributes:
        return None
    try:
        weights: list[Any] = [*map(_torch_private.own_parameters(layer).__getitem__, entry.names)]
    except KeyError:  # a weight is computed, by a parametrization
        return None
    states: Any = entry.zeros if state is None else (state,) if entry.states == 1 else state
    if type(states) not in (tuple, list) or len(states) != entry.states:
        return None
    others = (*states, *weights)
    if not PLAIN.issuperset(map(type, others)) or any(map(_IS_NESTED, others)):
        return None
    records = torch.is_grad_enabled() and (x.requires_grad or any(map(REQUIRES_GRAD, others)))
    if records is not entry.records:
        return None
    batch_first = layer.batch_first and lengths is None
    if batch_first:
        x = x.transpose(0, 1).contiguous()
    if not entry.prepared.same_kind(x, *others):
        return None
    if lengths is not None:
        found = by_length(layer, lengths, entry.shape)
        if found is None:
            return None
        if found[1] is None:  # all rows have all steps
            return cached_call(layer, x, state, None)
        output, finals = entry.prepared.infer_rows(x, states, weights, found[0], found[1])
    elif entry.node is None:
        output, finals = entry.prepared.infer(x, states, weights)
    else:
        output, finals = differentiable_plain(entry.node, x, states, weights)
    if batch_first:
        output = output.transpose(0, 1)
    return output, finals[0] if entry.states == 1 else tuple(finals)


def note_call(layer: LayerStructure, shape: Sequence[int], call: SequenceCall, zeros: Sequence[Tensor]) -> None:
    """Notes a call of one layer in one direction, without masks, which has just run on the kernels.

    shape  of x as the caller gave it
    zeros  the initial states where the caller gave none, which are kept; () where the caller gave some
    """
    records = torch.is_grad_enabled() and requires_grad((call.x, *call.states, *call.weights))
    if records and call.rows is not None:
        return
    key = (id(layer), not zeros, call.rows is not None)
    entry = _ENTRIES.get(key)
    if entry is None or entry.owner() is not layer or entry.shape != shape or entry.records is not records:
        _ENTRIES[key] = Entry(weakref.ref(layer, lambda _: _ENTRIES.pop(key, None)), shape, records)
        return
    if call.cell.random or layer.options.learn_initial_state or entry.times_prepared >= _MAX_PREPARED:
        return
    attributes, names = layer.decisive(layer), layer._cached_names()[0]
    if layer.active_cell is not call.cell or (layer._draws and layer.training):
        return  # another thread has changed the layer since
    prepared, node = prepare_call(call, records)
    kind = (entry.owner, shape, records, entry.times_prepared + 1)
    _ENTRIES[key] = Entry(*kind, prepared, node, attributes, names, len(call.states), zeros)
