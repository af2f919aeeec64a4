"""Weights as tiles read them: packed anew in every call, so that no write to a weight is ever missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..cells import Cell
from .code import Code, Int, Ptr
from .plan import Product, Step
from .product import Products
from .tiles import depth, pack_panel
from .vector import Frame


def emit_packing(
    code: Code,
    f: Frame,
    cell: Cell,
    step: Step,
    products: Products,
    numbered: Sequence[tuple[int, Product]],
    part: Int,
    parts: Int,
) -> None:
    """Every `parts`-th block of units of every product, and all vectors in part 0."""
    n = products.lanes
    for number, p in numbered:
        width, room = f.size(p.width), p.span * n
        with code.range(width.over(room), part, parts) as block:
            first = block * room
            here = (width - first).least(room)
            panel = f.pointer(f"panel_{number}").at(block * depth(f, p) * (p.columns * n))
            start = f.pointer(f"bias_{number}").at(block * (p.columns * n))
            _starts(code, f, cell, products, p, first, here, start)
            if p.transposed:
                with code.when(code.builder.and_(f["direct"] <= 0, f["once"] <= 0)):
                    pack_panel(code, f, products, cell, p, block, panel)
            else:
                with code.when(code.builder.or_(f["direct"] <= 0, here < room)):
                    for q in p.parts:
                        for letter, name in q.weights:
                            k = f.size(q.depth)
                            m = f.pointer("weight_" + letter).at(k * width * cell.place[letter, name] + first)
                            code.call(products.pack_rows(), m, width, k, here, panel, p.columns * n, room)
                            panel = panel.at(k * (p.columns * n))
    widths = {s.name: s.width for s in step.leaves.values() if s.kind == "vector"}
    with code.when(part.equals(0)):
        for name in vectors(step):
            source, width = vector_source(f, cell, name, f.size(widths[name]))
            code.call(products.pack_rows(), source, 0, 1, width, f.pointer("vector_" + name), 0, f.pad(widths[name]))


def vectors(step: Step) -> list[str]:
    """The per-unit vectors that a step reads by themselves, sorted."""
    started = Counter(i for dropped in step.dropped.values() for i in dropped)
    read = {v.id for v in step.nodes if step.uses.get(v.id, 0) > started[v.id]}
    return sorted({s.name for i, s in step.leaves.items() if s.kind == "vector" and i in read})


def vector_source(f: Frame, cell: Cell, name: str, width: Int) -> tuple[Ptr, Int]:
    letter, gate = name.split(".")
    if letter == "p":
        return f.pointer("weight_" + name), width
    return f.pointer("weight_" + letter).at(width * cell.place[letter, gate]), width


def _starts(
    code: Code, f: Frame, cell: Cell, products: Products, p: Product, first: Int, here: Int, start: Ptr
) -> None:
    n, zero = products.lanes, code.lanes.zero
    for g, bias in enumerate(p.starts):
        to = start.at(g * p.span * n)
        if bias is None:
            for v in range(p.span):
                to.at(v * n).set_vector(zero)
        else:
            source, _ = vector_source(f, cell, f"{bias[0]}.{bias[1]}", f.size(p.width))
            code.call(products.pack_rows(), source.at(first), 0, 1, here, to, 0, p.span * n)
