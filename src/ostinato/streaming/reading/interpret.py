"""From a graph of torch.fx to a network, for one assumption about the axes of x."""

from __future__ import annotations

import builtins
import inspect
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from ... import _torch_private
from ...layers.base import Layer
from ...network import Network, Node
from .builder import Builder
from .functions import FUNCTIONS, RANDOM, REFUSED
from .modules import REFUSED_MODULES, one_step, reader_of
from .shapes import VIEWS
from .sizes import ROWS, TIME, UNKNOWN, Axis, NeedsWidthError, Size, UnprovenSizeError
from .times import Extreme
from .trace import Traced
from .values import Const, Hidden, RefusedError, Value, described, refuse

_NAMESPACES = (torch, functional, operator, builtins, math, _torch_private.functions_in_c(), torch.special)
_IN_PLACE = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "ipow": "pow"}
_NAMES = {
    "truediv": "div", "true_divide": "div", "divide": "div", "subtract": "sub", "multiply": "mul", "negative": "neg",
    "expit": "sigmoid", "less": "lt", "less_equal": "le", "fmax": "maximum", "fmin": "minimum",
}  # fmt: skip
_KEYWORDS = {"axis": "dim", "keepdims": "keepdim", "x": "input"}
_REMEDY = (
    "Streams run recurrent layers, Linear, Embedding, Conv1d, norms over features, arithmetic and torch's usual "
    "activations; compose it of these."
)


@dataclass
class Layout:
    """What x is assumed to be: its axes, UNKNOWN for its features, and whether it holds tokens.

    whole  whether the network may run on whole sequences alone
    """

    axes: tuple[Axis, ...]
    tokens: bool = False
    whole: bool = False


