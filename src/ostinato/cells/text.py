"""A cell as text and back. The text is canonical: two cells with the same equations, roles and order have the same body.

It is valid Python, but it is read by a walk over its syntax tree, never executed: a weight file or an exported program
that carries a cell can do nothing but name operations of the notation.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ..errors import CellError
from .notation import Trace
from .value import Value, mean

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_NAMED = ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "exp", "log", "sqrt", "mean")
_FUNCTIONS: dict[str, Callable] = {
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "leaky_relu": functional.leaky_relu,
    "softplus": functional.softplus, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "minimum": torch.minimum,
    "maximum": torch.maximum, "clamp": torch.clamp, "where": torch.where, "mean": mean}
_OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.Div: lambda a, b: a / b,
    ast.Lt: lambda a, b: a < b, ast.LtE: lambda a, b: a <= b, ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b,
    ast.MatMult: lambda a, b: a @ b}


def body(t: Trace) -> str:
    """The equations, one line for each function and each value that is read more than once, then the return."""
    uses: dict[int, int] = {}
    roots = (t.output, *t.new) if t.output is not t.new[0] else t.new
    for v in t.graph.nodes:
        if v.id in t.widths:
            for a in v.args:
                uses[a.id] = uses.get(a.id, 0) + 1
    for v in roots:
        uses[v.id] = uses.get(v.id, 0) + 1
    names: dict[int, str] = {}
    lines: list[str] = []

    def show(v: Value) -> str:
        if v.id in names:
            return names[v.id]
        if v.op == "x" or v.op == "state":
            return v.attr or "x"
        if v.op == "const":
            return repr(v.attr)
        if v.op == "vec":
            return f"{v.attr[0]}.{v.attr[1]}"
        if v.op == "mm":
            return f"({v.attr[0]}.{v.attr[1]} @ {show(v.args[0])})"
        inner = [show(a) for a in v.args]
        if v.op in _INFIX:
            return f"({inner[0]} {_INFIX[v.op]} {inner[1]})"
        if v.op == "neg":
            return f"(-{inner[0]})"
        if v.op == "leaky_relu":
            inner.append(f"negative_slope={v.attr!r}")
        if v.op == "clamp":
            inner += [f"{k}={b!r}" for k, b in zip(("min", "max"), v.attr) if abs(b) != float("inf")]
        return f"{v.op}({', '.join(inner)})"

    for v in t.graph.nodes:
        if v.id in t.widths and v.args and (uses.get(v.id, 0) > 1 or v.op in _NAMED):
            text = show(v)
            names[v.id] = f"v{len(names) + 1}"
            lines.append(f"    {names[v.id]} = {text.removeprefix('(').removesuffix(')') if text[0] == '(' else text}")
    lines.append(f"    return {', '.join(show(v) for v in roots)}")
    return "\n".join(lines)


def parse(text: str) -> tuple[str, Callable, dict[str, Any]]:
    """(name, the equations as a function on values or tensors, the decorator's arguments) of a canonical text."""
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        raise CellError(f"a cell's text must be equations in Python's syntax, got line {e.lineno}: {e.msg}.") from None
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise CellError("a cell's text must be one function, got something else. Write what str(cell.text) gives.")
    node = tree.body[0]
    settings: dict[str, Any] = {}
    for d in node.decorator_list:
        if isinstance(d, ast.Call):
            settings.update({k.arg: ast.literal_eval(k.value) for k in d.keywords if k.arg})
    names = [a.arg for a in node.args.args]

    def equations(**arguments: Any) -> Any:
        scope = dict(arguments)
        for line in node.body:
            if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
                scope[line.targets[0].id] = _value(line.value, scope)
            elif isinstance(line, ast.Return) and line.value is not None:
                return _value(line.value, scope)
            else:
                raise CellError(f"line {line.lineno}: a cell's text holds assignments and one return.")
        raise CellError("a cell's text must end with a return.")

    import inspect

    equations.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in names])
    equations.__name__ = node.name
    return node.name, equations, settings


def _value(e: ast.expr, scope: dict[str, Any]) -> Any:
    if isinstance(e, ast.Name) and e.id in scope:
        return scope[e.id]
    if isinstance(e, ast.Constant) and isinstance(e.value, (int, float)):
        return e.value
    if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name) and not e.attr.startswith("_"):
        return getattr(_value(e.value, scope), e.attr)
    if isinstance(e, ast.BinOp) and type(e.op) in _OPERATORS:
        return _OPERATORS[type(e.op)](_value(e.left, scope), _value(e.right, scope))
    if isinstance(e, ast.Compare) and len(e.ops) == 1 and type(e.ops[0]) in _OPERATORS:
        return _OPERATORS[type(e.ops[0])](_value(e.left, scope), _value(e.comparators[0], scope))
    if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
        return -_value(e.operand, scope)
    if isinstance(e, ast.Tuple):
        return tuple(_value(v, scope) for v in e.elts)
    if isinstance(e, ast.Call) and isinstance(e.func, ast.Name) and e.func.id in _FUNCTIONS:
        return _FUNCTIONS[e.func.id](*[_value(a, scope) for a in e.args],
                                     **{k.arg: _value(k.value, scope) for k in e.keywords if k.arg})
    raise CellError(f"line {e.lineno}: {ast.unparse(e)} is not part of the notation.")
