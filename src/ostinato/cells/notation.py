"""The notation: letters, tracing, and the mistakes that are refused when a cell is defined.

    W  weights on the input x             [G·H, C]      b, d  the two biases             [G·H]
    U  weights on anything from a state   [G·H, H]      p     per-unit vectors, each     [H]
    V  output projection                  [P, H]        (P = proj_size)
"""

from __future__ import annotations

import inspect
import keyword
import linecache
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import CellError
from .value import COMPARISONS, Graph, Value

LETTERS = ("W", "U", "V", "b", "d", "p")
MATRICES, VECTORS = ("W", "U", "V"), ("b", "d", "p")
RESERVED = frozenset((*LETTERS, "x", "y", "state", "self", "hx"))


class Matrix:
    """A weight that waits for its operand: `W.i`."""

    def __init__(self, letter: Letter, name: str):
        self.letter, self.name = letter, name

    def __str__(self) -> str:
        return f"{self.letter.letter}.{self.name}"

    def __matmul__(self, v: Any) -> Value:
        return self.letter.product(self, v)

    def __mul__(self, o: object) -> Value:
        raise CellError(f"{self} is a weight, not a value. Write a product with @, as in {self} @ "
                        f"{'x' if self.letter.letter == 'W' else 'h'}.")

    __add__ = __radd__ = __rmul__ = __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __neg__ = __mul__  # type: ignore[assignment]


class Letter:
    """`W`, `U`, `V`, `b`, `d` or `p` while a cell is traced. Names are kept in the order of their first use."""

    def __init__(self, graph: Graph, letter: str):
        self.graph, self.letter = graph, letter
        self.names: list[str] = []
        self._operand: dict[str, Value] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self.letter in MATRICES:
            return Matrix(self, name)
        self._use(name)
        return self.graph.make("vec", attr=(self.letter, name))

    def _use(self, name: str) -> None:
        if name not in self.names:
            self.names.append(name)

    def product(self, m: Matrix, v: Any) -> Value:
        if not isinstance(v, Value):
            raise CellError(f"{m} @ takes a value, got {v if hasattr(v, 'letter') else type(v).__name__}.")
        if v.op in COMPARISONS:
            raise CellError(f"{m} @ takes a value, got a comparison. Write where(a > b, u, v) around it.")
        if self.letter == "W" and v.op != "x":
            raise CellError(f"{m} is a weight on the input x, [units, input_size]; got a value computed from it or from "
                            f"a state. Write U.{m.name} @ (...).")
        if self.letter != "W" and v.op == "x":
            raise CellError(f"{m} @ x: {self.letter} stands before what is computed from a state. Write W.{m.name} @ x.")
        if self.letter != "W" and not _from_state(v):
            raise CellError(f"{m} @ takes something computed from a state; this depends on x alone.")
        if self._operand.setdefault(m.name, v) is not v:
            raise CellError(f"{m} is multiplied with two different values; one name is one product. "
                            f"Give the second weight a name of its own, as in {m}2.")
        self._use(m.name)
        return self.graph.make("mm", v, attr=(self.letter, m.name))


def _from_state(v: Value) -> bool:
    return v.op == "state" or any(_from_state(a) for a in v.args)


@dataclass(frozen=True)
class Trace:
    """A cell's equations as a graph. `widths[node.id]`: "H", "P", "C" or "1" (the same number for all units)."""

    graph: Graph
    output: Value
    states: tuple[str, ...]
    old: tuple[Value, ...]
    new: tuple[Value, ...]
    gates: dict[str, tuple[str, ...]]
    widths: dict[int, str]


