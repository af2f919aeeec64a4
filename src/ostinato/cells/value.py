"""Traced values: what a cell's equations become when they run on symbols instead of tensors.

An operation of a cell is torch's own function; a `Value` answers it through `__torch_function__`, so the same Python
function serves as the reference (on tensors) and as the source of graph, derivative and kernels (on values).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch

from ..errors import CellError
from .functions import Traced, clip_gradient, is_number, mean, norm
from .operations import COMPARISONS, INSTEAD, OPERATIONS, POINTWISE, known, resolve
from .operations.operation import Operation, numbers
from .source import running_line

__all__ = ["Graph", "Value", "clip_gradient", "is_number", "mean", "norm"]


class Value(Traced):
    """One node of a cell's graph: an operation on earlier nodes.

    op     "x", "state", "seed" (a gradient that arrives), "const", "vec" (a per-unit parameter), "random" (drawn for
           each unit), "mm" (a product with a weight), "mmT" (with the transposed weight; in derivatives only), "mean",
           "norm" of a value, its mean and its "rstd", "clip_gradient", or a pointwise operation
    args   the nodes it reads
    attr   what else identifies it: a number, a state's name, (letter, name) of a parameter, bounds of clamp or gradient
    """

    __slots__ = ("args", "attr", "graph", "id", "op")

    def __init__(self, graph: Graph, op: str, args: tuple[Value, ...], attr: Any, id: int):
        self.graph, self.op, self.args, self.attr, self.id = graph, op, args, attr, id

    def __repr__(self) -> str:
        return f"<{self.op}{'' if self.attr is None else f' {self.attr}'} #{self.id}>"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Value:
        kwargs = kwargs or {}
        graph = next((a.graph for a in (*args, *kwargs.values()) if isinstance(a, Value)), None)
        return (graph or Graph()).call(getattr(func, "__name__", str(func)), args, kwargs)

    def __add__(self, o: Any) -> Value:
        return self.graph.call("add", (self, o))

    def __radd__(self, o: Any) -> Value:
        return self.graph.call("add", (o, self))

    def __sub__(self, o: Any) -> Value:
        return self.graph.call("sub", (self, o))

    def __rsub__(self, o: Any) -> Value:
        return self.graph.call("sub", (o, self))

    def __mul__(self, o: Any) -> Value:
        return self.graph.call("mul", (self, o))

    def __rmul__(self, o: Any) -> Value:
        return self.graph.call("mul", (o, self))

    def __truediv__(self, o: Any) -> Value:
        return self.graph.call("div", (self, o))

    def __rtruediv__(self, o: Any) -> Value:
        return self.graph.call("div", (o, self))

    def __lt__(self, o: Any) -> Value:
        return self.graph.call("lt", (self, o))

    def __le__(self, o: Any) -> Value:
        return self.graph.call("le", (self, o))

    def __gt__(self, o: Any) -> Value:
        return self.graph.call("gt", (self, o))

    def __ge__(self, o: Any) -> Value:
        return self.graph.call("ge", (self, o))

    def __neg__(self) -> Value:
        return self.graph.call("neg", (self,))

    def __pos__(self) -> Value:
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Value:
        """Handles numpy numbers on the left of an operator, and refuses numpy's functions."""
        op = resolve(ufunc.__name__)
        if method == "__call__" and op in POINTWISE and OPERATIONS[op].symbol and len(args) == 2 and not kwargs:
            return self.graph.call(op, args)
        remedy = f"Write torch.{op}. " if op in POINTWISE else _instead(ufunc.__name__)
        raise CellError(f"numpy.{ufunc.__name__} is not an operation of a cell. {remedy}Known: {known()}.")

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, o: object) -> bool:
        if self.graph.open and o is not self:
            raise CellError(
                "== between values is not an operation of a cell. Write a comparison with < <= > >= instead."
            )
        return o is self

    def __ne__(self, o: object) -> bool:
        if self.graph.open:
            raise CellError(
                "!= between values is not an operation of a cell. Write a comparison with < <= > >= instead."
            )
        return o is not self

    def __bool__(self) -> NoReturn:
        raise CellError(
            "an equation has no if, and, or, not, min or max: its values are known only when the cell runs. "
            "Write where(a > b, u, v), minimum(a, b) or maximum(a, b)."
        )

    def __float__(self) -> NoReturn:
        raise CellError(
            "a value of an equation is not a number, so math functions cannot take it. "
            f"Write torch's function; known: {known()}."
        )

    def __abs__(self) -> NoReturn:
        raise CellError("abs is not an operation of a cell. Write maximum(a, -a).")

    def __pow__(self, o: object) -> NoReturn:
        raise CellError("** is not an operation of a cell. Write a * a for a square, sqrt(a) for a root.")

    def __matmul__(self, o: object) -> NoReturn:
        raise CellError("the left side of @ must be a weight. Write W.name @ x, U.name @ (...) or V.name @ (...).")

    def __iter__(self) -> NoReturn:
        raise CellError(
            "a value cannot be taken apart: it stands for all units at once. Write the equation for one unit."
        )

    def __getitem__(self, key: object) -> NoReturn:
        self.__iter__()

    def __mod__(self, o: object) -> NoReturn:
        raise CellError(
            "//, %, &, | and ~ are no operations of a cell. Write comparisons inside where, one for each choice."
        )

    def __iadd__(self, o: object) -> NoReturn:  # type: ignore[misc]
        raise CellError("an equation changes no value in place. Write c = c + ... instead of c += ...")

    __int__ = __index__ = __complex__ = __round__ = __float__
    __rpow__, __rmatmul__, __len__ = __pow__, __matmul__, __iter__
    __rmod__ = __floordiv__ = __rfloordiv__ = __and__ = __rand__ = __or__ = __ror__ = __xor__ = __mod__
    __isub__ = __imul__ = __itruediv__ = __imatmul__ = __ipow__ = __iadd__

    def __contains__(self, o: object) -> NoReturn:
        self.__iter__()

    def __invert__(self) -> NoReturn:
        self.__mod__(None)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        instead = f"{name}(a)" if name in POINTWISE else INSTEAD.get(name, "a function instead, as in tanh(a)")
        raise CellError(f"a value has no .{name}. Write {instead}. Known: {known()}.")


