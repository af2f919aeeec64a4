"""The kernels of a forward pass: packing of weights, and the time loop with products of x hoisted by chunks."""

from __future__ import annotations

from typing import Any

from ..codegen.ir_builder import Code, Int
from ..codegen.kernel_args import KernelArgs, StateTable
from ..planning.cell_program import Program
from ..planning.operands import Product
from ..system.target import Target
from .gemm import GemmFunctions, Matrix
from .gemm_dispatch import GemmDispatch
from .time_loop import Kernel, ThreadSlice


class Forward(Kernel):
    """Entry point: forward."""

    packing_entry_point = "forward"

    def __init__(self, program: Program, target: Target, scalar: str, save: bool, histories: bool):
        super().__init__(program, program.forward(save, histories), target, scalar, [])

    def row_tensors(self) -> list[str]:
        return ["x", *dict.fromkeys(s.name for _, s in self.step.outputs if s.kind == "tensor")]

    def entry_points(self) -> dict[str, Any]:
        return {"forward": self.forward}

    def pack(self, code: Code, args: KernelArgs, gemm: GemmFunctions, part: Int, parts: Int) -> None:
        """Packs the weights and zeros the padding of the output."""
        super().pack(code, args, gemm, part, parts)
        self.zero_padding(args, part, parts, "output", self.program.cell.output_width)

    def forward(self, code: Code, args: KernelArgs, gemm: GemmFunctions, thread: ThreadSlice) -> None:
        """For each chunk of steps: the hoisted products, then the time loop."""
        step = self.step_function(gemm, thread.team)
        states = StateTable.allocate(code, self.states)
        with code.range(args.end, args.begin, args.chunk) as begin:
            end = (begin + args.chunk).min(args.end)
            # Each work item has lines of its own: in a ragged batch the chunks of two items would overlap.
            origin = self.packed_lines(args, begin, end)[0] - args.chunk_rows // args.work_items * thread.row_item
            if self.step.hoisted:
                self._gather_x(code, args, gemm, begin, end, thread, origin)
            for p in self.step.hoisted:
                self._hoisted_gemm(code, args, gemm, p, begin, end, thread, origin)
            thread.barrier(code, args)

            def run_step(s: Int, t: Int, a: Int, b: Int, next_row_count: Int, origin: Int = origin) -> None:
                with code.if_(a < b):
                    r = args.step_offsets.load_i64(t) + a
                    code.call(
                        step,
                        args.base,
                        states.base,
                        a,
                        b - a,
                        r,
                        r - origin,
                        thread.unit_slice,
                        thread.num_unit_slices,
                        t,
                    )

            self.loop(code, args, states, begin, end, thread, run_step)

    def _gather_x(
        self,
        code: Code,
        args: KernelArgs,
        gemm: GemmFunctions,
        begin: Int,
        end: Int,
        thread: ThreadSlice,
        origin: Int,
    ) -> None:
        """Gathers the chunk's rows of x if they are strided: a tile reads contiguous rows."""
        with code.if_(args.row_stride > 0):
            with code.range(end, begin) as s:
                t = args.first_step + args.step_sign * s
                rows = (self.row_count(args, t).min(thread.high) - thread.low).max(0)
                first, last = thread.unit_range(rows)
                place = args.step_offsets.load_i64(t) + thread.low + first - origin
                code.call(
                    gemm.gather_rows(),
                    args.row["x"].at(args.line(t) * args.C),
                    args.C,
                    args.row_base.i64_ptr(thread.low + first),
                    last - first,
                    args.C,
                    args.gathered_x.at(place * args.padded_C),
                    args.padded_C,
                    args.padded_C,
                )
            thread.barrier(code, args)

    def _hoisted_gemm(
        self,
        code: Code,
        args: KernelArgs,
        gemm: GemmFunctions,
        p: Product,
        begin: Int,
        end: Int,
        thread: ThreadSlice,
        origin: Int,
    ) -> None:
        number, n = self.product_index[id(p)], gemm.lanes
        columns, tiles = p.columns * n, GemmDispatch(args, gemm, self.program.cell)
        first, last = thread.unit_range(args.H.ceil_div(p.span * n))
        strided = args.row_stride > 0
        x = strided.select_pointer(args.gathered_x, args.row["x"])
        line = strided.select(args.padded_C, args.stride["x"])
        with code.range(last, first) as block:
            start = args.bias[number].at(block * columns)
            panel = tiles.packed_panel(number, p, block, thread.unit_slice, hoisted=True)
            with (
                self.row_spans(code, args, begin, end, thread.low, thread.high, origin) as (r, rows, q, _),
                gemm.row_tiles(code, rows, p.columns) as (m, height),
            ):
                first_line = strided.select(q, r)
                out = args.pregemm[number].at((block * args.chunk_rows + q + m) * columns)
                tiles.gemm_tile(p, block, height, Matrix(x.at((first_line + m) * line), line), panel, start, out)
