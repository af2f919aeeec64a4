"""The state of an optimiser, such as Adam's moments, after weights were loaded whose gates had to be reordered.

torch tells a layer nothing of its optimisers, and an optimiser's state_dict nothing of gates. So layers that permuted
their weights are kept here until the next step of an optimiser that has these weights: with a state that was not
permuted too, the step is refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from ..errors import InputError, phrase
from .parameters import permuted
from .structure import LayerStructure

_Known: TypeAlias = list[tuple[Tensor, tuple[str, "LayerStructure", str]]]
_WHERE = "permute_optimizer_state"
_WAITING: weakref.WeakSet[LayerStructure] = weakref.WeakSet()
"""Layers with `moved`: those whose weights were permuted since an optimiser stepped."""
_HOOKS: list[RemovableHandle] = []
"""The hook on all optimisers, once there was such a layer. It stays: torch walks through hooks while it calls them."""


def expect(layer: LayerStructure) -> None:
    """From now on refuses an optimiser's step whose state of this layer's weights is in the order before loading."""
    _WAITING.add(layer)
    if not _HOOKS:
        _HOOKS.append(register_optimizer_step_pre_hook(_check))


def _check(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    if not _WAITING:
        return
    known = _permuted_weights(optimizer, (("", layer) for layer in list(_WAITING)))
    stale = [about for p, about in known if any(map(_has_rows, _state(optimizer, p)))]
    stale += [about for _, about in known if any(_foreign(optimizer))]
    if stale:
        _, layer, name = stale[0]
        where = f"{type(optimizer).__name__}.step"
        expected = f"in the order of the layer's gates ({' '.join(layer.cell.trace.order)})"
        remedy = (
            "After optimizer.load_state_dict(...), call ostinato.permute_optimizer_state(optimizer, model). If the "
            "state is in this order, because it is older than the weights that were loaded, set layer.moved = {}."
        )
        received = "one that was not permuted when load_state_dict permuted the weights"
        raise InputError(phrase(where, f"the state of {name}", expected, received, remedy))
    _settle(known)


def _settle(known: _Known) -> None:
    """Notes that the state of these weights is in order."""
    for _, (_, layer, name) in known:
        layer.moved = {key: order for key, order in layer.moved.items() if key != name}
    for waiting in [w for w in _WAITING if not w.moved]:
        _WAITING.discard(waiting)


@torch.no_grad()
def permute_optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """Permutes an optimiser's loaded state as `model.load_state_dict` permuted the weights, in place.

        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        ostinato.permute_optimizer_state(optimizer, model)

    optimizer  any of torch.optim, or one like it, whose state of a weight has the weight's shape (momentum, Adam's
               moments) or one that broadcasts to it (Adafactor's rows and columns); numbers such as the step stay
    model      a layer or a model with layers: the state of weights that `load_state_dict` permuted is permuted, once;
               for a model that loaded all its weights in their own order the optimiser stays as it is

    Returns the names of the weights whose state was permuted. Raises InputError, with nothing changed, where the
    optimiser has no state yet, or keeps one that is not of single weights, as LBFGS does.
    """
    for name, given, kind in (("optimizer", optimizer, torch.optim.Optimizer), ("model", model, nn.Module)):
        if not isinstance(given, kind):
            expected, remedy = f"a torch {kind.__name__}", "Give the optimiser, then the model."
            raise InputError(phrase(_WHERE, name, expected, type(given).__name__, remedy))
    named = ((name, module) for name, module in model.named_modules() if isinstance(module, LayerStructure))
    known = _permuted_weights(optimizer, named)
    if not known:
        return []
    if not optimizer.state:
        remedy = "Call it after optimizer.load_state_dict(...); a new optimiser has nothing to permute."
        raise InputError(phrase(_WHERE, "optimizer", "one whose state is loaded", "no state", remedy))
    for parameter, key, value in _foreign(optimizer):
        expected = f"one whose state of a weight {list(parameter.shape)} has its shape"
        found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        received = f"{type(optimizer).__name__}, whose {key} is {found}"
        raise InputError(phrase(_WHERE, "optimizer", expected, received, "Make a new optimiser."))
    for parameter, (_, layer, name) in known:
        for value in filter(_has_rows, _state(optimizer, parameter)):
            if value.shape[0] == parameter.shape[0]:
                value.copy_(permuted(value, layer.moved[name]))
    _settle(known)
    return [f"{prefix}.{name}".removeprefix(".") for _, (prefix, _, name) in known]


def _permuted_weights(optimizer: torch.optim.Optimizer, layers: Iterable[tuple[str, LayerStructure]]) -> _Known:
    """(weight, (the layer's name, layer, the weight's name)) of the permuted weights that an optimiser has."""
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    weights = ((p, (prefix, layer, name)) for prefix, layer in layers for name, p in _weights(layer))
    return [(p, about) for p, about in weights if id(p) in own]


def _weights(layer: LayerStructure) -> Iterator[tuple[str, Tensor]]:
    return ((name, p) for name, p in layer.named_parameters(recurse=False) if name in layer.moved)


def _state(optimizer: torch.optim.Optimizer, parameter: Tensor) -> list[Any]:
    return list(optimizer.state.get(parameter, {}).values())


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1


def _foreign(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Tensor, str, Any]]:
    """What an optimiser keeps beside numbers, and tensors that broadcast to the weight's shape."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                sizes = zip(value.shape, parameter.shape)
                fits = value.dim() == parameter.dim() and all(n in (1, size) for n, size in sizes)
                plain = fits or value.numel() == 1
            else:
                plain = value is None or isinstance(value, bool | int | float)
            if not plain:
                yield parameter, key, value
