"""Layers under torch.fx: leaves, one node of a traced graph each, as those of torch.nn are."""

from __future__ import annotations

from typing import Any, TypeGuard

from torch import nn
from torch.fx import Proxy

from ..errors import InputError, phrase
from .structure import LayerStructure


def leaf_for_fx(module: nn.Module) -> None:
    """Makes tracers of torch.fx take `module` for a leaf: hooks, parametrizations and options stay inside of it.

    A tracer tests whether the instance's `__module__` begins with torch.nn, so that is set on the instance; the class
    keeps its own name, by which it is pickled. torch.compile tests for "torch.nn.", with the dot, and traces the layer.
    """
    vars(module)["__module__"] = "torch.nn"


def is_value(x: object) -> TypeGuard[Proxy]:
    """Whether x is a value of a graph that a tracer makes."""
    return isinstance(x, Proxy)


def refuse_alone(layer: LayerStructure) -> None:
    """Raises InputError for a trace of a layer's own forward, which depends on the values of its arguments."""
    remedy = "Trace a model that holds the layer, of which it becomes one node."
    raise InputError(phrase(type(layer).__name__, "torch.fx's trace", "of a model", "the layer by itself", remedy))


def step_node(layer: LayerStructure, x_t: Proxy, state: Any) -> Proxy:
    """A call of `layer.step` in the graph of x_t. By themselves tracers see calls of modules, not of other methods."""
    tracer = x_t.tracer
    path = tracer.path_of_module(layer)  # type: ignore[attr-defined]
    module = tracer.create_proxy("get_attr", path, (), {})
    return tracer.create_proxy("call_method", "step", (module, x_t, state), {})
