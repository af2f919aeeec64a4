"""A module's graph by torch.fx, in evaluation, and what is checked before it."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from ...errors import InputError, OstinatoError, phrase
from ...layers.base import Layer
from ..layers import WHERE
from .modules import REFUSED_MODULES, reader_of

PACKAGE = __name__.partition(".")[0]
"""The name of this package."""


_IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow)


class _Value(fx.Proxy):
    """A traced value, with operations in place recorded as such: `x += y` changes x wherever else it is used."""

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})

    def __ipow__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.ipow, (self, other), {})


class _Tracer(fx.Tracer):
    """Layers are single nodes; every other module is traced, parametrized ones by the class that they had."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is read as a whole."""
    if reader_of(module) is not None or isinstance(module, tuple(REFUSED_MODULES)):
        return True
    kind = parametrize.type_before_parametrizations(module)
    return kind.__module__.startswith("torch.nn") and kind not in (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Traced:
    """A graph, and by name the tensors in it that are made in `forward` and do not depend on x."""

    graph: fx.Graph
    made: Mapping[str, Tensor]


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """The modules' flags `training` are False inside; afterwards their attributes are what they were.

    Yields what will hold the tensors that torch.fx has set as attributes of the model.
    """
    before = [(vars(m), dict(vars(m))) for m in model.modules()]
    made: dict[str, Tensor] = {}
    try:
        for m in model.modules():
            m.training = False
        yield made
    finally:
        known = before[0][1]
        made.update({k: v for k, v in vars(model).items() if k not in known and isinstance(v, Tensor)})
        for present, attributes in before:
            present.clear()
            present.update(attributes)


def trace(model: nn.Module) -> Traced:
    """The graph of `model(x)` in evaluation. Raises InputError where it depends on values of x, or draws."""
    if is_leaf(model):
        graph = fx.Graph()
        graph.output(graph.call_module("", (graph.placeholder("x"),)))
        return Traced(graph, {})
    defaults = _defaults(model)
    before = torch.get_rng_state()
    try:
        with _evaluation(model) as made, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = _Tracer().trace(model, concrete_args=defaults or None)
    except OstinatoError:
        raise
    except Exception as error:
        remedy = (
            "Take branches, loops and lengths out of forward where they depend on the values or sizes of x; "
            f"torch.fx says: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        )
        name = f"the forward of {type(model).__name__}"
        received = "one that depends on values of x, or that fails"
        raise InputError(phrase(WHERE, name, "the same operations for every x", received, remedy)) from error
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        name = f"the forward of {type(model).__name__}"
        remedy = "Take random numbers out of it, or draw them in training only."
        raise InputError(phrase(WHERE, name, "without random numbers in evaluation", "one that draws", remedy))
    _without_unused(model, graph)
    return Traced(graph, made)


def _without_unused(model: nn.Module, graph: fx.Graph) -> None:
    """Takes out what the result does not depend on, operations in place apart: they change what others read."""
    for node in reversed(graph.nodes):
        if node.users or node.op in ("placeholder", "output"):
            continue
        name = getattr(node.target, "__name__", str(node.target))
        flags = any(a is True for a in node.args)  # inplace, by its position
        changes = (
            node.kwargs.get("inplace")
            or "out" in node.kwargs
            or flags
            or (node.op != "call_module" and (name.endswith("_") or name == "setitem"))
        )
        if node.op == "call_module":
            changes = getattr(model.get_submodule(str(node.target)), "inplace", False)
        if not changes and node.target not in _IN_PLACE:
            graph.erase_node(node)


def _defaults(model: nn.Module) -> dict[str, Any]:
    """The arguments of `forward` behind the first with the values that they have when they are left out."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    more = [p.name for p in named[1:] if p.default is p.empty]
    more += [f"*{p.name}" for p in parameters if p not in named]
    if more or not named:
        remedy = "Give the other arguments a default, or wrap the model in a module whose forward takes x alone."
        remedy += " A state needs no argument: the stream keeps it."
        received = f"{', '.join(more)} too" if more else "none"
        name = f"the forward of {type(model).__name__}"
        raise InputError(phrase(WHERE, name, "a function of one input", received, remedy))
    return {p.name: p.default for p in named[1:]}


def checked_dtype(model: nn.Module) -> torch.dtype:
    """The one floating type of all parameters and buffers, which are on the CPU."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    lazy = next((name for name, t in tensors if nn.parameter.is_lazy(t)), None)
    if lazy is not None:
        remedy = "Call the model once, which gives lazy layers their sizes."
        raise InputError(phrase(WHERE, f"the parameter {lazy}", "of known sizes", "one without", remedy))
    numbers = [(name, t) for name, t in tensors if t.is_floating_point() or t.is_complex()]
    if not numbers:
        remedy = "A function of x without weights needs no stream; call it on every step."
        raise InputError(phrase(WHERE, "the model", "one with parameters", "one without", remedy))
    first, like = numbers[0]
    for name, t in numbers:
        what = f"the parameter {name}"
        if t.dtype not in (torch.float32, torch.float64):
            remedy = "Write model.float()."
            raise InputError(phrase(WHERE, what, "float32 or float64", str(t.dtype), remedy))
        if t.dtype != like.dtype:
            received = f"{t.dtype}, while {first} is {like.dtype}"
            raise InputError(phrase(WHERE, what, "of the type of all others", received, "Write model.float()."))
        if t.device.type != "cpu":
            raise InputError(phrase(WHERE, what, "on the CPU", str(t.device), "Write model.cpu()."))
    return like.dtype


def check_hooks(model: nn.Module) -> None:
    """Raises InputError for a module with forward hooks, which a stream does not run."""
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            place = f"the module {name or type(module).__name__}"
            remedy = "Remove them, and use torch.nn.utils.parametrizations for weight_norm and spectral_norm."
            raise InputError(phrase(WHERE, place, "without forward hooks", "one that has some", remedy))
        own = isinstance(module, Layer) and not type(module).forward.__module__.startswith(f"{PACKAGE}.")
        if own or ("forward" in vars(module) and (is_leaf(module) or not name)):
            place = f"the module {name or type(module).__name__}"
            remedy = "Write a module that has the layer as an attribute, and compute the rest in its forward."
            raise InputError(phrase(WHERE, place, "a layer with the forward of its class", "one of its own", remedy))