class Graph:
    """The nodes of one cell in the order of their making. Equal operations on equal arguments are one node.

    open        true while the equations run: `==` between values is then a mistake in an equation, afterwards identity
    fn          the equations
    lines       node.id -> the line of the equations that made it, for messages
    from_state  node.id of every value that is a state or is computed from one
    """

    def __init__(self, fn: Callable | None = None) -> None:
        self.nodes: list[Value] = []
        self.open = False
        self.fn = fn
        self.lines: dict[int, int | None] = {}
        self.from_state: set[int] = set()
        self._seen: dict[tuple, Value] = {}

    def make(self, op: str, *args: Value, attr: Any = None) -> Value:
        key = (op, tuple(a.id for a in args), repr(attr))
        if key not in self._seen:
            self._seen[key] = v = Value(self, op, args, attr, len(self.nodes))
            if self.open and self.fn is not None:
                self.lines[v.id] = running_line(self.fn)
            if op == "state" or any(a.id in self.from_state for a in args):
                self.from_state.add(v.id)
            self.nodes.append(v)
        return self._seen[key]

    def const(self, number: float) -> Value:
        return self.make("const", attr=float(number))

    def lift(self, a: Any, where: str) -> Value:
        """The node of an operand: a value itself, or a number. Refuses everything else."""
        if isinstance(a, Value):
            if a.op == "x":
                raise CellError(
                    f"{where} on x: x has input_size entries, a state hidden_size. Write a weight between: W.name @ x."
                )
            return a
        if is_number(a):
            if not math.isfinite(a):
                raise CellError(f"{where} takes finite numbers, got {a}. Write a large one.")
            return self.const(a)
        if isinstance(a, torch.Tensor):
            raise CellError(
                f"{where} takes values and numbers, got a tensor from outside the equations. "
                "Write a number, or a parameter p.name of the layer."
            )
        if getattr(a, "is_letter", False):
            raise CellError(f"{where} takes values and numbers, got {a}. Write {a.remedy}.")
        raise CellError(
            f"{where} takes values and numbers, got {type(a).__name__}. Write a number, or a parameter p.name."
        )

    def call(self, name: str, args: tuple, kwargs: dict | None = None) -> Value:
        """What torch's function `name` means here; refuses what a cell does not know."""
        kwargs = dict(kwargs or {})
        plain = name.removeprefix("__").removesuffix("__")
        op = resolve(plain)
        row = OPERATIONS[op] if op in POINTWISE else None
        shown = row.symbol if row is not None and row.symbol else f"torch.{plain}"
        for a in (*args, *kwargs.values()):
            if isinstance(a, torch.Tensor):
                self.lift(a, shown)
        if row is None:
            raise CellError(f"torch.{plain} is not an operation of a cell. {_instead(plain)}Known: {known()}.")
        if kwargs.pop("inplace", False):
            raise CellError(f"{shown}: inplace must be False, an equation changes no value in place. Leave it out.")
        args, attr = _settings(row, args, kwargs)
        if kwargs:
            raise CellError(
                f"{shown} takes no {min(kwargs)}= inside a cell. Write its values by position, without names."
            )
        if len(args) != row.operands:
            raise CellError(f"{shown} takes {row.operands} values inside a cell, got {len(args)}.")
        if wrong := row.check(*args):
            raise CellError(wrong)
        values = tuple(self.lift(a, shown) for a in args)
        for k, v in enumerate(values):
            if (v.op in COMPARISONS) != (row.condition and k == 0):
                raise CellError("a comparison is the condition of a where and nothing else. Write where(a > b, u, v).")
        return self.simplify(op, values, attr)

    def mean(self, a: Any) -> Value:
        """Over the units. The mean of a number is the number."""
        v = self._number_or_value(a, "mean")
        return v if v.op == "const" else self.make("mean", v)

    def norm(self, a: Any, eps: float) -> Value:
        """A single node: its derivative is one rule, and forward saves only its result."""
        v = self._number_or_value(a, "norm")
        return self.make("norm", v, self.mean(v), self.make("rstd", v, attr=eps), attr=eps)

    def clip_gradient(self, a: Any, bound: float) -> Value:
        """a itself, whose gradient is clamped on its way back."""
        v = self._number_or_value(a, "clip_gradient")
        return v if v.op == "const" else self.make("clip_gradient", v, attr=bound)

    def _number_or_value(self, a: Any, where: str) -> Value:
        v = self.lift(a, where)
        if v.op in COMPARISONS:
            raise CellError("a comparison is the condition of a where and nothing else. Write where(a > b, u, v).")
        return v

    def simplify(self, op: str, args: tuple[Value, ...], attr: Any = None) -> Value:
        """a + 0, a - 0, a * 1, a / 1, --a and an unbounded clamp are a; arithmetic on numbers alone is a number."""
        row = OPERATIONS[op]
        same = row.simplify(*args, *numbers(attr))
        if same is not None:
            return same
        if row.fold is not None and all(a.op == "const" for a in args):
            number = row.fold(*(a.attr for a in args))
            if number is not None:
                return self.const(number)
        return self.make(op, *args, attr=attr)


def _instead(name: str) -> str:
    if name in INSTEAD:
        return f"Write {INSTEAD[name]}. "
    return f"Write {name.rstrip('_')}(a), which leaves a as it is. " if name.endswith("_") else ""


def _settings(row: Operation, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, Any]:
    """(the values, the attr) of an operation that has numbers beside its values; takes those out of `kwargs`."""
    if not row.settings:
        return args, None
    settings = []
    for k, setting in enumerate(row.settings, row.operands):
        given = kwargs.pop(setting.name, args[k] if len(args) > k else setting.default)
        if given is not None and not (is_number(given) and math.isfinite(given)):
            got = given if is_number(given) else getattr(given, "op", "") and "a value" or type(given).__name__
            learned = f"; for a learned one {row.learned}" if row.learned else ""
            raise CellError(
                f"{row.name}: {setting.name} must be a finite number, got {got}. Write a plain number{learned}."
            )
        if not setting.only:
            settings.append(given)
        elif given != setting.default:
            raise CellError(f"{row.name}: {setting.name} {setting.only.format(given)}")
    return args[: row.operands], row.attr(*settings) if row.attr is not None else None
