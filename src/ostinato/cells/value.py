"""Traced values: what a cell's equations become when they run on symbols instead of tensors.

An operation of a cell is torch's own function; a `Value` answers it through `__torch_function__`, so the same Python
function serves as the reference (on tensors) and as the source of graph, derivative and kernels (on values).
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch

from ..errors import CellError

POINTWISE = ("add sub mul div neg lt le gt ge sigmoid tanh relu leaky_relu softplus exp log sqrt minimum maximum "
             "clamp where").split()
KNOWN = "+ - * / < <= > >= sigmoid tanh relu leaky_relu softplus exp log sqrt minimum maximum clamp where mean norm"
_SYNONYMS = {"true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub", "negative": "neg", "rsub": "rsub",
             "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "clip": "clamp"}


class Value:
    """One node of a cell's graph: an operation on earlier nodes.

    op     "x", "state", "seed" (a gradient that arrives), "const", "vec" (a per-unit parameter), "mm" (a product with a
           weight), "mmT" (with the transposed weight; in derivatives only), "mean", or a pointwise operation
    args   the nodes it reads
    attr   what else identifies it: a number, a state's name, (letter, name) of a parameter, clamp's bounds
    """

    __slots__ = ("args", "attr", "graph", "id", "op")

    def __init__(self, graph: Graph, op: str, args: tuple[Value, ...], attr: Any, id: int):
        self.graph, self.op, self.args, self.attr, self.id = graph, op, args, attr, id

    def __repr__(self) -> str:
        return f"<{self.op}{'' if self.attr is None else f' {self.attr}'} #{self.id}>"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Value:
        graph = next(a.graph for a in (*args, *(kwargs or {}).values()) if isinstance(a, Value))
        return graph.call(getattr(func, "__name__", str(func)), args, dict(kwargs or {}))

    def __add__(self, o: Any) -> Value: return self.graph.call("add", (self, o))
    def __radd__(self, o: Any) -> Value: return self.graph.call("add", (o, self))
    def __sub__(self, o: Any) -> Value: return self.graph.call("sub", (self, o))
    def __rsub__(self, o: Any) -> Value: return self.graph.call("sub", (o, self))
    def __mul__(self, o: Any) -> Value: return self.graph.call("mul", (self, o))
    def __rmul__(self, o: Any) -> Value: return self.graph.call("mul", (o, self))
    def __truediv__(self, o: Any) -> Value: return self.graph.call("div", (self, o))
    def __rtruediv__(self, o: Any) -> Value: return self.graph.call("div", (o, self))
    def __lt__(self, o: Any) -> Value: return self.graph.call("lt", (self, o))
    def __le__(self, o: Any) -> Value: return self.graph.call("le", (self, o))
    def __gt__(self, o: Any) -> Value: return self.graph.call("gt", (self, o))
    def __ge__(self, o: Any) -> Value: return self.graph.call("ge", (self, o))
    def __neg__(self) -> Value: return self.graph.call("neg", (self,))

    __hash__ = object.__hash__

    def __eq__(self, o: object) -> bool:
        if o is self:
            return True
        raise CellError("== between values is not an operation of a cell. Write a comparison with < <= > >= instead.")

    def __bool__(self) -> NoReturn:
        raise CellError("an equation has no if, and, or, not, min or max: its value is known only when the cell runs. "
                        "Write where(condition, a, b), minimum(a, b) or maximum(a, b).")

    def __float__(self) -> NoReturn:
        raise CellError(f"a value of an equation is not a number, so math functions cannot take it. "
                        f"Write torch's function; known: {KNOWN}.")

    __int__ = __index__ = __float__

    def __pow__(self, o: object) -> NoReturn:
        raise CellError("** is not an operation of a cell. Write a * a for a square, sqrt(a) for a root.")

    __rpow__ = __pow__

    def __matmul__(self, o: object) -> NoReturn:
        raise CellError("the left side of @ must be a weight, got a value. Write W.name @ x, U.name @ (...) or V.name @ (...).")

    def __iter__(self) -> NoReturn:
        raise CellError("a value cannot be taken apart: it stands for all units at once. Write the equation for one unit.")

    __getitem__ = __len__ = __contains__ = __iter__  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: Any, method: str, *args: object, **kw: object) -> NoReturn:
        raise CellError(f"numpy.{ufunc.__name__} is not an operation of a cell. Write torch's function; known: {KNOWN}.")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CellError(f"a value has no .{name}. Write a function instead, as in tanh(a); known: {KNOWN}.")


class Graph:
    """The nodes of one cell in the order of their making. Equal operations on equal arguments are one node."""

    def __init__(self) -> None:
        self.nodes: list[Value] = []
        self._seen: dict[tuple, Value] = {}

    def make(self, op: str, *args: Value, attr: Any = None) -> Value:
        key = (op, tuple(a.id for a in args), attr)
        if key not in self._seen:
            self._seen[key] = Value(self, op, args, attr, len(self.nodes))
            self.nodes.append(self._seen[key])
        return self._seen[key]

    def const(self, number: float) -> Value:
        return self.make("const", attr=float(number))

    def lift(self, a: Any, op: str) -> Value:
        if isinstance(a, Value):
            if a.op == "x":
                raise CellError(f"{op} on x: x has input_size entries, the state hidden_size. "
                                "Write a weight in between: W.name @ x.")
            return a
        if isinstance(a, (bool, int, float)):
            return self.const(a)
        if isinstance(a, torch.Tensor):
            raise CellError(f"{op} takes values and numbers, got a tensor from outside the equations. "
                            "Write a number, or a parameter p.name that the layer owns.")
        if hasattr(a, "letter"):
            raise CellError(f"{op} takes values and numbers, got the weight {a}. Write a product, {a} @ x or {a} @ h.")
        raise CellError(f"{op} takes values and numbers, got {type(a).__name__}.")

    def call(self, name: str, args: tuple, kwargs: dict | None = None) -> Value:
        """What torch's function `name` means here; refuses what a cell does not know."""
        kwargs = kwargs or {}
        op = _SYNONYMS.get(name.removeprefix("__").removesuffix("__"), name.removeprefix("__").removesuffix("__"))
        if op not in POINTWISE:
            raise CellError(f"torch.{name} is not an operation of a cell. Known: {KNOWN}.")
        kwargs.pop("inplace", None)
        if op == "leaky_relu":
            slope = kwargs.pop("negative_slope", args[1] if len(args) > 1 else 0.01)
            _numbers(op, "negative_slope", slope)
            args, attr = args[:1], float(slope)
        elif op == "clamp":
            low = kwargs.pop("min", args[1] if len(args) > 1 else None)
            high = kwargs.pop("max", args[2] if len(args) > 2 else None)
            _numbers(op, "min and max", *[v for v in (low, high) if v is not None])
            args = args[:1]
            attr = (float("-inf") if low is None else float(low), float("inf") if high is None else float(high))
        elif op == "softplus":
            beta = kwargs.pop("beta", args[1] if len(args) > 1 else 1)
            kwargs.pop("threshold", None)
            if beta != 1:
                raise CellError(f"softplus: beta must be 1, got {beta}. Write softplus(beta * a) / beta.")
            args, attr = args[:1], None
        else:
            attr = None
            if op in ("minimum", "maximum") and not all(isinstance(a, Value) for a in args):
                raise CellError(f"torch.{op} takes two tensors, not a number. Write clamp(a, min=...) or clamp(a, max=...).")
        if kwargs:
            raise CellError(f"torch.{name} takes no {', '.join(kwargs)} inside a cell.")
        wanted = 3 if op == "where" else 1 if op in UNARY else 2
        if len(args) != wanted:
            raise CellError(f"torch.{name} takes {wanted} values inside a cell, got {len(args)}.")
        values = tuple(self.lift(a, op) for a in args)
        for k, v in enumerate(values):
            if (v.op in COMPARISONS) != (op == "where" and k == 0):
                raise CellError("a comparison is the condition of a where and nothing else. Write where(a > b, u, v).")
        return self.simplify(op, values, attr)

    def simplify(self, op: str, args: tuple[Value, ...], attr: Any = None) -> Value:
        """a + 0, a - 0, a * 1, a / 1 are a; --a is a; an operation on numbers alone is a number."""
        numbers = [a.attr if a.op == "const" else None for a in args]
        if op == "add" and 0.0 in numbers:
            return args[1 - numbers.index(0.0)]
        if op == "mul" and 1.0 in numbers:
            return args[1 - numbers.index(1.0)]
        if (op == "sub" and numbers[1] == 0.0) or (op == "div" and numbers[1] == 1.0):
            return args[0]
        if op == "neg" and args[0].op == "neg":
            return args[0].args[0]
        if op in _FOLD and None not in numbers and not (op == "div" and numbers[1] == 0.0):
            return self.const(_FOLD[op](*numbers))
        return self.make(op, *args, attr=attr)


UNARY = frozenset("neg sigmoid tanh relu leaky_relu softplus exp log sqrt clamp mean".split())
COMPARISONS = frozenset(("lt", "le", "gt", "ge"))
_FOLD: dict[str, Any] = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
                         "div": lambda a, b: a / b, "neg": lambda a: -a}


def _numbers(op: str, what: str, *values: object) -> None:
    for v in values:
        if not isinstance(v, (int, float)):
            raise CellError(f"{op}: {what} must be a plain number, got {type(v).__name__}. For a learned one write "
                            "where(a > 0, a, p.name * a), minimum or maximum.")


def mean(v: Any) -> Any:
    """The mean over the units: [B, H] -> [B, 1], or the node that says so. Its derivative is itself."""
    return v.graph.make("mean", v.graph.lift(v, "mean")) if isinstance(v, Value) else v.mean(-1, keepdim=True)


def norm(v: Any, eps: float = 1e-5) -> Any:
    """(v - mean v) / sqrt(mean (v - mean v)² + eps), over the units: [B, H] -> [B, H] (Ba, Kiros, Hinton 2016, without gain)."""
    centred = v - mean(v)
    return centred / torch.sqrt(mean(centred * centred) + eps)
