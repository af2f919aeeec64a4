"""How wide each value of a cell is: H (hidden_size), P (proj_size, where there is a V), C (the input) or 1.

A value of width 1, a mean over the units, is the same number for every unit.
"""

from __future__ import annotations

from ..errors import CellError
from .value import Value

_WORDS = {"H": "hidden_size", "P": "proj_size"}


def infer(name: str, live: list[Value], old: tuple[Value, ...], new: tuple[Value, ...]) -> dict[int, str]:
    """The width of each live node; refuses sums of unlike widths.

    A mean belongs to the units that it is taken over: it may stand only among values of that width, since its gradient
    is spread over the same units. Numbers go with every width.
    """
    parent: dict[int, int] = {}
    width: dict[int, str] = {}
    numbers: set[int] = set()
    single: set[int] = set()

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            i = parent[i]
        return i

    def refuse(v: Value, a: str, b: str) -> None:
        if a != b:
            raise CellError(
                f"cell {name}: {_say(v)} has {_WORDS[a]} entries in one place and {_WORDS[b]} in another. "
                "Only V.name @ (...) leads from hidden_size to proj_size, only U.name @ (...) back."
            )

    def give(v: Value, w: str) -> None:
        refuse(v, width.setdefault(root(v.id), w), w)

    def unify(a: Value, b: Value) -> None:
        ra, rb = root(a.id), root(b.id)
        if ra != rb:
            if ra in width:
                refuse(b if a.op not in ("state", "vec") else a, width.setdefault(rb, width[ra]), width[ra])
            parent[ra] = rb

    for v in live:
        if v.op == "mm":
            give(v, "P" if v.attr[0] == "V" else "H")
            if v.attr[0] == "V":
                give(v.args[0], "H")
        elif v.op == "const" or (v.args and all(a.id in numbers for a in v.args)):
            numbers.add(v.id)
        else:
            if v.op == "mean" or (v.args and all(a.id in single or a.id in numbers for a in v.args)):
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
    _check_products(name, live, widths)
    return widths


def _check_products(name: str, live: list[Value], widths: dict[int, str]) -> None:
    for v in live:
        if v.op == "mm" and widths[v.args[0].id] == "1":
            raise CellError(
                f"cell {name}: {_say(v)} @ takes a value with an entry for each unit, got a mean over the units, one "
                "number. Write p.name * mean(...), or the product without the mean."
            )
        if v.op == "vec" and v.attr[0] in "bd" and widths[v.id] != "H":
            raise CellError(f"cell {name}: {_say(v)} stands where proj_size entries are. Write p.{v.attr[1]}.")
    if len({widths[v.args[0].id] for v in live if v.op == "mm" and v.attr[0] == "U"}) > 1:
        raise CellError(
            f"cell {name}: some U products read proj_size entries and some hidden_size; one weight_hh holds them. "
            "Write V.name @ (...) for what is projected, and U on values of one width only."
        )


def _say(v: Value) -> str:
    if v.op in ("mm", "vec"):
        return f"{v.attr[0]}.{v.attr[1]}"
    return f"the state {v.attr}" if v.op == "state" else f"a value ({v.op})"
