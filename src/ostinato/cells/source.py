"""Where a cell's equations stand in a file: the line at fault for a message, the body for the documentation."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable

# Set on functions that were read from canonical text: their errors name the text's own line already.
FROM_TEXT = "__cell_text__"


def line_at_fault(fn: Callable, error: BaseException | None) -> str:
    """ "\\n  line 7: h = tanh(W.h @ h)", the deepest line inside the equations; without an error, their return."""
    code = getattr(fn, "__code__", None)
    if code is None or hasattr(fn, FROM_TEXT):
        return ""
    if error is None:
        lines, first = _lines(fn)
        returns = [first + k for k, line in enumerate(lines) if line.lstrip().startswith("return")]
        number = returns[-1] if returns else first
    else:
        inside = [n for f, n in traceback.walk_tb(error.__traceback__) if f.f_code is code]
        number = inside[-1] if inside else code.co_firstlineno
    text = linecache.getline(code.co_filename, number).strip()
    return f"\n  line {number}: {text}" if text else f"\n  line {number} of {code.co_filename}"


def _lines(fn: Callable) -> tuple[list[str], int]:
    try:
        return inspect.getsourcelines(fn)
    except (OSError, TypeError):
        return [], fn.__code__.co_firstlineno


def definition(fn: Callable) -> ast.FunctionDef | None:
    """The syntax tree of the function as it was typed; None where there is no source or it is no `def`."""
    if hasattr(fn, FROM_TEXT):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, TypeError, SyntaxError):
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
