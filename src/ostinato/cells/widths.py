"""How wide each value of a cell is: H (hidden_size), P (proj_size, where there is a V), C (the input) or 1.

A value of width 1, a mean over the units, is the same number for every unit.
"""

from __future__ import annotations

from ..errors import CellError
from .value import Value


def infer(name: str, live: list[Value], states: tuple[str, ...], old: tuple[Value, ...], new: tuple[Value, ...]) -> dict[int, str]:
    """The width of each live node; refuses sums of unlike widths."""
    parent: dict[int, int] = {}
    width: dict[int, str] = {}
    scalar: set[int] = set()

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            i = parent[i]
        return i

    def give(v: Value, w: str) -> None:
        r = root(v.id)
        if width.setdefault(r, w) != w:
            raise CellError(f"cell {name}: {_say(v)} has {_WORDS[width[r]]} entries in one place and {_WORDS[w]} in another. "
                            "Only V.name @ (...) leads from hidden_size to proj_size, only U.name @ (...) back.")

    def unify(a: Value, b: Value) -> None:
        ra, rb = root(a.id), root(b.id)
        if ra != rb:
            wa, wb = width.get(ra), width.get(rb)
            parent[ra] = rb
            if wa is not None:
                if wb is not None:
                    give(b, wa)
                width[rb] = wa

    for v in live:
        if v.op == "mm":
            give(v, "P" if v.attr[0] == "V" else "H")
            if v.attr[0] == "V":
                give(v.args[0], "H")
        elif v.op == "x":
            give(v, "C")
        elif v.op in ("const", "mean") or (v.args and all(a.id in scalar for a in v.args)):
            scalar.add(v.id)
        elif v.args:
            for a in v.args:
                if a.id not in scalar:
                    unify(a, v)
    for o, n in zip(old, new):
        if n.id not in scalar:
            unify(o, n)
    widths = {v.id: "1" if v.id in scalar else width.get(root(v.id), "H") for v in live}
    for o in old:
        widths.setdefault(o.id, width.get(root(o.id), "H"))
    operands = {widths[v.args[0].id] for v in live if v.op == "mm" and v.attr[0] == "U"}
    if len(operands) > 1:
        raise CellError(f"cell {name}: some U products read proj_size entries and some hidden_size; "
                        "they are stacked in one weight_hh. Use V for what is projected, U for one width only.")
    for v in live:
        if v.op == "vec" and v.attr[0] in "bd" and widths[v.id] != "H":
            raise CellError(f"cell {name}: {v.attr[0]}.{v.attr[1]} stands where proj_size entries are. Write p.{v.attr[1]}.")
    return widths


_WORDS = {"H": "hidden_size", "P": "proj_size", "C": "input_size"}


def _say(v: Value) -> str:
    return f"{v.attr[0]}.{v.attr[1]}" if isinstance(v.attr, tuple) and isinstance(v.attr[0], str) else (v.attr or v.op)
