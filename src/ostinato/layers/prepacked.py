"""`prepacked`: packs the weights of a model's recurrent layers once for many inference calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .. import _torch_private
from ..errors import InputError, phrase
from ..execution import backends
from .base import Layer

_WHERE = "prepacked"


@contextmanager
def prepacked(model: nn.Module) -> Iterator[None]:
    """Inside, calls without gradients read weights that are packed once, instead of packing them at every call.

        with torch.inference_mode(), ostinato.prepacked(model):
            for x in requests:
                output, state = model(x)

    model  a module that holds recurrent layers of this package on a CPU, in float32 or float64

    Results have the same bits as outside. It pays where a call has few rows and steps beside its weights: a call of 20
    steps of one row spends up to almost half of its time on packing. Memory: one copy of the weights of each layer,
    until the context ends. After torch has written a weight in place, as an optimiser's step or `load_state_dict` does,
    the next call packs it again: the weight's version counter has changed. A write through `weight.data`, NumPy or
    another process changes no counter, and calls go on with the old panels: end the context before such a write.
    Training calls, autocast and other number types run as outside.

    Raises InputError for a model without recurrent layers, for weights that are computed by a parametrization, and for
    weights made under torch.inference_mode(), which count no versions.
    """
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, Layer)] if _is_module(model) else []
    if not layers:
        remedy = "Give the model that holds an ostinato.LSTM, GRU, RNN or Recurrent; ostinato.convert makes them."
        received = f"{type(model).__name__} without one"
        raise InputError(phrase(_WHERE, "model", "a module with recurrent layers of ostinato", received, remedy))
    groups: list[list[Tensor]] = []
    for name, layer in layers:
        own = _torch_private.own_parameters(layer)
        for names in layer._weight_names():
            for weight in names:
                problem = _problem(own.get(weight))
                if problem:
                    received, remedy = problem
                    full = f"{name}.{weight}".removeprefix(".")
                    raise InputError(phrase(_WHERE, full, "a parameter with a version counter", received, remedy))
            groups.append([w for weight in names if (w := own[weight]) is not None])
    groups = [group for group in groups if backends.compiled(group[0])]
    if not groups:
        yield
        return
    from ..kernels.runtime.prepacked import prepacking

    with prepacking(groups):
        yield


def _is_module(model: object) -> bool:
    return isinstance(model, nn.Module)


def _problem(weight: Tensor | None) -> tuple[str, str] | None:
    """(what was received, the remedy) where a weight cannot be prepacked."""
    if weight is None:
        return "a parametrization", "Remove it with torch.nn.utils.parametrize.remove_parametrizations first."
    if torch.is_inference(weight):
        return "a tensor made under torch.inference_mode()", "Make or load the model outside of inference_mode."
    return None
