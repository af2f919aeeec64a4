"""The kernels of a forward pass: weights are packed, products with x run a chunk of steps ahead of the time loop."""

from __future__ import annotations

from typing import Any

from .code import Code, Int
from .machine import Target
from .plan import Product
from .product import Products
from .program import Program
from .stepping import share_of
from .tiles import multiply, panel_of
from .timeloop import Kernel, Work
from .vector import Frame


class Forward(Kernel):
    """pack, forward."""

    def __init__(self, program: Program, target: Target, scalar: str, keep: bool, histories: bool):
        super().__init__(program, program.forward(keep, histories), target, scalar, [])

    def rows(self) -> list[str]:
        return ["x", *dict.fromkeys(s.name for _, s in self.step.outputs if s.kind == "rows")]

    def jobs(self) -> dict[str, Any]:
        return {"pack": self.pack, "forward": self.forward}

    def pack(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        super().pack(code, f, products, work)
        self.pad_out(code, f, work, "output", self.program.cell.output_width)

    def forward(self, code: Code, f: Frame, products: Products, work: Work) -> None:
        step = self.stepper(products, work.team)
        carried = code.table(3 * self.states)
        with code.range(f["end"], f["begin"], f["chunk"]) as begin:
            end = (begin + f["chunk"]).least(f["end"])
            # Each part has lines of its own: in a ragged batch two chunks would lay two rows on one line.
            origin = self.lines(f, begin, end)[0] - f["chunk_rows"] // f["parts"] * (work.part - work.share)
            if self.step.ahead:
                self._fetch(code, f, products, begin, end, work, origin)
            for p in self.step.ahead:
                self._ahead(code, f, products, p, begin, end, work, origin)
            work.team.meet(code, f, work.shares)

            def run(s: Int, t: Int, a: Int, b: Int, after: Int, origin: Int = origin) -> None:
                with code.when(a < b):
                    r = f.pointer("first").integer(t) + a
                    code.call(step, f.base, carried, a, b - a, r, r - origin, work.share, work.shares, t)

            self.loop(code, f, carried, begin, end, work, run)

    def _fetch(self, code: Code, f: Frame, products: Products, begin: Int, end: Int, work: Work, origin: Int) -> None:
        """The chunk's rows of x side by side, where they lie apart: a tile reads rows that are."""
        with code.when(f["line_step"] > 0):
            with code.range(end, begin) as s:
                t = f["t0"] + f["dt"] * s
                rows = (self.count(f, t).least(work.high) - work.low).most(0)
                first, last = share_of(rows, work.share, work.shares)
                place = f.pointer("first").integer(t) + work.low + first - origin
                code.call(
                    products.gather_rows(),
                    f.pointer("x").at(f.line(t) * f["C"]),
                    f["C"],
                    f.pointer("starts").entry(work.low + first),
                    last - first,
                    f["C"],
                    f.pointer("x_lines").at(place * f["padC"]),
                    f["padC"],
                    f["padC"],
                )
            work.team.meet(code, f, work.shares)

    def _ahead(
        self, code: Code, f: Frame, products: Products, p: Product, begin: Int, end: Int, work: Work, origin: Int
    ) -> None:
        number, n = self.numbers[id(p)], products.lanes
        columns = p.columns * n
        first, last = share_of(f["H"].over(p.span * n), work.share, work.shares)
        apart = f["line_step"] > 0
        x = code.choose(apart, f.pointer("x_lines"), f.pointer("x"))
        line = Int(code, code.builder.select(apart, f["padC"].value, f["stride_x"].value))
        with code.range(last, first) as block:
            start = f.pointer(f"bias_{number}").at(block * columns)
            panel = panel_of(code, f, products, self.program.cell, number, p, block, work.share)
            with (
                self.runs(code, f, begin, end, work.low, work.high, origin) as (r, rows, q, _),
                products.each_tile(code, rows, p.columns) as (m, height),
            ):
                near = Int(code, code.builder.select(apart, q.value, r.value))
                out = f.pointer(f"gates_{number}").at((block * f["chunk_rows"] + q + m) * columns)
                multiply(
                    code, f, products, self.program.cell, p, block, height, x.at((near + m) * line), line, panel, start,
                    out, columns,
                )  # fmt: skip
