"""The kernels of a forward pass: weights are packed, products with x run a chunk of steps ahead of the time loop."""

from __future__ import annotations

from typing import Any

from ..codegen.ir_builder import Code, Int
from ..codegen.kernel_args import KernelArgs, StateTable
from ..planning.cell_program import Program
from ..planning.step_schedule import Product
from ..system.machine import Target
from .gemm import Products, Rows
from .gemm_dispatch import Tiles
from .step_function import share_of
from .time_loop import Kernel, Work


class Forward(Kernel):
    """pack, forward."""

    def __init__(self, program: Program, target: Target, scalar: str, keep: bool, histories: bool):
        super().__init__(program, program.forward(keep, histories), target, scalar, [])

    def rows(self) -> list[str]:
        return ["x", *dict.fromkeys(s.name for _, s in self.step.outputs if s.kind == "tensor")]

    def jobs(self) -> dict[str, Any]:
        return {"pack": self.pack, "forward": self.forward}

    def pack(self, code: Code, args: KernelArgs, products: Products, work: Work) -> None:
        super().pack(code, args, products, work)
        self.pad_out(code, args, work, "output", self.program.cell.output_width)

    def forward(self, code: Code, args: KernelArgs, products: Products, work: Work) -> None:
        step = self.stepper(products, work.team)
        states = StateTable.allocate(code, self.states)
        with code.range(args.end, args.begin, args.chunk) as begin:
            end = (begin + args.chunk).min(args.end)
            # Each part has lines of its own: in a ragged batch two chunks would lay two rows on one line.
            origin = self.lines(args, begin, end)[0] - args.chunk_rows // args.parts * (work.part - work.share)
            if self.step.hoisted:
                self._fetch(code, args, products, begin, end, work, origin)
            for p in self.step.hoisted:
                self._ahead(code, args, products, p, begin, end, work, origin)
            work.team.barrier(code, args, work.shares)

            def run(s: Int, t: Int, a: Int, b: Int, after: Int, origin: Int = origin) -> None:
                with code.if_(a < b):
                    r = args.step_offsets.integer(t) + a
                    code.call(step, args.base, states.base, a, b - a, r, r - origin, work.share, work.shares, t)

            self.loop(code, args, states, begin, end, work, run)

    def _fetch(
        self, code: Code, args: KernelArgs, products: Products, begin: Int, end: Int, work: Work, origin: Int
    ) -> None:
        """The chunk's rows of x side by side, where they lie apart: a tile reads rows that are."""
        with code.if_(args.row_stride > 0):
            with code.range(end, begin) as s:
                t = args.first_step + args.step_sign * s
                rows = (self.count(args, t).min(work.high) - work.low).max(0)
                first, last = share_of(rows, work.share, work.shares)
                place = args.step_offsets.integer(t) + work.low + first - origin
                code.call(
                    products.gather_rows(),
                    args.row["x"].at(args.line(t) * args.C),
                    args.C,
                    args.row_base.entry(work.low + first),
                    last - first,
                    args.C,
                    args.gathered_x.at(place * args.padded_C),
                    args.padded_C,
                    args.padded_C,
                )
            work.team.barrier(code, args, work.shares)

    def _ahead(
        self,
        code: Code,
        args: KernelArgs,
        products: Products,
        p: Product,
        begin: Int,
        end: Int,
        work: Work,
        origin: Int,
    ) -> None:
        number, n = self.numbers[id(p)], products.lanes
        columns, tiles = p.columns * n, Tiles(args, products, self.program.cell)
        first, last = share_of(args.H.ceil_div(p.span * n), work.share, work.shares)
        apart = args.row_stride > 0
        x = apart.select_pointer(args.gathered_x, args.row["x"])
        line = apart.select(args.padded_C, args.stride["x"])
        with code.range(last, first) as block:
            start = args.bias[number].at(block * columns)
            panel = tiles.panel(number, p, block, work.share)
            with (
                self.runs(code, args, begin, end, work.low, work.high, origin) as (r, rows, q, _),
                products.each_tile(code, rows, p.columns) as (m, height),
            ):
                near = apart.select(q, r)
                out = args.pregemm[number].at((block * args.chunk_rows + q + m) * columns)
                tiles.multiply(p, block, height, Rows(x.at((near + m) * line), line), panel, start, out)
