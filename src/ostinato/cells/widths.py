"""How wide each value of a cell is: H (hidden_size), P (proj_size, where there is a V), C (the input) or 1.

A value of width 1, a mean over the units, is the same number for every unit.
"""

from __future__ import annotations

from ..errors import CellError
from .operations import MEANS
from .value import Value


class WidthError(CellError):
    """A value is combined with values of another width; `node` is the value."""

    def __init__(self, message: str, node: Value):
        super().__init__(message)
        self.node = node


_WORDS = {"H": "hidden_size", "P": "proj_size"}


def infer(live: list[Value], old: tuple[Value, ...], new: tuple[Value, ...]) -> dict[int, str]:
    """The width of each live node; refuses sums of unlike widths.

    A mean may be combined only with values of the width that it is taken over, since its gradient is distributed over
    the same units. A number may be combined with any width.
    """
    parent: dict[int, int] = {}
    width: dict[int, str] = {}
    numbers: set[int] = set()
    single: set[int] = set()

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = i = parent[parent[i]]  # path halving
        return i

    def refuse(v: Value, at: Value, a: str, b: str) -> None:
        if a != b:
            raise WidthError(
                f"{_say(v)} has {_WORDS[a]} entries in one place and {_WORDS[b]} in another. "
                "Write V.name @ (...) to go from hidden_size to proj_size, U.name @ (...) to go back.",
                at,
            )

    def give(v: Value, w: str) -> None:
        refuse(v, v, width.setdefault(root(v.id), w), w)

    def unify(a: Value, b: Value) -> None:
        ra, rb = root(a.id), root(b.id)
        if ra != rb:
            if ra in width:
                refuse(a if a.op in ("state", "vec") else b, b, width.setdefault(rb, width[ra]), width[ra])
            parent[ra] = rb

    for v in live:
        if v.op == "mm":
            give(v, "P" if v.attr[0] == "V" else "H")
            if v.attr[0] == "V":
                give(v.args[0], "H")
        elif v.op == "const" or (v.args and all(a.id in numbers for a in v.args)):
            numbers.add(v.id)
        else:
            if v.op in MEANS or (v.args and all(a.id in single or a.id in numbers for a in v.args)):
                single.add(v.id)
            for a in v.args:
                if a.id not in numbers:
                    unify(a, v)
    for o, n in zip(old, new, strict=True):
        if n.id not in numbers:
            unify(o, n)
    widths = {
        v.id: "1" if v.id in single or v.id in numbers else width.get(root(v.id), "H") for v in live if v.op != "x"
    }
    widths.update({v.id: "C" for v in live if v.op == "x"})
    for o in old:
        widths.setdefault(o.id, width.get(root(o.id), "H"))
    _check_products(live, widths)
    return widths


def _check_products(live: list[Value], widths: dict[int, str]) -> None:
    first: dict[str, Value] = {}
    for v in live:
        if v.op == "vec" and v.attr[0] in "bd" and widths[v.id] != "H":
            raise WidthError(f"{_say(v)} stands where proj_size entries are. Write p.{v.attr[1]}.", v)
        if v.op != "mm":
            continue
        w = widths[v.args[0].id]
        if w == "1":
            raise WidthError(
                f"{_say(v)} @ takes a value with an entry for each unit, got a mean over the units, one number. "
                "Write p.name * mean(...), or the product without the mean.",
                v,
            )
        if v.attr[0] == "U" and widths[first.setdefault("U", v).args[0].id] != w:
            raise WidthError(
                f"{_say(first['U'])} reads {_WORDS[widths[first['U'].args[0].id]]} entries and {_say(v)} {_WORDS[w]}; "
                "one weight_hh holds both. Write U on values of one width only.",
                v,
            )


def _say(v: Value) -> str:
    if v.op in ("mm", "vec", "random"):
        return f"{v.attr[0]}.{v.attr[1]}"
    return f"the state {v.attr}" if v.op == "state" else f"a value ({v.op})"
