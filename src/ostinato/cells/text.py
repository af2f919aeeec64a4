"""A cell as text and back. The text is canonical: cells with the same equations, roles and order have the same body.

It is valid Python, but it is read by a walk over its syntax tree, never executed: a weight file or an exported program
that carries a cell can do nothing but name operations of the notation.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import count
from typing import Any, NoReturn

from ..errors import CellError
from .letters import LETTERS
from .operations import COMPARISONS, OPERATIONS, OWN_LINE
from .operations.operation import ATOM, COMPARISON, PRODUCT, SIGN
from .source import FROM_TEXT
from .tracing import Trace
from .value import Value, is_number

_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.MatMult: lambda a, b: a @ b,
}
_DEEPEST = 48
"""How deeply operations nest in one expression, so that Python's parser and every walk over its tree come through.
Equations by hand nest far less deeply; cells are known by their text, so another number makes another cell of some."""
_LONG = 512
"""Operations of a formula that is still written as one expression."""


def body(t: Trace) -> str:
    """The equations, one line for each function and each value that is read more than once, then the return."""
    roots = (t.output, *t.next_states) if t.output is not t.next_states[0] else t.next_states
    lines, texts = _lines(roots, {}, t.states)
    return "\n".join([f"    {name} = {text}" for name, text in lines] + [f"    return {', '.join(texts)}"])


def formula(v: Value, known: Mapping[int, str]) -> str:
    """A value in the notation; node.id -> its name, for values that have one.

    One expression while it is short; then shared values get names too: "v2 * v2; v1 = tanh(h); v2 = v1 + ...".
    """
    if is_short(v, known):
        return expression(v, known)
    nodes = _reached([v], known)
    taken = {*known.values(), *(a.attr for a in nodes if a.op == "state")}
    lines, texts = _lines([v], known, taken)
    return "; ".join([*texts, *(f"{name} = {text}" for name, text in lines)])


def is_short(v: Value, known: Mapping[int, str]) -> bool:
    """Whether `expression` writes the value in a moderate number of operations, counted each time they are written."""
    size: dict[int, int] = {}
    depth: dict[int, int] = {}
    for a in _reached([v], known):
        inner = [] if a.id in known else _operands(a)
        size[a.id] = min(1 + sum(size[i.id] for i in inner), _LONG + 1)
        depth[a.id] = max((depth[i.id] + 1 for i in inner), default=0)
    return size[v.id] <= _LONG and depth[v.id] <= _DEEPEST


def _lines(
    roots: Sequence[Value], known: Mapping[int, str], taken: Container[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """(name and text of each value that gets a line, in the order of their making; the texts of the roots)."""
    live = _reached(roots, known)
    with_line = _with_line(live, roots, known)
    names, lines = dict(known), []
    free = (name for name in map("v{}".format, count(1)) if name not in taken)
    for v in live:
        if v.id in with_line:
            text = expression(v, names)
            names[v.id] = next(free)
            lines.append((names[v.id], text))
    return lines, [expression(v, names) for v in roots]


def _with_line(live: list[Value], roots: Sequence[Value], known: Mapping[int, str]) -> set[int]:
    """The values that get a line: functions, what is read more than once, and what an expression would nest too deeply.

    A comparison gets none. It is written wherever it is read, so its operands get one where that would be long.
    """
    uses = Counter(v.id for v in (*roots, *(a for reader in live if reader.id not in known for a in _operands(reader))))
    own_lines: set[int] = set()
    depth: dict[int, int] = {}
    size: dict[int, int] = {}
    for v in live:
        inner = () if v.id in known else _operands(v)
        depth[v.id] = max((depth[a.id] + 1 for a in inner), default=0)
        size[v.id] = 1 + sum(size[a.id] for a in inner)
        if v.op in COMPARISONS:
            if uses[v.id] > 1 and size[v.id] > _DEEPEST:
                own_lines.update(a.id for a in inner if a.args and a.id not in known)
                depth[v.id], size[v.id] = 1, 3
        elif inner and (uses[v.id] > 1 or v.op in OWN_LINE or depth[v.id] > _DEEPEST):
            own_lines.add(v.id)
            depth[v.id], size[v.id] = 0, 1
    return own_lines


def _operands(v: Value) -> tuple[Value, ...]:
    """The operands in the text of an operation; that of norm has the value alone, without its mean and deviation."""
    row = OPERATIONS.get(v.op)
    return v.args if row is None else v.args[: row.operands]


def _reached(roots: Sequence[Value], known: Container[int] = ()) -> list[Value]:
    """The nodes that the text has a place for, in the order of their making; `known` ones without what they read."""
    seen: dict[int, Value] = {}
    stack = list(roots)
    while stack:
        v = stack.pop()
        if v.id not in seen:
            seen[v.id] = v
            stack.extend(() if v.id in known else _operands(v))
    return [seen[i] for i in sorted(seen)]


def expression(v: Value, names: Mapping[int, str], least: int = COMPARISON) -> str:
    """A value in the notation; node.id -> what to write instead, for values that have a name.

    least  the precedence below which the text is put in parentheses
    """
    if v.id in names:
        return names[v.id]
    row, level = OPERATIONS.get(v.op), ATOM
    if row is not None:
        level = row.precedence
    elif v.op == "mm":
        level = PRODUCT
    elif v.op == "const" and math.copysign(1, v.attr) < 0:
        level = SIGN
    text = _write(v, names)
    return text if level >= least else f"({text})"


def _write(v: Value, names: Mapping[int, str]) -> str:
    if v.op in ("x", "state"):
        return v.attr or "x"
    if v.op == "const":
        whole = v.attr.is_integer() and abs(v.attr) < 1e6 and repr(v.attr) != "-0.0"
        return repr(int(v.attr) if whole else v.attr)
    if v.op in ("vec", "random"):
        return f"{v.attr[0]}.{v.attr[1]}"
    if v.op == "mm":
        return f"{v.attr[0]}.{v.attr[1]} @ {expression(v.args[0], names, SIGN)}"
    row = OPERATIONS.get(v.op)  # a gradient has nodes besides, which only messages write
    if row is not None and row.symbol:
        left, right = expression(v.args[0], names, row.precedence), expression(v.args[1], names, row.precedence + 1)
        return f"{left} {row.symbol} {right}"
    if row is not None and row.prefix:
        return f"{row.prefix}{expression(v.args[0], names, row.precedence)}"
    inner = [expression(a, names) for a in _operands(v)]
    if row is not None:
        inner += row.arguments(v.attr)
    return f"{v.op}({', '.join(inner)})"


def parse(text: str) -> tuple[str, Callable, dict[str, Any]]:
    """(name, the equations as a function on values or tensors, the decorator's arguments) of a cell's text."""
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        raise CellError(f"a cell's text must be equations in Python's syntax, got line {e.lineno}: {e.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as e:
        raise CellError(
            f"a cell's text must be equations in Python's syntax, got what its parser refuses: {e}."
        ) from None
    if len(tree.body) != 1 or not isinstance(node := tree.body[0], ast.FunctionDef):
        got = " and ".join(type(n).__name__ for n in tree.body[:3]) or "nothing"
        raise CellError(f"a cell's text must be one def, got {got}. Write what cell.text gives.")
    lines = text.splitlines()

    def refuse(e: ast.AST, message: str) -> NoReturn:
        n = getattr(e, "lineno", node.lineno)
        raise CellError(f"{message}\n  line {n}: {lines[n - 1].strip()}")

    settings = _decorator(node, refuse)
    names = _arguments(node, refuse)
    _check_lines(node, refuse)

    def equations(*args: Any, **more: Any) -> Any:
        scope = {**dict(zip(names, args, strict=False)), **more}
        letters = {k: v for k, v in scope.items() if k in LETTERS}
        x = scope["x"]
        lift = x.graph.const if isinstance(x, Value) else x.new_tensor
        for line in node.body:
            try:
                value = _evaluate(line.value, scope, letters, lift)  # type: ignore[attr-defined]
            except RecursionError:
                refuse(line, "the expression is nested too deeply. Write several lines.")
            except CellError as e:
                refuse(line, str(e))
            if isinstance(line, ast.Return):
                return value
            scope[line.targets[0].id] = value  # type: ignore[attr-defined]

    equations.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names]
    )
    equations.__name__ = node.name
    setattr(equations, FROM_TEXT, text)
    return node.name, equations, settings


def _decorator(node: ast.FunctionDef, refuse: Callable[[ast.AST, str], NoReturn]) -> dict[str, Any]:
    """The settings of the decorator; the only one allowed is @cell, or @cell(...) with constants."""
    settings: dict[str, Any] = {}
    for d in node.decorator_list:
        call = d.func if isinstance(d, ast.Call) else d
        if not (isinstance(call, ast.Name) and call.id == "cell") or len(node.decorator_list) > 1:
            refuse(d, f"a cell's text has one decorator, @cell(...), got @{ast.unparse(call)}. Remove it.")
        for k in d.keywords if isinstance(d, ast.Call) else ():
            if k.arg not in ("forget", "input", "init", "gates"):
                refuse(d, f"a cell's text knows gates, forget, input and init, got {k.arg or '**'}. Remove it.")
            try:
                settings[k.arg] = ast.literal_eval(k.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                refuse(
                    d, f"{k.arg} must be a constant, got {ast.unparse(k.value)}. Write the words or numbers themselves."
                )
        if isinstance(d, ast.Call) and d.args:
            refuse(
                d, f"@cell takes named settings, got {ast.unparse(d.args[0])}. Write gates=, forget=, input= or init=."
            )
    return settings


def _arguments(node: ast.FunctionDef, refuse: Callable[[ast.AST, str], NoReturn]) -> list[str]:
    a = node.args
    if a.posonlyargs or a.kwonlyargs or a.vararg or a.kwarg or a.defaults or node.returns:
        refuse(
            node,
            "a cell's text takes plain arguments. Write letters, then x, then the states, without defaults or stars.",
        )
    if any(q.annotation for q in a.args):
        refuse(node, "a cell's text takes plain arguments. Write them without annotations.")
    names = [q.arg for q in a.args]
    if "x" not in names:
        refuse(
            node, f"an argument must be x, the input; got ({', '.join(names)}). Write letters, then x, then the states."
        )
    return names


def _check_lines(node: ast.FunctionDef, refuse: Callable[[ast.AST, str], NoReturn]) -> None:
    """Assignments to plain names, then one return."""
    for k, line in enumerate(node.body):
        last = k == len(node.body) - 1
        if isinstance(line, ast.Return) and line.value is not None and last:
            return
        target = line.targets[0] if isinstance(line, ast.Assign) and len(line.targets) == 1 else None
        if not isinstance(target, ast.Name):
            refuse(line, "a cell's text holds lines name = ... and then one return. Write no other statements.")
        if target.id in LETTERS or target.id == "x":
            refuse(line, f"{target.id} is a letter or the input and cannot be assigned. Write another name.")
    refuse(
        node.body[-1], "a cell's text must end with a return. Write return h, the states in the order of the arguments."
    )


def _evaluate(e: ast.expr, scope: dict[str, Any], letters: dict[str, Any], lift: Callable[[float], Any]) -> Any:
    """The value of an expression. Names, numbers, letters' names, operators and functions of the notation."""

    def value(inner: ast.expr) -> Any:
        return _evaluate(inner, scope, letters, lift)

    if isinstance(e, ast.Name) and e.id in scope:
        return scope[e.id]
    if isinstance(e, ast.Constant) and type(e.value) in (int, float):
        return e.value
    if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name) and e.value.id in letters:
        return getattr(letters[e.value.id], _plain(e.attr))
    if isinstance(e, ast.BinOp) and type(e.op) in _OPERATORS:
        a, b = value(e.left), value(e.right)
        return _OPERATORS[type(e.op)](lift(a) if is_number(a) and is_number(b) else a, b)
    if isinstance(e, ast.Compare) and len(e.ops) == 1 and type(e.ops[0]) in _OPERATORS:
        a, b = value(e.left), value(e.comparators[0])
        return _OPERATORS[type(e.ops[0])](lift(a) if is_number(a) and is_number(b) else a, b)
    if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
        return -value(e.operand)
    if isinstance(e, ast.Tuple) and not any(isinstance(v, ast.Starred) for v in e.elts):
        return tuple(value(v) for v in e.elts)
    if isinstance(e, ast.Call) and isinstance(e.func, ast.Name) and all(k.arg for k in e.keywords):
        row = OPERATIONS.get(e.func.id)
        if row is not None and row.called:
            args = [value(a) for a in e.args]
            args[: row.operands] = [lift(a) if is_number(a) else a for a in args[: row.operands]]
            more = {str(k.arg): value(k.value) for k in e.keywords}
            if not row.own and args and all(isinstance(a, Value) for a in args[: row.operands]):
                # Not through torch's function: inside of a tensor subclass torch asks no class, and refuses a Value.
                return args[0].graph.call(row.name, tuple(args), more)
            return row.function(*args, **more)
    raise CellError(f"{ast.unparse(e)} is not part of the notation.")


def _plain(name: str) -> str:
    if name.startswith("_"):
        raise CellError(f"a name must be a plain word that does not begin with _, got {name}. Write another.")
    return name
