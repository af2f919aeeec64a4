"""The time loops: a whole sequence forward, one block of steps backward, the weights' gradients of a block.

Rows are packed: step t has the lines first[t] … first[t + 1] of every packed tensor, never more rows than the step before.
A dense batch is the case where all steps have B. Every job is cut into parts that share nothing but what they read, so
any number of threads may take them: ranges of rows in the time loops, blocks of columns for the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .code import I64, PTR, Code, Int, Ptr
from .machine import Target
from .packing import emit_packing, vectors
from .plan import Product, Step, Stream
from .product import Products
from .program import Outer, Program
from .stepping import Stepper, depth, multiply, part_depth, share_of
from .team import Team
from .threads import flushed
from .vector import Frame

SIZES = ("T", "B", "C", "H", "P", "padH", "padP", "pad", "workspace", "counter", "parts", "cuts", "first", "begin", "end", "t0", "dt",
         "chunk", "chunk_rows", "cross", "means", "direct", "shared", "meeting", "team_size", "yield")


class Work:
    """One part of a job: rows low … high with all units, or, where threads share a step, all rows and a share of the units."""

    def __init__(self, f: Frame, part: Int, count: Int):
        code = f.code
        self.part, self.count = part, count
        shared = f["shared"] > 0

        def choose(a: Int, b: Int) -> Int:
            return Int(code, code.builder.select(shared, a.value, b.value))

        cuts, zero, one = f.pointer("cuts"), code.integer(0), code.integer(1)
        self.share, self.shares = choose(part, zero), choose(count, one)
        row = choose(zero, part)
        self.low, self.high = cuts.integer(row), cuts.integer(row + 1)


class Kernel:
    """What forward and backward have in common: the step, the numbering of its products, the frame's names."""

    def __init__(self, program: Program, step: Step, target: Target, scalar: str, more: list[Product]):
        self.program, self.step, self.target, self.scalar = program, step, target, scalar
        self.states = len(program.trace.states)
        numbered = [*step.ahead, *(q for p in step.passes for q in p.products), *more]
        self.products = list(enumerate(numbered))
        self.numbers = {id(p): k for k, p in self.products}
        self.vectors = vectors(step)
        self.names = self._names()

    def _names(self) -> tuple[str, ...]:
        cell = self.program.cell
        names = list(SIZES)
        names += [f"{k}_{number}" for number, _ in self.products for k in ("panel", "bias")]
        names += [f"gates_{self.numbers[id(p)]}" for p in self.step.ahead]
        names += ["vector_" + n for n in self.vectors]
        names += ["weight_" + k for k in cell.letters if k != "p"] + [f"weight_p.{n}" for n in cell.gates.get("p", ())]
        for k in range(self.states):
            names += [f"{n}_{k}" for n in ("start_state", "final_state", "even", "odd")]
        return (*names, *(f"{kind}{name}" for name in self.rows() for kind in ("", "stride_")))

    def rows(self) -> list[str]:
        raise NotImplementedError

    def module(self) -> ir.Module:
        module = ir.Module(self.program.cell.name)
        products = Products(module, self.scalar, self.target.lanes(self.scalar), self.target.registers)
        bodies: dict[str, ir.Function] = {}
        self.team = team = Team(products, self.names, self.target.name)
        for name, emit in self.jobs().items():
            body = products.code(f"{name}_body", [PTR])
            f = Frame(self.names, body, body.arguments[0])  # type: ignore[arg-type]
            count = team.size(body, f)
            with body.parts(f.counter, count) as part:
                emit(body, f, products, Work(f, part, count))
            bodies[name] = body.close()
            flushed(module, bodies[name], name, self.target)
        self._alone(products, bodies)
        return module

    def _alone(self, products: Products, bodies: dict[str, ir.Function]) -> None:
        """The first two jobs one after the other, for a call that one thread does by itself."""
        pack, work = list(bodies.values())[:2]
        code = products.code("alone_body", [PTR])
        f = Frame(self.names, code, code.arguments[0])  # type: ignore[arg-type]
        code.call(pack, f.base)
        code.builder.store(ir.Constant(I64, 0), f.counter.value, align=8)
        code.call(work, f.base)
        flushed(products.module, code.close(), "alone", self.target)

    def jobs(self) -> dict[str, Any]:
        raise NotImplementedError

    def pack(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        emit_packing(code, f, self.program.cell, self.step, products, self.products, work.part, work.count)

    def stepper(self, products: Products) -> ir.Function:
        return Stepper(self.step, self.names, products, self.states, self.numbers, self.team, self.program.cell).emit()

    # the loop over steps

    def count(self, f: Frame, t: Int) -> Int:
        first = f.pointer("first")
        return first.integer(t + 1) - first.integer(t)

    def loop(self, code: Code, f: Frame, carried: Ptr, begin: Int, end: Int, work: Work, run: Any) -> None:
        """Steps begin … end of the order of work for the rows of this work: rows enter, run(s, t, low, high, rows after), rows leave."""
        low, high, team = work.low, work.high, self.team
        with code.range(end, begin) as s:
            t = f["t0"] + f["dt"] * s
            here = self.count(f, t)
            # Which steps come before and after, without reading past either end.
            before = Int(code, code.builder.select(s > 0, self.count(f, t - f["dt"] * self._flag(code, s > 0)).value, code.integer(0).value))
            more = s + 1 < f["T"]
            after = Int(code, code.builder.select(more, self.count(f, t + f["dt"] * self._flag(code, more)).value, code.integer(0).value))
            self._carry(code, f, carried, s)
            with code.when(before.most(low) < here.least(high)):
                self._move(code, f, before.most(low), here.least(high), "start_state", carried, 0, work, into=True)
                team.meet(code, f, work.shares)
            run(s, t, low, here.least(high), after)
            team.meet(code, f, work.shares)
            with code.when(after.most(low) < here.least(high)):
                self._move(code, f, after.most(low), here.least(high), "final_state", carried, self.states, work, into=False)

    def _flag(self, code: Code, condition: Any) -> Int:
        return Int(code, code.builder.zext(condition, ir.IntType(64)))

    def _carry(self, code: Code, f: Frame, carried: Ptr, s: Int) -> None:
        odd = (s % 2).equals(1)
        for k, swap in enumerate(self.step.pingpong):
            a, b = f.pointer(f"even_{k}"), f.pointer(f"odd_{k}")
            code.set_entry(carried, k, code.choose(odd, b, a) if swap else a)
            code.set_entry(carried, self.states + k, code.choose(odd, a, b) if swap else a)

    def _move(self, code: Code, f: Frame, low: Int, high: Int, outside: str, carried: Ptr, base: int, work: Work,
              into: bool) -> None:
        n = code.lanes.lanes
        for k, w in enumerate(self.program.cell.state_widths):
            width, pad = f.size(w), f.pad(w)
            tensor, buffer = f.pointer(f"{outside}_{k}"), carried.pointer(base + k)
            first, last = share_of(width.over(n), work.share, work.shares)
            with code.range(high, low) as b, code.range(last, first) as vector:
                u = vector * n
                mask = code.lanes.tail_mask((width - u).value)
                there, here = tensor.at(b * width + u), buffer.at(b * pad + u)
                if into:
                    here.set_vector(there.vector(mask))
                else:
                    there.set_vector(here.vector(), mask)

    def runs(self, code: Code, f: Frame, begin: Int, end: Int, low: Int, high: Int, origin: Int) -> Any:
        """The lines of rows low … high in steps begin … end, as few runs as possible: yields (first line, lines, place in the block).

        `origin` is the block's first line. One range that holds the whole batch is one run.
        """
        return _Runs(self, code, f, begin, end, low, high, origin)

    def lines(self, f: Frame, begin: Int, end: Int) -> tuple[Int, Int]:
        """First and last line + 1 of the steps begin … end of the order of work."""
        a, b = f["t0"] + f["dt"] * begin, f["t0"] + f["dt"] * (end - 1)
        first = f.pointer("first")
        return first.integer(a.least(b)), first.integer(a.most(b) + 1)


class _Runs:
    def __init__(self, kernel: Kernel, code: Code, f: Frame, begin: Int, end: Int, low: Int, high: Int, origin: Int):
        self.kernel, self.code, self.f, self.begin, self.end, self.low, self.high, self.origin = kernel, code, f, begin, end, low, high, origin

    def __enter__(self) -> tuple[Int, Int, Int]:
        code, f, k = self.code, self.f, self.kernel
        whole = code.builder.and_(self.low <= 0, self.high >= f["B"])
        steps = self.end - self.begin
        self._range = code.range(Int(code, code.builder.select(whole, code.integer(1).value, steps.value)))
        j = self._range.__enter__()
        t = f["t0"] + f["dt"] * (self.begin + j)
        here = f.pointer("first").integer(t)
        rows = k.count(f, t).least(self.high) - self.low
        first, last = k.lines(f, self.begin, self.end)
        r = Int(code, code.builder.select(whole, first.value, (here + self.low).value))
        n = Int(code, code.builder.select(whole, (last - first).value, rows.value))
        return r, n, r - self.origin

    def __exit__(self, *error: object) -> None:
        self._range.__exit__(*error)  # type: ignore[arg-type]


class Forward(Kernel):
    """pack, forward."""

    def __init__(self, program: Program, target: Target, scalar: str, keep: bool, histories: bool):
        super().__init__(program, program.forward(keep, histories), target, scalar, [])

    def rows(self) -> list[str]:
        return ["x", *dict.fromkeys(s.name for _, s in self.step.outputs if s.kind == "rows")]

    def jobs(self) -> dict[str, Any]:
        return {"pack": self.pack, "forward": self.forward}

    def forward(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        step = self.stepper(products)
        carried = code.table(3 * self.states)
        low, high = work.low, work.high
        with code.range(f["end"], f["begin"], f["chunk"]) as begin:
            end = (begin + f["chunk"]).least(f["end"])
            # Each part has lines of its own: in a ragged batch two chunks would lay two rows on one line.
            origin = self.lines(f, begin, end)[0] - f["chunk_rows"] // f["parts"] * (work.part - work.share)
            for p in self.step.ahead:
                self._ahead(code, f, products, p, begin, end, work, origin)
            self.team.meet(code, f, work.shares)

            def run(s: Int, t: Int, a: Int, b: Int, after: Int, origin: Int = origin) -> None:
                with code.when(a < b):
                    r = f.pointer("first").integer(t) + a
                    code.call(step, f.base, carried, a, b - a, r, r - origin, work.share, work.shares)

            self.loop(code, f, carried, begin, end, work, run)

    def _ahead(self, code: Code, f: Frame, products: Products, p: Product, begin: Int, end: Int, work: Work, origin: Int) -> None:
        number, n = self.numbers[id(p)], products.lanes
        columns, k = p.columns * n, f["C"]
        first, last = share_of(f["H"].over(p.span * n), work.share, work.shares)
        with code.range(last, first) as block:
            panel, start = f.pointer(f"panel_{number}").at(block * k * columns), f.pointer(f"bias_{number}").at(block * columns)
            with self.runs(code, f, begin, end, work.low, work.high, origin) as (r, rows, q), products.each_tile(code, rows, p.columns) as (m, height):
                out = f.pointer(f"gates_{number}").at((block * f["chunk_rows"] + q + m) * columns)
                a = f.pointer("x").at((r + m) * f["stride_x"])
                multiply(code, f, products, self.program.cell, p, block, height, a, f["stride_x"], panel, start, out, columns)


class Backward(Kernel):
    """pack, bptt, weights."""

    def __init__(self, program: Program, target: Target, scalar: str, d_histories: bool):
        dx = program.input_gradient
        super().__init__(program, program.backward(d_histories), target, scalar, [dx] if dx is not None else [])

    def rows(self) -> list[str]:
        read = {v.id for v in self.step.nodes}
        names = [s.name for i, s in self.step.leaves.items() if i in read and s.name and s.kind in ("rows", "old")]
        for o in self.program.outers:
            names.append(o.operand.name if o.operand.kind == "rows" else self.program.state_rows(o.operand.index) if o.operand.kind == "past" else "x")
        past = [self.program.state_rows(s.index) for i, s in self.step.leaves.items() if s.kind == "past" and i in read]
        return list(dict.fromkeys(["x", "dx", "slots", *names, *past]))

    def _names(self) -> tuple[str, ...]:
        names = super()._names()
        first = [f"first_state_{k}" for k in range(self.states)]
        return (*names, *first, *(f"d_{n}" for n in names if n.startswith("weight_")), "wants_x", "slots_panel", "slots_side", "room_w", "slots_zeros")

    def jobs(self) -> dict[str, Any]:
        return {"pack": self.pack, "bptt": self.bptt, "weights": self.weights}

    def _has_rows(self, k: int) -> bool:
        return self.program.state_rows(k) in self.rows()

    def bptt(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        step = self.stepper(products)
        carried = code.table(3 * self.states)
        begin, end = f["begin"], f["end"]
        origin, _ = self.lines(f, begin, end)

        def run(s: Int, t: Int, a: Int, b: Int, after: Int) -> None:
            r = f.pointer("first").integer(t)
            middle = after.least(b).most(a)
            with code.when(a < middle):
                earlier = f.pointer("first").integer(t + f["dt"])
                for k, w in enumerate(self.program.cell.state_widths):
                    if self._has_rows(k):
                        code.set_entry(carried, 2 * self.states + k, f.pointer(self.program.state_rows(k)).at(earlier * f.size(w)))
                code.call(step, f.base, carried, a, middle - a, r + a, r + a - origin, work.share, work.shares)
            with code.when(middle < b):
                for k in range(self.states):
                    code.set_entry(carried, 2 * self.states + k, f.pointer(f"first_state_{k}"))
                code.call(step, f.base, carried, middle, b - middle, r + middle, r + middle - origin, work.share, work.shares)

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
        with code.range(last, first) as block, \
                self.runs(code, f, f["begin"], f["end"], work.low, work.high, origin) as (r, rows, q), products.each_tile(code, rows, p.columns) as (m, height):
            panel = f.pointer(f"panel_{number}").at(block * depth(f, p) * columns)
            start, stride = f.pointer(f"bias_{number}").at(block * columns), 0
            for part in p.parts:
                k = part_depth(f, p, part)
                a = f.pointer("slots").at((q + m) * f["stride_slots"] + f.place(part.operand.offset))
                code.call(products.tile(p.columns), height, a, f["stride_slots"], 1, panel, k, start, stride, scratch, columns)
                panel, start, stride = panel.at(k * columns), scratch, columns
            self._copy(code, scratch, columns, f.pointer("dx").at((r + m) * f["stride_dx"]), f["stride_dx"], height, block * columns, width, add=False)

    def _copy(self, code: Code, tile: Ptr, columns: int, to: Ptr, line: Int, height: Int, first: Int, width: Int, add: bool) -> None:
        """A tile into a matrix whose lines end at `width`."""
        n, lanes = code.lanes.lanes, code.lanes
        with code.range(height) as i, code.range((width - first).least(columns), step=n) as u:
            mask = lanes.tail_mask((width - first - u).value)
            place = to.at(line * i + first + u)
            v = tile.at(i * columns + u).vector()
            place.set_vector(lanes.add(place.vector(mask), v) if add else v, mask)

    # weights

    def weights(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        """Adds the block's part of every weight's gradient. Threads split the gradients, never a sum.

        The lines of the workspace are turned into columns first, a tile's height of them side by side, because a product
        that walks down a column would touch a new page of memory with every row.
        """
        columns = 2 * products.lanes
        origin, last = self.lines(f, f["begin"], f["end"])
        rows = last - origin
        panel = f.pointer("slots_panel").at(work.part * f["room_w"])
        scratch = code.stack(products.rows(2) * columns)
        sides = {s.offset: s for o in self.program.outers for s in self._run_slots(o)}
        for j, s in enumerate(sides.values()):
            with self._tiles(code, f, products, s.width, work, j) as (m, height):
                side, mask = f.pointer("slots_side").at((f.place(s.offset) + m) * rows), code.lanes.tail_mask(height.value)
                column = f.pointer("slots").at(f.place(s.offset) + m)
                with code.range(rows) as q:
                    side.at(height * q).set_vector(column.at(f["stride_slots"] * q).vector(mask), mask)
        numbers = {offset: j for j, offset in enumerate(sides)}
        for o in self.program.outers:
            width = f.size(o.columns)
            with code.range(width.over(columns)) as block:
                here = (width - block * columns).least(columns)
                self._panel(code, f, products, o, panel, block * columns, here, origin, rows, width)
                for s, gate in zip(self._run_slots(o), (g + i for _, g, n in o.runs for i in range(n))):
                    with self._tiles(code, f, products, s.width, work, numbers[s.offset]) as (m, height):
                        side = f.pointer("slots_side").at((f.place(s.offset) + m) * rows)
                        code.call(products.column_tile(2), height, side, height, panel, rows, scratch, columns)
                        to = f.pointer("d_weight_" + o.letter).at((f.size(o.rows) * gate + m) * width)
                        self._copy(code, scratch, columns, to, width, height, block * columns, width, add=True)
        for j, (letter, index, slot) in enumerate(self.program.sums):
            with code.when((work.part + j) % work.count <= 0):
                width = f.size(slot.width)
                name = f"p.{self.program.cell.gates['p'][index]}" if letter == "p" else letter
                to = f.pointer("d_weight_" + name).at(width * (0 if letter == "p" else index))
                self._sum(code, f, f.pointer("slots").at(f.place(slot.offset)), to, rows, width)

    def _run_slots(self, o: Outer) -> list[Stream]:
        return [Stream("slot", width=o.rows, offset=(h + i, p) if o.rows == "H" else (h, p + i)) for (h, p), _, n in o.runs for i in range(n)]

    @contextmanager
    def _tiles(self, code: Code, f: Frame, products: Products, width: str, work: Work, turn: int) -> Iterator[tuple[Int, Int]]:
        """This thread's tiles of the columns of one slot: yields (first column, height). Odd slots are dealt out backwards."""
        size, most = f.size(width), products.rows(2)
        count = size.over(most)
        first, last = share_of(count, work.count - 1 - work.part if turn % 2 else work.part, work.count)
        with code.range(last, first) as i:
            m = i * size // count
            yield m, (i + 1) * size // count - m

    def _sum(self, code: Code, f: Frame, lines: Ptr, to: Ptr, rows: Int, width: Int) -> None:
        n, lanes = code.lanes.lanes, code.lanes
        total = code.stack(n)
        with code.range(width, step=n) as u:
            mask = lanes.tail_mask((width - u).value)
            total.set_vector(lanes.zero)
            with code.range(rows) as q:
                total.set_vector(lanes.add(total.vector(), lines.at(q * f["stride_slots"] + u).vector(mask)))
            to.at(u).set_vector(lanes.add(to.at(u).vector(mask), total.vector()), mask)

    def _panel(self, code: Code, f: Frame, products: Products, o: Outer, panel: Ptr, first: Int, here: Int, origin: Int, rows: Int, width: Int) -> None:
        """The operand's lines of this block of steps, `columns` of them, as a panel."""
        columns, pack = 2 * products.lanes, products.pack_rows()
        if o.operand.kind == "rows":
            line = f["stride_" + o.operand.name]
            source = f.pointer(o.operand.name).at(origin * line + f.place(o.operand.offset) + first)
            code.call(pack, source, line, rows, here, panel, columns, columns)
        elif o.operand.kind == "slot":
            code.call(pack, f.pointer("slots").at(f.place(o.operand.offset) + first), f["stride_slots"], rows, here, panel, columns, columns)
        else:
            k = o.operand.index
            source, start = f.pointer(self.program.state_rows(k)), f.pointer(f"first_state_{k}")
            with code.range(f["end"], f["begin"]) as s:
                t = f["t0"] + f["dt"] * s
                more = s + 1 < f["T"]
                n, place = self.count(f, t), f.pointer("first").integer(t) - origin
                earlier = t + f["dt"] * self._flag(code, more)
                known = Int(code, code.builder.select(more, self.count(f, earlier).least(n).value, code.integer(0).value))
                code.call(pack, source.at(f.pointer("first").integer(earlier) * width + first), width, known, here, panel.at(place * columns), columns, columns)
                code.call(pack, start.at(known * width + first), width, n - known, here, panel.at((place + known) * columns), columns, columns)
