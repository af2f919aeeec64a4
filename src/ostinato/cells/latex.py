"""A cell's equations in LaTeX: the lines as typed, or the canonical ones where those are not plain equations."""

from __future__ import annotations

import ast
import inspect

from .cell import Cell
from .letters import LETTERS
from .lookup import as_cell
from .operations import OPERATIONS
from .operations.operation import ATOM, PRODUCT, SIGN, SUM
from .source import definition

_SIGNS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"}
_RELATIONS = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_DEEPEST = 100
"""How deeply typed lines may nest; the canonical lines nest less."""
_PRIMES = 9
"""Up to this many primes distinguish assignments to one name; later assignments get a number."""


class _NotPlain(Exception):
    """The typed lines are not equations alone: helpers, loops, numbers from elsewhere."""


def latex(cell: Cell | str) -> str:
    r"""An `aligned` environment, one line for each equation: h_t is new, h_{t-1} old, \odot multiplies unit by unit.

    cell  a cell, or a name of the catalogue; InputError for a name that it lacks
    """
    cell = as_cell(cell, "latex")
    typed = definition(cell.fn)
    if typed is not None and _depth(typed) <= _DEEPEST:
        try:
            return _write(typed, cell)
        except _NotPlain:
            pass
    canonical = ast.parse(cell.text).body[0]
    assert isinstance(canonical, ast.FunctionDef)
    return _write(canonical, cell)


def _depth(node: ast.AST) -> int:
    """How deeply the syntax tree of a function nests, without recursion."""
    deepest, level = 0, [node]
    while level:
        deepest, level = deepest + 1, [inner for n in level for inner in ast.iter_child_nodes(n)]
    return deepest


def _write(node: ast.FunctionDef, cell: Cell) -> str:
    writer = _Writer(cell)
    for line in node.body[1:] if ast.get_docstring(node) is not None else node.body:
        writer.statement(line)
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(writer.lines), r"\end{aligned}"])


