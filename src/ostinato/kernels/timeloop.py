"""The loop over steps that forward and backward share, and how a job is cut into parts.

Rows are packed: step t has the lines first[t] … first[t + 1] of every packed tensor, never more rows than the step
before. A dense batch is the case where all steps have B. x and what is laid out as x is, the output and the gradients
of both, may be the caller's tensors instead, in which the lines of a step lie anywhere: `starts` has the line of each
row's first step, and its next step is `line_step` lines on. The states that a row starts from and ends in stand where
`whose` says, among those of the caller's rows.

Parts that share nothing but what they read may be taken by any number of threads; where threads share a step instead,
they meet as `team` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from ..cells.noise import WORDS
from .code import I64, PTR, Code, Int, Ptr
from .machine import Target
from .packing import emit_packing, vectors
from .plan import Product, Step
from .product import Products
from .program import Program
from .random import NAME, ROOM, Random, blocks, word_of
from .stepping import Stepper, share_of
from .team import ENTRIES, Team
from .threads import flushed
from .vector import Frame

SIZES = (
    "T",
    "B",
    "C",
    "H",
    "P",
    "padC",
    "padH",
    "padP",
    "pad",
    "workspace",
    "counter",
    "parts",
    "cuts",
    "first",
    "starts",
    "own",
    "whose",
    "line_step",
    "x_lines",
    "all_steps",
    "all_rows",
    "lengths",
    "begin",
    "end",
    "t0",
    "dt",
    "chunk",
    "chunk_rows",
    "cross",
    "means",
    "direct",
    "once",
    *ENTRIES,
)


class Work:
    """One part of a job: rows low … high with all units, or all rows and a share of the units."""

    def __init__(self, f: Frame, part: Int, count: Int, team: Team):
        code = f.code
        self.part, self.count, self.team = part, count, team
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
        self.vectors, self.drawn = vectors(step), blocks(step)
        self.names = self._names()

    def _names(self) -> tuple[str, ...]:
        cell = self.program.cell
        names = list(SIZES)
        names += [f"{k}_{number}" for number, _ in self.products for k in ("panel", "bias")]
        names += [f"gates_{self.numbers[id(p)]}" for p in self.step.ahead]
        names += ["vector_" + n for n in self.vectors]
        names += [NAME, ROOM] if self.drawn else []
        names += ["weight_" + k for k in cell.letters if k != "p"] + [f"weight_p.{n}" for n in cell.gates.get("p", ())]
        for k in range(self.states):
            names += [f"{n}_{k}" for n in ("start_state", "final_state", "even", "odd")]
        return (*names, *(f"{kind}{name}" for name in self.rows() for kind in ("", "stride_")))

    def rows(self) -> list[str]:
        raise NotImplementedError

    def module(self) -> ir.Module:
        """The code, emitted anew. None of it stays here: it takes a hundred times the memory of what it compiles to."""
        module = ir.Module(self.program.cell.name)
        products = Products(module, self.scalar, self.target.lanes(self.scalar), self.target.registers)
        bodies: dict[str, ir.Function] = {}
        team = Team(products, self.names, self.target.name)
        for name, emit in self.jobs().items():
            body = products.code(f"{name}_body", [PTR])
            f = Frame(self.names, body, body.arguments[0])
            count = team.size(body, f)
            with body.parts(f.counter, count) as part:
                emit(body, f, products, Work(f, part, count, team))
            bodies[name] = body.close()
            flushed(module, bodies[name], name, self.target)
        self._alone(products, bodies)
        return module

    def _alone(self, products: Products, bodies: dict[str, ir.Function]) -> None:
        """The first two jobs one after the other, for a call that one thread does by itself."""
        pack, work = list(bodies.values())[:2]
        code = products.code("alone_body", [PTR])
        f = Frame(self.names, code, code.arguments[0])
        code.call(pack, f.base)
        code.builder.store(ir.Constant(I64, 0), f.counter.value, align=8)
        code.call(work, f.base)
        flushed(products.module, code.close(), "alone", self.target)

    def jobs(self) -> dict[str, Any]:
        raise NotImplementedError

    def pack(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        emit_packing(code, f, self.program.cell, self.step, products, self.products, work.part, work.count)

    def pad_out(self, code: Code, f: Frame, work: Work, name: str, width: str) -> None:
        """Zeros into the lines of a tensor that is laid out as the caller's x which no row has: past the rows' ends."""
        n, size, to, lengths = code.lanes.lanes, f.size(width), f.pointer(name), f.pointer("lengths")

        def clear(begin: Int, end: Int) -> None:
            with code.range(end, begin, n) as u, code.either(u + n <= end) as (whole, tail):
                with whole:
                    to.at(u).set_vector(code.lanes.zero)
                with tail:
                    to.at(u).set_vector(code.lanes.zero, code.lanes.tail_mask((end - u).value))

        steps, rows = f["all_steps"], f["all_rows"]
        with code.when(f["line_step"].equals(1)), code.range(rows, work.part, work.count) as b:
            clear((b * steps + lengths.integer(b)) * size, (b + 1) * steps * size)
        with code.when(f["line_step"] > 1), code.range(steps, work.part, work.count) as t, code.range(rows) as b:
            line = t * rows + b
            with code.when(t >= lengths.integer(b)):
                clear(line * size, (line + 1) * size)

    def stepper(self, products: Products, team: Team) -> ir.Function:
        return Stepper(self.step, self.names, products, self.states, self.numbers, team, self.program.cell).emit()

    # the loop over steps

    def count(self, f: Frame, t: Int) -> Int:
        first = f.pointer("first")
        return first.integer(t + 1) - first.integer(t)

    def loop(self, code: Code, f: Frame, carried: Ptr, begin: Int, end: Int, work: Work, run: Any) -> None:
        """Steps begin … end of the order of work: rows enter, run(s, t, low, high, rows after), rows leave."""
        low, high, team = work.low, work.high, work.team
        with code.range(end, begin) as s:
            t = f["t0"] + f["dt"] * s
            here = self.count(f, t)
            # Which steps come before and after, without reading past either end.
            before = Int(
                code,
                code.builder.select(
                    s > 0, self.count(f, t - f["dt"] * self._flag(code, s > 0)).value, code.integer(0).value
                ),
            )
            more = s + 1 < f["T"]
            after = Int(
                code,
                code.builder.select(
                    more, self.count(f, t + f["dt"] * self._flag(code, more)).value, code.integer(0).value
                ),
            )
            self._carry(code, f, carried, s)
            with code.when(before.most(low) < here.least(high)):
                self._move(code, f, before.most(low), here.least(high), "start_state", carried, 0, work, into=True)
                team.meet(code, f, work.shares)
            self._draw(code, f, s, t, work)
            run(s, t, low, here.least(high), after)
            team.meet(code, f, work.shares)
            with code.when(after.most(low) < here.least(high)):
                self._move(
                    code, f, after.most(low), here.least(high), "final_state", carried, self.states, work, into=False
                )

    def _draw(self, code: Code, f: Frame, s: Int, t: Int, work: Work) -> None:
        """Random numbers are put down: before the first step those that are drawn once, and every four steps theirs.

        A room holds all rows that have one of the four steps, so that none is missing where rows enter in between.
        """
        first = s.equals(0)
        for letter in dict.fromkeys(name for name, _ in self.drawn):
            if letter == "S":
                due, earliest = first, code.integer(0)
            else:
                word = word_of(f, t)
                due = code.builder.or_(
                    first,
                    word.equals(
                        Int(code, code.builder.select(f["dt"] > 0, ir.Constant(I64, 0), ir.Constant(I64, WORDS - 1)))
                    ),
                )
                earliest = (t - word).most(0)
            with code.when(due):
                low, high = share_of(f["pad"].over(code.lanes.lanes), work.share, work.shares)
                random = Random(f, t)
                with (
                    code.range(self.count(f, earliest).least(work.high), work.low) as b,
                    code.range(high, low) as vector,
                ):
                    random.put_down(self.drawn, letter, b, vector * code.lanes.lanes)
                work.team.meet(code, f, work.shares)

    def _flag(self, code: Code, condition: Any) -> Int:
        return Int(code, code.builder.zext(condition, ir.IntType(64)))

    def _carry(self, code: Code, f: Frame, carried: Ptr, s: Int) -> None:
        odd = (s % 2).equals(1)
        for k, swap in enumerate(self.step.pingpong):
            a, b = f.pointer(f"even_{k}"), f.pointer(f"odd_{k}")
            code.set_entry(carried, k, code.choose(odd, b, a) if swap else a)
            code.set_entry(carried, self.states + k, code.choose(odd, a, b) if swap else a)

    def _move(
        self, code: Code, f: Frame, low: Int, high: Int, outside: str, carried: Ptr, base: int, work: Work, into: bool
    ) -> None:
        n = code.lanes.lanes
        for k, w in enumerate(self.program.cell.state_widths):
            width, pad = f.size(w), f.pad(w)
            tensor, buffer = f.pointer(f"{outside}_{k}"), carried.pointer(base + k)
            first, last = share_of(width.over(n), work.share, work.shares)
            with code.range(high, low) as b, code.range(last, first) as vector:
                u = vector * n
                mask = code.lanes.tail_mask((width - u).value)
                there, here = tensor.at(f.pointer("whose").integer(b) * width + u), buffer.at(b * pad + u)
                if into:
                    here.set_vector(there.vector(mask))
                else:
                    there.set_vector(here.vector(), mask)

    def runs(self, code: Code, f: Frame, begin: Int, end: Int, low: Int, high: Int, origin: Int) -> Any:
        """The lines of rows low … high in steps begin … end, in few runs: (first line, lines, place in the block, at).

        `origin` is the block's first line. One range that holds the whole batch is one run, unless the lines of its
        steps lie apart: then at(i) is the line of the run's i-th row in tensors that are laid out as x is.
        """
        return _Runs(self, code, f, begin, end, low, high, origin)

    def lines(self, f: Frame, begin: Int, end: Int) -> tuple[Int, Int]:
        """First and last line + 1 of the steps begin … end of the order of work."""
        a, b = f["t0"] + f["dt"] * begin, f["t0"] + f["dt"] * (end - 1)
        first = f.pointer("first")
        return first.integer(a.least(b)), first.integer(a.most(b) + 1)


class _Runs:
    def __init__(self, kernel: Kernel, code: Code, f: Frame, begin: Int, end: Int, low: Int, high: Int, origin: Int):
        self.kernel, self.code, self.f, self.begin, self.end, self.low, self.high, self.origin = (
            kernel,
            code,
            f,
            begin,
            end,
            low,
            high,
            origin,
        )

    def __enter__(self) -> tuple[Int, Int, Int, Callable[[Int], Int]]:
        code, f, k = self.code, self.f, self.kernel
        whole = code.builder.and_(self.low <= 0, self.high >= f["B"])
        whole = code.builder.and_(whole, f["line_step"] <= 0)
        steps = self.end - self.begin
        self._range = code.range(Int(code, code.builder.select(whole, code.integer(1).value, steps.value)))
        j = self._range.__enter__()
        t = f["t0"] + f["dt"] * (self.begin + j)
        here = f.pointer("first").integer(t)
        rows = k.count(f, t).least(self.high) - self.low
        first, last = k.lines(f, self.begin, self.end)
        r = Int(code, code.builder.select(whole, first.value, (here + self.low).value))
        n = Int(code, code.builder.select(whole, (last - first).value, rows.value))

        def at(i: Int) -> Int:
            return f.line(t) + f.pointer("starts").integer(self.low + i)

        return r, n, r - self.origin, at

    def __exit__(self, *error: object) -> None:
        self._range.__exit__(*error)  # type: ignore[arg-type]
