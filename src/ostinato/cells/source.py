"""The source text of a cell's equations: the faulty line for a message, the body for the documentation."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
import traceback
from collections.abc import Callable

# Set on functions made from canonical text: their errors already name the line of the text.
FROM_TEXT = "__cell_text__"


def quote(fn: Callable, number: int | None = None) -> str:
    """ "\\n  line 7: h = tanh(W.h @ h)", to end a message with; without a number, the line of the def."""
    code = getattr(fn, "__code__", None)
    if code is None or hasattr(fn, FROM_TEXT):
        return ""
    if number is None:
        number = _number(fn, ast.FunctionDef) or code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"\n  line {number}: {text}" if text else f"\n  line {number} of {code.co_filename}"


def quote_error(fn: Callable, error: BaseException) -> str:
    """The deepest line inside the equations that the error passed through; for one from outside them, their return."""
    inside = [n for f, n in traceback.walk_tb(error.__traceback__) if f.f_code is getattr(fn, "__code__", None)]
    return quote(fn, inside[-1] if inside else _number(fn, ast.Return))


def running_line(fn: Callable) -> int | None:
    """The line of the equations that is being run now; None outside of them."""
    code = getattr(fn, "__code__", None)
    frame = sys._getframe(1) if code is not None else None
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame.f_lineno if frame is not None else None


def _number(fn: Callable, kind: type[ast.stmt]) -> int | None:
    """The line of the last statement of a kind: the def itself, or its return."""
    node = definition(fn)
    if node is None:
        return None
    lines = [n.lineno for n in ast.walk(node) if isinstance(n, kind)]
    first = inspect.getsourcelines(fn)[1]
    return first + (max(lines) if kind is ast.Return else node.lineno) - 1 if lines else None


def definition(fn: Callable) -> ast.FunctionDef | None:
    """The syntax tree of the function; None where there is no source, or where it is not a `def`."""
    if hasattr(fn, FROM_TEXT):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError, RecursionError, MemoryError):  # the last two: nested too deeply
        return None
    return next((n for n in tree.body if isinstance(n, ast.FunctionDef)), None)


def typed_body(fn: Callable) -> str | None:
    """The equations as they were typed, comments included, without decorator, signature and docstring."""
    node = definition(fn)
    if node is None:
        return None
    lines = textwrap.dedent(inspect.getsource(fn)).splitlines()
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if not body or body[0].lineno == node.lineno:
        return None
    return textwrap.dedent("\n".join(lines[body[0].lineno - 1 : body[-1].end_lineno]))