class _Writer:
    """Follows the lines; a name that is assigned again gets a prime or a number, an assigned state becomes new."""

    def __init__(self, cell: Cell):
        self.cell = cell
        self.lines: list[str] = []
        self.now = {s: _symbol(s, "t-1") for s in cell.states} | {"x": "x_t"}
        self.times: dict[str, int] = {}

    def statement(self, line: ast.stmt) -> None:
        if isinstance(line, ast.Assign) and len(line.targets) == 1:
            names, values = _sides(line.targets[0], line.value)
            if len(names) != len(values):
                raise _NotPlain
            written = [self.expression(v) for v in values]
            for name, text in zip(names, written, strict=True):
                if not isinstance(name, ast.Name):
                    raise _NotPlain
                self.assign(name.id, text)
        elif isinstance(line, ast.Return) and line.value is not None:
            self.returned(line.value.elts if isinstance(line.value, ast.Tuple) else [line.value])
        else:
            raise _NotPlain

    def assign(self, name: str, text: str) -> None:
        times = self.times.get(name, 0)
        self.times[name] = times + 1
        primes = "'" * times if times <= _PRIMES else f"^{{({times})}}"
        self.now[name] = _symbol(name, "t", primes)
        self.lines.append(f"{self.now[name]} &= {text}")

    def returned(self, values: list[ast.expr]) -> None:
        states = list(self.cell.states)
        names = ["y", *states] if len(values) > len(states) else states
        written = [self.expression(v) for v in values]
        for name, value, text in zip(names, values, written, strict=True):
            if not (isinstance(value, ast.Name) and value.id == name and name in self.times):
                self.assign(name, text)

    def expression(self, e: ast.expr, least: int = SUM) -> str:
        text, level = self.write(e)
        return text if level >= least else rf"\left({text}\right)"

    def write(self, e: ast.expr) -> tuple[str, int]:
        """(the expression, how tightly it binds)"""
        if isinstance(e, ast.Name) and e.id in self.now:
            return self.now[e.id], ATOM
        if isinstance(e, ast.Constant) and isinstance(e.value, int | float):
            return _number(e.value), ATOM
        if isinstance(e, ast.Attribute) and isinstance(e.value, ast.Name) and e.value.id in LETTERS:
            return _symbol(e.value.id, _subscript(e.attr)), ATOM
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return f"-{self.expression(e.operand, PRODUCT)}", SIGN if isinstance(e.operand, ast.Constant) else SUM
        if isinstance(e, ast.BinOp):
            return self.operator(e)
        if isinstance(e, ast.Call):
            return self.call(e)
        raise _NotPlain

    def operator(self, e: ast.BinOp) -> tuple[str, int]:
        if isinstance(e.op, ast.MatMult):
            return f"{self.expression(e.left, ATOM)} {self.expression(e.right, ATOM)}", PRODUCT
        if type(e.op) not in _SIGNS:
            raise _NotPlain
        sign = OPERATIONS[_SIGNS[type(e.op)]].latex
        if not isinstance(sign, str):
            return sign(self.expression(e.left), self.expression(e.right)), ATOM
        if isinstance(e.op, ast.Mult):
            numbers = isinstance(e.left, ast.Constant) or isinstance(e.right, ast.Constant)
            sign = r"\cdot" if numbers else sign
            return f"{self.expression(e.left, PRODUCT)} {sign} {self.expression(e.right, SIGN)}", PRODUCT
        right = SUM if isinstance(e.op, ast.Add) else PRODUCT
        if isinstance(e.right, ast.UnaryOp):
            right = ATOM
        return f"{self.expression(e.left)} {sign} {self.expression(e.right, right)}", SUM

    def call(self, e: ast.Call) -> tuple[str, int]:
        name = e.func.attr if isinstance(e.func, ast.Attribute) else e.func.id if isinstance(e.func, ast.Name) else ""
        row = OPERATIONS.get(name)
        if row is None or not row.called:
            raise _NotPlain
        written = self.condition if row.condition else self.expression
        args = [written(a) for a in e.args[:1]] + [self.expression(a) for a in e.args[1:]]
        named = {str(k.arg): self.expression(k.value) for k in e.keywords}
        if isinstance(row.latex, str):
            if named:
                raise _NotPlain
            function = row.latex or rf"\mathrm{{{name}}}"
            return rf"{function}\left({', '.join(args)}\right)", ATOM
        try:
            inspect.signature(row.latex).bind(*args, **named)
        except TypeError:
            raise _NotPlain from None
        return row.latex(*args, **named), ATOM

    def condition(self, e: ast.expr) -> str:
        relation = _RELATIONS.get(type(e.ops[0])) if isinstance(e, ast.Compare) and len(e.ops) == 1 else None
        if relation is None:
            raise _NotPlain
        assert isinstance(e, ast.Compare)
        return f"{self.expression(e.left)} {OPERATIONS[relation].latex} {self.expression(e.comparators[0])}"


def _sides(target: ast.expr, value: ast.expr) -> tuple[list[ast.expr], list[ast.expr]]:
    """The names and the values of an assignment: i, f = a, b is two."""
    if isinstance(target, ast.Tuple):
        return target.elts, value.elts if isinstance(value, ast.Tuple) else []
    return [target], [value]


def _symbol(name: str, index: str, primes: str = "") -> str:
    """c_t, c'_t, c_{t-1}, v_{1,t}, W_i, \\mathrm{top}_t"""
    base = name.rstrip("0123456789")
    index = f"{name[len(base) :]},{index}" if len(base) < len(name) else index
    shown = base if len(base) == 1 else rf"\mathrm{{{base}}}".replace("_", r"\_")
    return f"{shown}{primes}_{index if len(index) == 1 else f'{{{index}}}'}"


def _subscript(name: str) -> str:
    return name if len(name) == 1 else rf"\mathrm{{{name}}}".replace("_", r"\_")


def _number(value: float) -> str:
    mantissa, _, exponent = repr(value).partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa
