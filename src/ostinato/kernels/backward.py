"""The kernels of a backward pass: a block of steps back through time, then its part of the weights' gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .code import I64, PTR, Code, Int, Ptr
from .machine import Target
from .plan import Product, Stream
from .product import Products
from .program import Outer, Program
from .stepping import share_of
from .tiles import accumulate, depth
from .timeloop import Kernel, Work
from .vector import AS_X, Frame


class Backward(Kernel):
    """pack, bptt, weights."""

    def __init__(self, program: Program, target: Target, scalar: str, d_histories: bool, record: bool = False):
        dx = program.input_gradient
        step = program.backward(d_histories, record)
        super().__init__(program, step, target, scalar, [dx] if dx is not None else [])

    def rows(self) -> list[str]:
        read = {v.id for v in self.step.nodes}
        names = [s.name for i, s in self.step.leaves.items() if i in read and s.name and s.kind in ("rows", "old")]
        for o in self.program.outers:
            names.append(
                o.operand.name
                if o.operand.kind == "rows"
                else self.program.state_rows(o.operand.index)
                if o.operand.kind == "past"
                else "x"
            )
        names += [factor.name for *_, factor in self.program.sums if factor is not None]
        past = [self.program.state_rows(s.index) for i, s in self.step.leaves.items() if s.kind == "past" and i in read]
        stored = [s.name for _, s in self.step.outputs if s.kind == "rows"]
        return list(dict.fromkeys(["x", "dx", "slots", *names, *past, *stored]))

    def _names(self) -> tuple[str, ...]:
        names = super()._names()
        first = [f"first_state_{k}" for k in range(self.states)]
        return (
            *names,
            *first,
            *(f"d_{n}" for n in names if n.startswith("weight_")),
            "wants_x",
            "fresh",
            "slots_panel",
            "slots_side",
            "room_w",
            "panels",
            "slots_zeros",
        )

    def pack(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        super().pack(code, f, products, work)
        if self.program.input_gradient is not None:
            with code.when(f["wants_x"] > 0):
                self.pad_out(code, f, work, "dx", "C")
        with code.when(work.part <= 0), code.range(f["pad"], step=products.lanes) as u:
            f.pointer("slots_zeros").at(u).set_vector(code.lanes.zero)

    def jobs(self) -> dict[str, Any]:
        return {"pack": self.pack, "bptt": self.bptt, "weights": self.weights}

    def _has_rows(self, k: int) -> bool:
        return self.program.state_rows(k) in self.rows()

    def _earlier(self, f: Frame, k: int, t: Int) -> Int:
        """The line from which the rows of step t are counted in the tensor of state k after every step."""
        return f.line(t) if k == self.program.cell.output_state else f.pointer("first").integer(t)

    def bptt(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        step = self.stepper(products, work.team)
        carried = code.table(3 * self.states + 2)
        begin, end = f["begin"], f["end"]
        origin, _ = self.lines(f, begin, end)

        def run(s: Int, t: Int, a: Int, b: Int, after: Int) -> None:
            r = f.pointer("first").integer(t)
            middle = after.least(b).most(a)
            with code.when(a < middle):
                for k, w in enumerate(self.program.cell.state_widths):
                    if self._has_rows(k):
                        before = f.pointer(self.program.state_rows(k)).at(self._earlier(f, k, t + f["dt"]) * f.size(w))
                        code.set_entry(carried, 2 * self.states + k, before)
                code.set_entry(carried, 3 * self.states, f.pointer("starts"))
                code.set_entry(carried, 3 * self.states + 1, f.pointer("own"))
                code.call(step, f.base, carried, a, middle - a, r + a, r + a - origin, work.share, work.shares, t)
            with code.when(middle < b):
                for k in range(self.states):
                    code.set_entry(carried, 2 * self.states + k, f.pointer(f"first_state_{k}"))
                for j in range(2):
                    code.set_entry(carried, 3 * self.states + j, f.pointer("whose"))
                line = r + middle
                code.call(step, f.base, carried, middle, b - middle, line, line - origin, work.share, work.shares, t)

        self.loop(code, f, carried, begin, end, work, run)
        dx = self.program.input_gradient
        if dx is not None:
            with code.when(f["wants_x"] > 0):
                self._input_gradient(code, f, products, dx, work, origin)

    def _input_gradient(self, code: Code, f: Frame, products: Products, p: Product, work: Work, origin: Int) -> None:
        number, n = self.numbers[id(p)], products.lanes
        columns, width = p.columns * n, f["C"]
        scratch = code.stack(products.rows(p.columns) * columns)
        first, last = share_of(width.over(columns), work.share, work.shares)
        with (
            code.range(last, first) as block,
            self.runs(code, f, f["begin"], f["end"], work.low, work.high, origin) as (r, rows, q, at),
            products.each_tile(code, rows, p.columns) as (m, height),
        ):
            panel = f.pointer(f"panel_{number}").at(block * depth(f, p) * columns)
            start = f.pointer(f"bias_{number}").at(block * columns)
            line = f["stride_slots"]
            operands = [
                (f.pointer("slots").at((q + m) * line + f.place(part.operand.offset)), line) for part in p.parts
            ]
            accumulate(code, f, products, self.program.cell, p, block, height, operands, panel, start, scratch, columns)
            line, first, put = f["stride_dx"], block * columns, products.put(p.columns)
            with code.either(f["line_step"] > 0) as (apart, together):
                with apart, code.range(height) as i:
                    to = f.pointer("dx").at(at(m + i) * line + first)
                    code.call(put, 0, scratch.at(i * columns), 1, to, line, width - first)
                with together:
                    to = f.pointer("dx").at((r + m) * line + first)
                    code.call(put, 0, scratch, height, to, line, width - first)

    # weights

    def weights(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        """Adds the block's part of every weight's gradient. Threads split the gradients, never a sum.

        The lines of the workspace are turned into columns first, a tile's height of them side by side, because a
        product that walks down a column would touch a new page of memory with every row. A deep product fills the
        cache with one panel, and all rows of the gradient pass by it; of a short one all panels fit, and the gradient
        is written line by line.
        """
        columns = 2 * products.lanes
        origin, last = self.lines(f, f["begin"], f["end"])
        rows = last - origin
        panel, line = f.pointer("slots_panel").at(work.part * f["room_w"]), f["stride_slots"]
        sides = {s.offset: s for o in self.program.outers for s in self._run_slots(o)}
        tiles = {}
        for j, s in enumerate(sides.values()):
            place, tiles[s.offset] = f.place(s.offset), self._tiles(f, products, s.width, work, j)
            side = f.pointer("slots_side").at(place * rows)
            code.call(_turn(products), f.pointer("slots").at(place), line, rows, side, *tiles[s.offset])
        for o in self.program.outers:
            width = f.size(o.columns)
            blocks = width.over(columns)
            with code.range(blocks, step=f["panels"]) as group:
                end = blocks.least(group + f["panels"])
                with code.range(end, group) as block:
                    first, here = block * columns, panel.at((block - group) * rows * columns)
                    self._panel(code, f, products, o, here, first, (width - first).least(columns), origin, rows, width)
                for s, gate in zip(self._run_slots(o), (g + i for _, g, n in o.runs for i in range(n))):
                    side = f.pointer("slots_side").at(f.place(s.offset) * rows)
                    to = f.pointer("d_weight_" + o.letter).at(f.size(o.rows) * gate * width)
                    code.call(_outer(products), side, rows, panel, group, end, to, width, f["fresh"], *tiles[s.offset])
        for j, (letter, index, slot, factor) in enumerate(self.program.sums):
            with code.when((work.part + j) % work.count <= 0):
                width = f.size(slot.width)
                name = f"p.{self.program.cell.gates['p'][index]}" if letter == "p" else letter
                to = f.pointer("d_weight_" + name).at(width * (0 if letter == "p" else index))
                terms: list[Int | Ptr] = [f.pointer("slots").at(f.place(slot.offset)), line]
                if factor is not None:
                    apart = f["stride_" + factor.name]
                    terms += [f.pointer(factor.name).at(origin * apart + f.place(factor.offset)), apart]
                code.call(_sum(products, len(terms) // 2), *terms, rows, to, width, f["fresh"])

    def _run_slots(self, o: Outer) -> list[Stream]:
        return [
            Stream("slot", width=o.rows, offset=(h + i, p) if o.rows == "H" else (h, p + i))
            for (h, p), _, n in o.runs
            for i in range(n)
        ]

    def _tiles(self, f: Frame, products: Products, width: str, work: Work, turn: int) -> tuple[Int, Int, Int]:
        """This thread's tiles of one slot's columns: (columns, first tile, last). Odd slots are dealt out backwards."""
        size = f.size(width)
        share = work.count - 1 - work.part if turn % 2 else work.part
        return size, *share_of(size.over(products.rows(2)), share, work.count)

    def _panel(
        self,
        code: Code,
        f: Frame,
        products: Products,
        o: Outer,
        panel: Ptr,
        first: Int,
        here: Int,
        origin: Int,
        rows: Int,
        width: Int,
    ) -> None:
        """The operand's lines of this block of steps, `columns` of them, as a panel."""
        columns, pack, gather = 2 * products.lanes, products.pack_rows(), products.gather_rows()
        if o.operand.kind == "rows":
            line = f["stride_" + o.operand.name]
            source = f.pointer(o.operand.name).at(f.place(o.operand.offset) + first)

            def together() -> None:
                code.call(pack, source.at(origin * line), line, rows, here, panel, columns, columns)

            def apart() -> None:
                with code.range(f["end"], f["begin"]) as s:
                    t = f["t0"] + f["dt"] * s
                    to = panel.at((f.pointer("first").integer(t) - origin) * columns)
                    there = source.at(f.line(t) * line)
                    code.call(gather, there, line, f.pointer("starts"), self.count(f, t), here, to, columns, columns)

            if o.operand.name in AS_X:
                with code.either(f["line_step"] > 0) as (yes, no):
                    with yes:
                        apart()
                    with no:
                        together()
            else:
                together()
        elif o.operand.kind == "slot":
            code.call(
                pack,
                f.pointer("slots").at(f.place(o.operand.offset) + first),
                f["stride_slots"],
                rows,
                here,
                panel,
                columns,
                columns,
            )
        else:
            k = o.operand.index
            source, start = f.pointer(self.program.state_rows(k)), f.pointer(f"first_state_{k}")
            with code.range(f["end"], f["begin"]) as s:
                t = f["t0"] + f["dt"] * s
                more = s + 1 < f["T"]
                n, place = self.count(f, t), f.pointer("first").integer(t) - origin
                earlier = t + f["dt"] * self._flag(code, more)
                known = Int(
                    code, code.builder.select(more, self.count(f, earlier).least(n).value, code.integer(0).value)
                )
                there, to = source.at(self._earlier(f, k, earlier) * width + first), panel.at(place * columns)
                if k == self.program.cell.output_state:
                    code.call(gather, there, width, f.pointer("starts"), known, here, to, columns, columns)
                else:
                    code.call(pack, there, width, known, here, to, columns, columns)
                whose, to = f.pointer("whose").entry(known), panel.at((place + known) * columns)
                code.call(gather, start.at(first), width, whose, n - known, here, to, columns, columns)


@contextmanager
def _each(code: Code, products: Products, size: Int, first: Int, last: Int) -> Iterator[tuple[Int, Int]]:
    """The tiles first … last of `size` columns, of nearly equal height: (first column, height)."""
    count = size.over(products.rows(2))
    with code.range(last, first) as i:
        m = i * size // count
        yield m, (i + 1) * size // count - m


def _turn(products: Products) -> ir.Function:
    """f(lines, stride, rows, side, size, first tile, last): columns of lines, a tile of them side by side."""

    def body(code: Code) -> None:
        lines, stride, rows, side, *tiles = code.arguments
        n, most = products.lanes, products.rows(2)
        with _each(code, products, *tiles) as (m, height):
            to, column = side.at(m * rows), lines.at(m)
            # A tile may be taller than a vector has lanes.
            parts = range(0, most, n)
            masks = [code.lanes.tail_mask((height - k).value) for k in parts]
            # Whole vectors, whose surplus the next lines overwrite, until it would reach beyond this tile's place.
            safe = (rows - code.integer(len(parts) * n).over(height)).most(0)
            for masked, begin, end in ((False, code.integer(0), safe), (True, safe, rows)):
                with code.range(end, begin) as q:
                    for k, mask in zip(parts, masks):
                        v = column.at(stride * q + k).vector(mask if masked else None)
                        to.at(height * q + k).set_vector(v, mask if masked else None)

    return products.function("turn", [PTR, I64, I64, PTR, I64, I64, I64], body)


def _outer(products: Products) -> ir.Function:
    """f(side, rows, panels, group, end, C, width, fresh, size, first tile, last): tiles of side · panels.

    They fill the blocks of columns group … end of C [size, width], or are added to it where it is not fresh.
    """

    def body(code: Code) -> None:
        side, rows, panels, group, end, to, width, fresh, *tiles = code.arguments
        columns = 2 * products.lanes
        scratch = code.stack(products.rows(2) * columns)
        with _each(code, products, *tiles) as (m, height), code.range(end, group) as block:
            a, panel, first = side.at(m * rows), panels.at((block - group) * rows * columns), block * columns
            c, tile = to.at(m * width + first), products.column_tile(2)
            with code.either(code.builder.and_(fresh > 0, first + columns <= width)) as (written, blended):
                with written:
                    code.call(tile, height, a, height, panel, rows, c, width)
                with blended:
                    code.call(tile, height, a, height, panel, rows, scratch, columns)
                    code.call(products.put(2), 1 - fresh, scratch, height, c, width, width - first)

    return products.function("outer", [PTR, I64, PTR, I64, I64, PTR, I64, I64, I64, I64, I64], body)


def _sum(products: Products, factors: int) -> ir.Function:
    """f(lines, stride, [lines, stride of a second factor,] rows, sums, width, fresh): sums over lines by column.

    They are written or, where not fresh, added.
    """

    def body(code: Code) -> None:
        *terms, rows, to, width, fresh = code.arguments
        lanes, n = code.lanes, products.lanes
        total = code.stack(n)
        with code.range(width, step=n) as u:
            mask = lanes.tail_mask((width - u).value)
            total.set_vector(lanes.zero)
            with code.range(rows) as q:
                value, *others = (a.at(q * line + u).vector(mask) for a, line in zip(terms[::2], terms[1::2]))
                for other in others:
                    value = lanes.mul(value, other)
                total.set_vector(lanes.add(total.vector(), value))
            before = lanes.select(fresh > 0, lanes.zero, to.at(u).vector(mask))
            to.at(u).set_vector(lanes.add(before, total.vector()), mask)

    return products.function(f"sum_{factors}", [*[PTR, I64] * factors, I64, PTR, I64, I64], body)