def signature(fn: Callable, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(letters, states) of a cell's function; refuses a signature that is not `letters, x, states`."""
    parameters = list(inspect.signature(fn).parameters.values())
    for q in parameters:
        if q.kind not in (q.POSITIONAL_ONLY, q.POSITIONAL_OR_KEYWORD) or q.default is not q.empty:
            raise CellError(f"cell {name}: the argument {q} must be a plain name. Write letters, then x, then the states, "
                            "as in def lstm(W, U, b, d, x, h, c).")
    names = [q.name for q in parameters]
    if "x" not in names:
        raise CellError(f"cell {name}: an argument must be x, the input; got ({', '.join(names)}). "
                        "Write letters, then x, then the states.")
    letters, states = names[: names.index("x")], names[names.index("x") + 1 :]
    for n in letters:
        if n not in LETTERS:
            raise CellError(f"cell {name}: the arguments before x must be letters out of {', '.join(LETTERS)}, got {n}. "
                            "States stand after x.")
    for n in states:
        if n in RESERVED or keyword.iskeyword(n) or n.startswith("_"):
            raise CellError(f"cell {name}: a state must have a name of its own, got {n}, which is reserved. Write another name.")
    if not states:
        raise CellError(f"cell {name}: at least one state must stand after x, got none. Write {name}(..., x, h).")
    return tuple(letters), tuple(states)


def trace(fn: Callable, name: str, pinned: tuple[str, ...] = (), zeros: tuple[str, ...] = ()) -> Trace:
    """Runs the equations on values. `zeros`: letters that read as 0 (a layer without biases)."""
    letters, states = signature(fn, name)
    graph = Graph()
    used = {k: Letter(graph, k) for k in letters}
    arguments: dict[str, Any] = {k: _Zeros(graph.const(0.0)) if k in zeros else used[k] for k in letters}
    arguments["x"] = graph.make("x")
    old = tuple(graph.make("state", attr=s) for s in states)
    try:
        result = fn(**arguments, **dict(zip(states, old)))
    except CellError as e:
        raise CellError(f"cell {name}: {e}{_line(fn, e)}") from None
    except Exception as e:
        raise CellError(f"cell {name}: {type(e).__name__}: {e}.{_line(fn, e)}") from e
    values = list(result) if isinstance(result, tuple) else [result]
    _check_returned(fn, name, values, states)
    new = tuple(graph.lift(v, "return") for v in values[-len(states) :])
    output = graph.lift(values[0], "return")
    live = _live(output, *new)
    kept = {k: tuple(n for n in used[k].names if any(v.attr == (k, n) for v in live)) for k in letters if k not in zeros}
    for k in kept:
        if lost := set(used[k].names) - set(kept[k]):
            raise CellError(f"cell {name}: {k}.{min(lost)} is computed but what is returned does not depend on it. Remove it.")
        if not used[k].names:
            raise CellError(f"cell {name}: the letter {k} is an argument but no equation uses it. Remove it.")
    _check_order(name, pinned, kept)
    order = list(pinned or dict.fromkeys(n for k, v in kept.items() if k != "p" for n in v))
    kept = {k: tuple(sorted(v, key=lambda n: (order.index(n) if n in order else len(order), n))) for k, v in kept.items()}
    from .widths import infer

    return Trace(graph, output, states, old, new, kept, infer(name, live, states, old, new))


class _Zeros:
    def __init__(self, zero: Value):
        self._zero = zero

    def __getattr__(self, name: str) -> Value:
        return self._zero


def _check_returned(fn: Callable, name: str, values: list, states: tuple[str, ...]) -> None:
    n = len(states)
    if len(values) not in (n, n + 1):
        raise CellError(
            f"cell {name}: {n} state{'s' * (n > 1)} come{'s' * (n == 1)} in ({', '.join(states)}), {len(values)} value"
            f"{'s' * (len(values) != 1)} go{'es' * (len(values) == 1)} out. Return each state in the order of the arguments, "
            f"return {', '.join(states)}; an output that is no state stands before them.{_line(fn, None)}")
    for v in values:
        if not isinstance(v, (Value, int, float)) or (isinstance(v, Value) and v.op in COMPARISONS):
            raise CellError(f"cell {name}: what is returned must be values of the equations, got "
                            f"{'a comparison' if isinstance(v, Value) else type(v).__name__}.{_line(fn, None)}")


def _check_pinned(name: str, pinned: tuple[str, ...], gates: dict[str, tuple[str, ...]]) -> None:
    found = list(dict.fromkeys(n for k, v in gates.items() if k != "p" for n in v))
    unknown, missing = [g for g in pinned if g not in found], [g for g in found if g not in pinned]
    if unknown or missing or len(set(pinned)) != len(pinned):
        fault = f"{unknown[0]} is in no equation" if unknown else f"{missing[0]} is missing" if missing else "a name stands twice"
        raise CellError(f"cell {name}: gates must list the names of the equations, each once, got \"{' '.join(pinned)}\": {fault}. "
                        f"Write gates=\"{' '.join(found)}\" in the order you want.")


def _check_order(name: str, pinned: tuple[str, ...], gates: dict[str, tuple[str, ...]]) -> None:
    if pinned:
        return _check_pinned(name, pinned, gates)
    stacked = {k: v for k, v in gates.items() if k != "p"}
    for j, a in stacked.items():
        for k, b in stacked.items():
            common = [n for n in a if n in b]
            if common != [n for n in b if n in a]:
                order = " ".join(dict.fromkeys(n for v in stacked.values() for n in v))
                raise CellError(f"cell {name}: gates must come in one order, got {' '.join(a)} for {j} and {' '.join(b)} for {k}. "
                                f"Write @cell(gates=\"{order}\") to say how they are stacked.")


def _live(*roots: Value) -> list[Value]:
    seen: dict[int, Value] = {}
    stack = list(roots)
    while stack:
        v = stack.pop()
        if v.id not in seen:
            seen[v.id] = v
            stack.extend(v.args)
    return [seen[i] for i in sorted(seen)]


def _line(fn: Callable, error: BaseException | None) -> str:
    """The source line of the equations that is at fault, when there is source: the deepest line inside the cell."""
    code = getattr(fn, "__code__", None)
    if code is None:
        return ""
    if error is None:
        lines, first = _source(fn)
        number = next((first + k for k in range(len(lines) - 1, -1, -1) if lines[k].lstrip().startswith("return")), first)
    else:
        frames = [f for f, _ in traceback.walk_tb(error.__traceback__) if f.f_code is code]
        number = next((n for f, n in traceback.walk_tb(error.__traceback__) if f in frames), code.co_firstlineno)
    text = linecache.getline(code.co_filename, number).strip()
    return f"\n  line {number}: {text}" if text else ""


def _source(fn: Callable) -> tuple[list[str], int]:
    try:
        return inspect.getsourcelines(fn)
    except (OSError, TypeError):
        return [], 0


class TensorLetter:
    """The same letter on tensors: `W.i @ x` is x @ W_iᵀ. [B, K] -> [B, H]"""

    def __init__(self, parameters: dict[str, torch.Tensor], matrix: bool):
        self._parameters, self._matrix = parameters, matrix

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _TensorMatrix(self._parameters[name]) if self._matrix else self._parameters[name]


class _TensorMatrix:
    def __init__(self, weight: torch.Tensor):
        self._weight = weight

    def __matmul__(self, v: torch.Tensor) -> torch.Tensor:
        return v @ self._weight.t()


class ZeroLetter:
    """A bias that a layer does not have, on tensors."""

    def __init__(self, like: torch.Tensor):
        self._zero = like.new_zeros(())

    def __getattr__(self, name: str) -> torch.Tensor:
        return self._zero
