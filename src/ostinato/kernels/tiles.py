"""A tile of a step's product, wherever its weights lie: packed ahead, packed for this one use, or as they are."""

from __future__ import annotations

from collections.abc import Sequence

from ..cells import Cell
from .code import Code, Int, Ptr
from .plan import Part, Product
from .product import Products
from .vector import Frame


def panel_of(
    code: Code, f: Frame, products: Products, cell: Cell, number: int, q: Product, block: Int, share: Int
) -> Ptr:
    """The panel of a block of units.

    A call of few steps hardly uses a panel again. It is packed here then, anew in every step, into a place of the
    thread's own that stays in its cache, and neither written to memory for all blocks nor read by other threads.
    """
    room = depth(f, q) * (q.columns * products.lanes)
    panels, once = f.pointer(f"panel_{number}"), f["once"] > 0
    if not q.transposed:
        return panels.at(block * room)
    panel = panels.at(Int(code, code.builder.select(once, share.value, block.value)) * room)
    with code.when(once):
        pack_panel(code, f, products, cell, q, block, panel)
    return panel


def pack_panel(code: Code, f: Frame, products: Products, cell: Cell, q: Product, block: Int, panel: Ptr) -> None:
    """A block of units of a weight [units, K] for each output, side by side for each k; zeros where units end."""
    room, width, k = q.span * products.lanes, f.size(q.width), f.size(q.parts[0].depth)
    first = block * room
    here = (width - first).least(room)
    for g, (letter, name) in enumerate(q.parts[0].weights):
        m = f.pointer("weight_" + letter).at((width * cell.place[letter, name] + first) * k)
        code.call(products.pack_transposed(), m, k, k, here, panel.at(g * room), q.columns * products.lanes, room)


def multiply(
    code: Code,
    f: Frame,
    products: Products,
    cell: Cell,
    q: Product,
    block: Int,
    height: Int,
    a: Ptr,
    line: Int,
    panel: Ptr,
    start: Ptr,
    to: Ptr,
    columns: int,
) -> None:
    """A tile of several outputs of one operand: from the packed panel, in a short call from the weights as they are."""
    n, k, width = products.lanes, f.size(q.parts[0].depth), f.size(q.width)
    with code.either(f["direct"] > 0) as (direct, packed):
        with direct:
            vectors = []
            for g, (letter, name) in enumerate(q.parts[0].weights):
                for v in range(q.span):
                    unit = (block * q.span + v) * n
                    rows = f.pointer("weight_" + letter).at((width * cell.place[letter, name] + unit) * k)
                    place = (g * q.span + v) * n
                    vectors.append((rows, (width - unit).most(0), start.at(place), to.at(place)))
            with code.range(height // 2) as i:
                for m, reach, first, c in vectors:
                    there = c.at(i * (2 * columns))
                    code.call(products.direct(2), a.at(line * 2 * i), line, m, k, reach, first, there, columns)
            with code.when((height % 2).equals(1)):
                row, shift = a.at(line * (height - 1)), (height - 1) * columns
                rest = [(m, reach, first, c.at(shift)) for m, reach, first, c in vectors]
                for pair in zip(rest[::2], rest[1::2]):
                    code.call(products.direct_pair(), row, k, *pair[0], *pair[1])
                for m, reach, first, c in rest[len(rest) // 2 * 2 :]:
                    code.call(products.direct(1), row, line, m, k, reach, first, c, columns)
        with packed:
            code.call(products.tile(q.columns), height, a, line, panel, columns, k, start, 0, to, columns)


def accumulate(
    code: Code,
    f: Frame,
    products: Products,
    cell: Cell,
    q: Product,
    block: Int,
    height: Int,
    operands: Sequence[tuple[Ptr, Int]],
    panel: Ptr,
    start: Ptr,
    to: Ptr,
    columns: int,
) -> None:
    """A tile of one output that is a sum over parts: from the panel, or in a short call from the weights' own rows.

    A whole block of columns can be read where it lies. Both ways add in one order.
    """
    width, first = f.size(q.width), block * columns
    tile = products.tile(q.columns)
    whole = code.builder.and_(f["direct"] > 0, first + columns <= width)
    with code.either(whole) as (direct, packed):
        with direct:
            begin, stride = start, 0
            for part, (a, line) in zip(q.parts, operands):
                k = f.size(part.depth)
                for i, (letter, name) in enumerate(part.weights):
                    rows = f.pointer("weight_" + letter).at(k * width * cell.place[letter, name] + first)
                    code.call(tile, height, a.at(k * i), line, rows, width, k, begin, stride, to, columns)
                    begin, stride = to, columns
        with packed:
            begin, stride = start, 0
            for part, (a, line) in zip(q.parts, operands):
                k = part_depth(f, q, part)
                code.call(tile, height, a, line, panel, columns, k, begin, stride, to, columns)
                panel, begin, stride = panel.at(k * columns), to, columns


def part_depth(f: Frame, q: Product, part: Part) -> Int:
    """How many k a part has."""
    return f.size(part.depth) * (1 if q.transposed else len(part.weights))


def depth(f: Frame, q: Product) -> Int:
    """How many k all parts have."""
    total = f.code.integer(0)
    for part in q.parts:
        total = total + part_depth(f, q, part)
    return total