class Reader:
    """Reads one graph under one assumption.

    width     C, or None while it is not known
    position  number of the line of the graph that is read
    """

    def __init__(self, model: nn.Module, traced: Traced, dtype: torch.dtype, layout: Layout, width: int | None):
        self.model, self.graph, self.layout, self.width = model, traced.graph, layout, width
        self.made = traced.made
        self.b = Builder(1 if layout.tokens or width is None else width, dtype, TIME in layout.axes, layout.whole)
        self.order = {node: k for k, node in enumerate(traced.graph.nodes)}
        self.position = 0
        self.name = "the model"
        self.values: dict[fx.Node, Any] = {}

    def read(self) -> Network:
        """The network. Raises RefusedError, or NeedsWidthError and FoundWidthError."""
        for node in self.graph.nodes:
            self.position = self.order[node]
            self.name = f"the line {node.name} of the model"
            self.b.place = node.name
            try:
                self.values[node] = self._line(node)
            except (UnprovenSizeError, TypeError) as error:
                if isinstance(error, TypeError) and not self._sizes(node):
                    raise
                if any(UNKNOWN in size.symbols for size in self._sizes(node)):
                    raise NeedsWidthError from error
                remedy = "Take sizes from x.shape as they are; sums, products and whole quotients of them are known."
                raise RefusedError("of sizes that are known", "one that cannot be proved", remedy, True) from error
            except RefusedError:
                if any(UNKNOWN in size.symbols for size in self._sizes(node)):
                    raise NeedsWidthError from None
                raise
        return self._network(self.values[next(iter(reversed(self.graph.nodes)))])

    def _sizes(self, node: fx.Node) -> list[Size]:
        """The sizes among what a line reads."""
        return [v for v in _leaves([self.values[n] for n in node.all_input_nodes]) if isinstance(v, Size)]

    def _line(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._input() if self.order[node] == 0 else node.args[0]
        args, options = self._resolved(node.args), self._resolved(node.kwargs)
        if node.op == "output":
            self.name = "the output of the model"
            return args[0]
        if node.op == "get_attr":
            return self._attribute(str(node.target))
        if node.op == "call_module":
            return self._module(node, str(node.target), args, options)
        return self._function(node, args, options)

    def _input(self) -> Value:
        axes = self.layout.axes
        if self.layout.tokens:
            return Value(0, axes, kind="token")
        return Value(0, tuple(self.width if a == UNKNOWN and self.width is not None else a for a in axes))

    def _resolved(self, given: Any) -> Any:
        """Arguments with the values that lines have."""
        return fx.node.map_aggregate(given, lambda a: self.values[a] if isinstance(a, fx.Node) else a)

    def _attribute(self, target: str) -> Any:
        if target in self.made:
            tensor = self.made[target]
            return Const(target, lambda: tensor, tuple(tensor.shape))
        owner_path, _, name = target.rpartition(".")
        owner = self.model.get_submodule(owner_path)
        found = getattr(owner, name)
        if not isinstance(found, torch.Tensor):
            return found
        return Const(target, lambda: getattr(owner, name), tuple(found.shape))

    # Modules.

    def _module(self, node: fx.Node, path: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        module = self.model.get_submodule(path)
        kind = type(module).__name__
        self.name, self.b.place = f"the module {path or kind}", path
        if not any(isinstance(v, Value | Hidden | Extreme) for v in _leaves([args, options])):
            return self._constant(node, lambda *a, **o: module(*a, **o), args, options)
        read = reader_of(module)
        if getattr(module, "inplace", False):
            self._check_in_place(node)
        if read is None:
            for refused, remedy in REFUSED_MODULES.items():
                if isinstance(module, refused):
                    refuse("a layer that runs step by step", f"{refused.__module__.split('.')[0]}.nn.{kind}", remedy)
            refuse("a layer that runs step by step", f"torch.nn.{kind}", _REMEDY)
        return self._call(read, (self.b, module, *args), options)

    # Functions.

    def _function(self, node: fx.Node, args: Sequence[Any], options: dict[str, Any]) -> Any:
        name, target = self._named(node)
        in_place = name in _IN_PLACE or (
            node.op == "call_method" and name.endswith("_") and name not in ("and_", "or_")
        )
        name = _IN_PLACE.get(name, name.rstrip("_") if in_place else name)
        name = _NAMES.get(name, name)
        leaves = list(_leaves([args, options]))
        if node.op == "call_method" and name == "step" and args and isinstance(args[0], Layer):
            self.name, self.b.place = f"the module {node.args[0].target}", str(node.args[0].target)  # type: ignore[union-attr]
            return self._call(one_step, (self.b, *args), options)
        if name in RANDOM:
            refuse("without random numbers in evaluation", name, "Draw in training only, if self.training.")
        if name == "getitem" and isinstance(args[0], tuple | list):
            return self._entry(args[0], args[1])
        if name == "getattr" and isinstance(args[0], Extreme):
            return self._entry(args[0], args[1])
        if name == "getitem" and isinstance(args[0], Extreme):
            return self._entry(args[0], args[1])
        hidden = next((v for v in leaves if isinstance(v, Hidden)), None)
        if hidden is not None:
            remedy = "Use the layer's output, or its h; a state of more steps than x has is none of the present step."
            refuse("of values that layers put out", f"one of the state {hidden.name}", remedy)
        values = [v for v in leaves if isinstance(v, Value)]
        if not values:
            if any(isinstance(v, Const) for v in leaves):
                if any(isinstance(v, Size) for v in leaves):
                    return self._sized(name, args, options)
                return self._constant(node, target, args, options)
            if not any(isinstance(v, Size) for v in leaves) or target in vars(operator).values():
                return target(*args, **options)
        if in_place or options.get("inplace"):
            self._check_in_place(node)
        options = {k: v for k, v in options.items() if k != "inplace" or name == "dropout"}
        if name in REFUSED:
            refuse("an operation that runs step by step", name, REFUSED[name])
        if name not in FUNCTIONS:
            refuse("an operation that runs step by step", name, _REMEDY)
        return self._call(FUNCTIONS[name], (self.b, *args), {_KEYWORDS.get(k, k): v for k, v in options.items()})

    def _named(self, node: fx.Node) -> tuple[str, Callable[..., Any]]:
        if node.op == "call_method":
            name = str(node.target)
            return name, lambda self, *a, **o: getattr(self, name)(*a, **o)
        target = node.target
        assert callable(target)
        name = getattr(target, "__name__", str(target))
        if target is getattr and len(node.args) > 1:
            return "getattr", target
        if not any(getattr(space, name, None) is target for space in _NAMESPACES) and "assert" not in name:
            if name not in REFUSED and name not in FUNCTIONS:
                refuse("a function of torch", name, "Write it in forward, or as a module of its own.")
        return name, target

    def _entry(self, whole: Any, key: Any) -> Any:
        if isinstance(whole, Extreme):
            if key in (0, "values"):
                return whole.values
            refuse("the values of a maximum", "its indices", "Return the values; a stream has no step numbers.")
        try:
            return whole[key]
        except IndexError as error:
            received = f"entry {key} of {len(whole)}"
            raise RefusedError(
                "given an index that there is", received, "Unpack as many values as there are.", True
            ) from error

    def _call(self, read: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        try:
            _signature(read).bind(*args, **options)
        except TypeError as error:
            refuse("called with arguments that a stream knows", f"a call that {error}", "Leave the others out.")
        return read(*args, **options)

    # Constants.

    def _constant(self, node: fx.Node, target: Callable[..., Any], args: Any, options: Any) -> Any:
        """What depends on the model alone: it is computed again where a stream takes new weights."""

        def compute() -> Any:
            def value(a: Any) -> Any:
                return a.compute() if isinstance(a, Const) else a

            with torch.no_grad():
                return target(*fx.node.map_aggregate(args, value), **fx.node.map_aggregate(options, value))

        return _constants(node.name, compute)

    def _sized(self, name: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """A constant expanded over T and B."""
        const = args[0]
        if name not in ("expand", "repeat") or not isinstance(const, Const):
            refuse("a constant that does not depend on sizes of x", name, "Write p.expand(-1, x.shape[1], -1).")
        sizes = args[1] if len(args) == 2 and isinstance(args[1], list | tuple) else args[1:]
        if name == "repeat":
            shape = (1,) * (len(sizes) - len(const.shape)) + const.shape
            if any(s != 1 and own != 1 for s, own in zip(sizes, shape)):
                refuse("repeated where it has length 1", str(list(sizes)), "Write expand.")
            sizes = [own if s == 1 else s for s, own in zip(sizes, shape)]
        value = Value(self.b.constant(const, const.shape), const.shape)
        return FUNCTIONS["expand"](self.b, value, list(sizes))

    # Operations in place.

    def _check_in_place(self, node: fx.Node) -> None:
        """Raises RefusedError where something else than the operation's result uses the memory afterwards."""
        changed = node.args[0] if node.args else None
        seen = node
        while isinstance(changed, fx.Node):
            others = [u for u in changed.users if u is not seen and u is not node]
            if any(self.order[u] > self.order[seen] or self._is_view(u) for u in others) or changed.op == "get_attr":
                remedy = "Write it out of place: y = x + 1, or inplace=False."
                refuse("out of place, as the value that it changes is used again", "an operation in place", remedy)
            if not self._is_view(changed):
                return
            seen, changed = changed, changed.args[0] if changed.args else None

    def _is_view(self, node: fx.Node) -> bool:
        """Whether its result may share memory with what it reads."""
        if node.op == "call_module":
            kind = type(self.model.get_submodule(str(node.target)))
            return issubclass(kind, nn.Identity | nn.Flatten | nn.Unflatten) or "Dropout" in kind.__name__
        name = getattr(node.target, "__name__", str(node.target))
        return node.op in ("call_function", "call_method") and (
            name in VIEWS or name.endswith("_") or name in _IN_PLACE
        )

    # The result.

    def _network(self, result: Any) -> Network:
        y = self._output(result)
        b = self.b
        if UNKNOWN in y.axes:
            raise NeedsWidthError
        if y.kind == "token" or 0 not in _reached(b.nodes, y.node):
            refuse(
                "computed from x", "tokens" if y.kind == "token" else "a constant", "Return a value that depends on x."
            )
        if not any(a == ROWS or (isinstance(a, tuple) and ROWS in a) for a in y.axes):
            refuse("one with an axis of the rows", described(y), "Keep the axis B of the batch.", True)
        if y.lead or y.tail:
            remedy = "Slice off behind the last convolution what padding has added, y[..., :-p]."
            refuse("one with the steps of x", f"{y.lead + y.tail} steps more", remedy)
        if not b.timed and not b.stepped:
            refuse("one with an axis of time", described(y), "Give x an axis of time.", True)
        last = b.timed and not y.has_time
        y = b.dense(b.as_number(y))
        if self.layout.tokens:
            b.nodes[0] = replace(b.nodes[0], tokens=b.tokens)  # type: ignore[call-arg]
        nodes, output = _pruned(b.nodes, y.node)
        return Network(nodes, output, b.dtype, last)

    def _output(self, result: Any) -> Value:
        """The value that the model returns, beside which final states may stand."""
        if isinstance(result, tuple | list) and result and isinstance(result[0], Value):
            more = list(_leaves(list(result[1:])))
            if all(v is None or isinstance(v, Hidden) or (isinstance(v, Value) and v.state) for v in more):
                return result[0]
            remedy = "Return one tensor, such as torch.cat([a, b], -1) of both; a layer's final state may follow it."
            refuse("one tensor", f"{len(result)} values", remedy)
        if not isinstance(result, Value):
            remedy = "Return one tensor that depends on x; a layer's final state may follow it."
            received = "a dictionary" if isinstance(result, dict) else "a constant" if isinstance(result, Const) else ""
            refuse("one tensor", received or f"a value of type {type(result).__name__}", remedy)
        return result


def _constants(name: str, compute: Callable[[], Any]) -> Any:
    """A constant for each tensor that `compute` returns, in the tuples where they are."""
    found = compute()
    if isinstance(found, tuple):
        return tuple(_constants(f"{name}.{k}", lambda k=k: compute()[k]) for k in range(len(found)))  # type: ignore[misc]
    return Const(name, compute, tuple(found.shape)) if isinstance(found, torch.Tensor) else found


@lru_cache(maxsize=512)
def _signature(read: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(read)


def _leaves(value: Any) -> list[Any]:
    """All values in lists, tuples, dictionaries and slices."""
    if isinstance(value, list | tuple):
        return [leaf for v in value for leaf in _leaves(v)]
    if isinstance(value, dict):
        return _leaves(list(value.values()))
    if isinstance(value, slice):
        return [value.start, value.stop, value.step]
    return [value]


def _reached(nodes: Sequence[Node], output: int) -> set[int]:
    """Indices of the nodes that `output` depends on, its own with them."""
    found, left = {output}, [output]
    while left:
        for i in nodes[left.pop()].inputs:
            if i not in found:
                found.add(i)
                left.append(i)
    return found


def _pruned(nodes: Sequence[Node], output: int) -> tuple[tuple[Node, ...], int]:
    """The input and the nodes that the output depends on, and the output's new index."""
    kept = sorted(_reached(nodes, output) | {0})
    index = {old: new for new, old in enumerate(kept)}
    return tuple(replace(nodes[k], inputs=tuple(index[i] for i in nodes[k].inputs)) for k in kept), index[output]
