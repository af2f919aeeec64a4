"""The notation: a cell's function traced to a graph, and the mistakes that are refused when a cell is defined.

W  weights on the input x             [G·H, C]      b, d  the two biases             [G·H]
U  weights on anything from a state   [G·H, H]      p     per-unit vectors, each     [H]
V  output projection                  [P, H]        (P = proj_size)
R, S  random numbers in [0, 1), which are no parameters: one for each unit and row, in every step or once a sequence
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import CellError
from .gate_order import gate_order, sort_names
from .letters import LETTERS, MATRICES, RANDOM, VECTORS, Letter, ZeroLetter
from .operations import COMPARISONS, OPERATIONS, known
from .source import quote, quote_error
from .value import Graph, Value, is_number
from .widths import WidthError, infer

__all__ = ["LETTERS", "MATRICES", "RESERVED", "Trace", "VECTORS", "signature", "trace"]

RESERVED = frozenset((*LETTERS, "x", "y", "state", "self", "hx"))


@dataclass(frozen=True)
class Trace:
    """A cell's equations as a graph.

    output           the output of a step; next_states[0] itself where the first state is the output
    previous_states  the states before the step, in the order of `states`
    next_states      the states after the step, in the same order
    gates            letter -> names in the order in which they are stacked
    widths           node.id -> "H", "P", "C" or "1" (the same number for all units), for the live nodes
    order            every gate's name, in the one order that all letters follow
    random           (letter, name) of each random number, in the order of drawing: R before S, then by name
    """

    graph: Graph
    output: Value
    states: tuple[str, ...]
    previous_states: tuple[Value, ...]
    next_states: tuple[Value, ...]
    gates: dict[str, tuple[str, ...]]
    widths: dict[int, str]
    order: tuple[str, ...]
    random: tuple[tuple[str, str], ...]


def signature(fn: Callable, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(letters, states) of a cell's function; refuses a signature that is not `letters, x, states`."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        raise CellError(
            f"@cell: the equations must be a function, got {type(fn).__name__}. Write @cell above a def."
        ) from None
    for q in parameters:
        if q.kind not in (q.POSITIONAL_ONLY, q.POSITIONAL_OR_KEYWORD) or q.default is not q.empty:
            raise CellError(
                f"cell {name}: the argument {q} must be a plain name. Write letters, then x, then the states, "
                "as in def lstm(W, U, b, d, x, h, c)." + quote(fn)
            )
    names = [q.name for q in parameters]
    if "x" not in names:
        raise CellError(
            f"cell {name}: an argument must be x, the input; got ({', '.join(names)}). "
            "Write letters, then x, then the states, as in def lstm(W, U, b, d, x, h, c)." + quote(fn)
        )
    letters, states = names[: names.index("x")], names[names.index("x") + 1 :]
    for n in letters:
        if n not in LETTERS:
            raise CellError(
                f"cell {name}: the arguments before x must be letters out of {' '.join(LETTERS)}, got {n}. "
                f"Write a state after x, a letter before it.{quote(fn)}"
            )
    for n in states:
        if n in RESERVED or keyword.iskeyword(n) or n.startswith("_"):
            raise CellError(
                f"cell {name}: a state must have a name of its own, got {n}, which is reserved. Write h or c."
                + quote(fn)
            )
    if not states:
        raise CellError(
            f"cell {name}: at least one state must stand after x, got none. Write {name}(..., x, h).{quote(fn)}"
        )
    return tuple(letters), tuple(states)


def trace(fn: Callable, name: str, order: tuple[str, ...] = (), zeros: tuple[str, ...] = ()) -> Trace:
    """Traces the equations to a graph. `zeros`: letters that read as 0 (a layer without biases)."""
    letters, states = signature(fn, name)
    graph = Graph(fn)
    used = {k: Letter(graph, k) for k in letters}
    arguments: list[Any] = [ZeroLetter(graph.const(0.0)) if k in zeros else used[k] for k in letters]
    x = graph.make("x")
    old = tuple(graph.make("state", attr=s) for s in states)
    graph.open = True
    try:
        result = fn(*arguments, x, *old)
        values = list(result) if isinstance(result, tuple) else [result]
        _check_returned(values, states)
        results = [graph.lift(v, "return") for v in values]
    except CellError as e:
        raise CellError(f"cell {name}: {e}{quote_error(fn, e)}") from None
    except Exception as e:
        raise CellError(f"cell {name}: {_from_torch(e)}{quote_error(fn, e)}") from e
    finally:
        graph.open = False
    new, output = tuple(results[-len(states) :]), results[0]
    live = _live(output, *new)
    parameters = {v.attr for v in live if v.op in ("mm", "vec", "random")}
    kept = {k: tuple(used[k].names) for k in LETTERS if k in letters and k not in zeros}
    for k, names in kept.items():
        if not names:
            raise CellError(
                f"cell {name}: the letter {k} is an argument but no equation uses it. Leave it out.{quote(fn)}"
            )
        for v in graph.nodes:
            if v.op in ("mm", "vec", "random") and v.attr[0] == k and v.attr not in parameters:
                raise CellError(
                    f"cell {name}: {k}.{v.attr[1]} is computed but nothing that is returned depends on it. "
                    f"Remove it.{quote(fn, graph.lines.get(v.id))}"
                )
    random = tuple((k, n) for k in RANDOM for n in sorted(kept.pop(k, ())))
    try:
        gates = gate_order(order, kept)
    except CellError as e:
        raise CellError(f"cell {name}: {e}{quote(fn)}") from None
    try:
        widths = infer(live, old, new)
    except WidthError as e:
        raise CellError(f"cell {name}: {e}{quote(fn, graph.lines.get(e.node.id))}") from None
    return Trace(graph, output, states, old, new, sort_names(kept, gates), widths, gates, random)


def _from_torch(error: Exception) -> str:
    """The message of Python or torch in one line, with a remedy where torch refused an operation."""
    said = str(error).splitlines()[0] if str(error) else ""
    called = said.partition("()")[0] if isinstance(error, TypeError) else ""
    row = OPERATIONS.get(called)
    if isinstance(error, NameError):
        remedy = " Write names of letters, states and values that stand above."
    elif row is not None and row.remedy:
        remedy = f" {row.remedy}"
    else:
        remedy = f" Write the values by position; known: {known()}." if called in known().split() else ""
    return f"{type(error).__name__}: {said.rstrip('.:')}.{remedy}"


def _check_returned(values: list, states: tuple[str, ...]) -> None:
    n, m = len(states), len(values)
    returned = ", ".join(states)
    if m == 1 and values[0] is None:
        raise CellError(f"the equations return nothing. Write return {returned} as the last line.")
    if m == 1 and isinstance(values[0], list):
        raise CellError(f"the equations return a list. Write return {returned}, without brackets.")
    if m not in (n, n + 1):
        raise CellError(
            f"{n} state{'s come' if n > 1 else ' comes'} in ({returned}), "
            f"{m} value{'s go' if m != 1 else ' goes'} out. Write return {returned}, each state in the order of the "
            "arguments; an output that is no state stands before them."
        )
    for v in values:
        if isinstance(v, Value) and v.op in COMPARISONS:
            raise CellError(
                "what is returned must be values of the equations, got a comparison. Write where(a > b, u, v)."
            )
        if not isinstance(v, Value) and not is_number(v):
            got = v if getattr(v, "is_letter", False) else type(v).__name__
            raise CellError(f"what is returned must be values of the equations, got {got}. Write return {returned}.")


def _live(*roots: Value) -> list[Value]:
    seen: dict[int, Value] = {}
    stack = list(roots)
    while stack:
        v = stack.pop()
        if v.id not in seen:
            seen[v.id] = v
            stack.extend(v.args)
    return [seen[i] for i in sorted(seen)]
