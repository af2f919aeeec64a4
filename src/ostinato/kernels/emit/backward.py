"""The kernels of a backward pass: for each block of steps the time loop, then its part of the weight gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir

from ..codegen.arguments import Field
from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.kernel_args import CALLER_LAYOUT_TENSORS, KernelArgs, StateTable
from ..planning.cell_program import Program, WeightGradient
from ..planning.operands import Location, Product
from ..system.target import Target
from .gemm import GemmFunctions, Matrix
from .gemm_dispatch import GemmDispatch, total_depth
from .step_function import slice_of
from .time_loop import Kernel, ThreadSlice, parameter_keys


class Backward(Kernel):
    """Entry points: backward_loop, weight_gradients."""

    packing_entry_point = "backward_loop"

    def __init__(self, program: Program, target: Target, scalar: str, d_histories: bool, record: bool = False):
        dx, self.probes = program.input_gradient, record
        step = program.backward(d_histories, record)
        super().__init__(program, step, target, scalar, [dx] if dx is not None else [])

    def row_tensors(self) -> list[str]:
        read = {v.id for v in self.step.nodes}
        names = [
            s.name for i, s in self.step.inputs.items() if i in read and s.name and s.kind in ("tensor", "previous")
        ]
        for o in self.program.weight_gradients:
            names.append(
                o.operand.name
                if o.operand.kind == "tensor"
                else self.program.state_tensor(o.operand.index)
                if o.operand.kind == "recorded"
                else "x"
            )
        names += [factor.name for *_, factor in self.program.vector_gradients if factor is not None]
        past = [
            self.program.state_tensor(s.index)
            for i, s in self.step.inputs.items()
            if s.kind == "recorded" and i in read
        ]
        stored = [s.name for _, s in self.step.outputs if s.kind == "tensor"]
        return list(dict.fromkeys(["x", "dx", *names, *past, *stored]))

    def _fields(self) -> list[Field]:
        k, cell = KernelArgs, self.program.cell
        fields = super()._fields()
        fields += [k.first_state[n] for n in range(self.states)]
        fields += [k.d_weight[n] for n in parameter_keys(cell)]
        fields += [k.compute_dx, k.overwrite, k.gate_gradients, k.stride["gate_gradients"]]
        fields += [k.with_probe, k.probe] if self.probes else []
        return [*fields, k.operand_panel, k.gradient_columns, k.panel_size, k.panels, k.zeros]

    def pack(self, code: Code, args: KernelArgs, gemm: GemmFunctions, part: Int, parts: Int) -> None:
        super().pack(code, args, gemm, part, parts)
        if self.program.input_gradient is not None:
            with code.if_(args.compute_dx > 0):
                self.zero_padding(args, part, parts, "dx", "C")
        with code.if_(part <= 0), code.range(args.padded_units, step=gemm.lanes) as u:
            args.zeros.at(u).store(code.lanes.zero)

    def entry_points(self) -> dict[str, Any]:
        return {"backward_loop": self.backward_loop, "weight_gradients": self.weight_gradients}

    def _has_rows(self, k: int) -> bool:
        return self.program.state_tensor(k) in self.row_tensors()

    def _previous_line(self, args: KernelArgs, k: int, t: Int) -> Int:
        """The line that the rows of step t are relative to, in the tensor of state k after every step."""
        return args.line(t) if k == self.program.cell.output_state else args.step_offsets.load_i64(t)

    def backward_loop(self, code: Code, args: KernelArgs, gemm: GemmFunctions, thread: ThreadSlice) -> None:
        """The time loop over one block of steps, then the gradient of its x.

        In each step the rows that have a previous step read their states from the histories, and the others from the
        initial states: they are two calls of the step function.
        """
        step = self.step_function(gemm, thread.team)
        states = StateTable.allocate(code, self.states, 1 + self.probes)
        tables = [states, states.following()] if self.probes else [states]
        begin, end = args.begin, args.end
        origin, _ = self.packed_lines(args, begin, end)

        def run_step(s: Int, t: Int, a: Int, b: Int, next_row_count: Int) -> None:
            r = args.step_offsets.load_i64(t)
            middle = next_row_count.min(b).max(a)
            with code.if_(a < middle):
                for k, w in enumerate(self.program.cell.state_widths):
                    if self._has_rows(k):
                        before = args.row[self.program.state_tensor(k)].at(
                            self._previous_line(args, k, t + args.step_sign) * args.size(w)
                        )
                        for table in tables:
                            table.set_recorded(k, before)
                for table in tables:
                    table.set_recorded_rows(args.row_base, args.identity)
                code.call(
                    step,
                    args.base,
                    states.base,
                    a,
                    middle - a,
                    r + a,
                    r + a - origin,
                    thread.unit_slice,
                    thread.num_unit_slices,
                    t,
                )
            with code.if_(middle < b):
                for table in tables:
                    for k in range(self.states):
                        table.set_recorded(k, args.first_state[k])
                    table.set_recorded_rows(args.state_row, args.state_row)
                line = r + middle
                code.call(
                    step,
                    args.base,
                    states.base,
                    middle,
                    b - middle,
                    line,
                    line - origin,
                    thread.unit_slice,
                    thread.num_unit_slices,
                    t,
                )

        self.loop(code, args, states, begin, end, thread, run_step)
        dx = self.program.input_gradient
        if dx is not None:
            with code.if_(args.compute_dx > 0):
                self._input_gradient(code, args, gemm, dx, thread, origin)

    def _input_gradient(
        self, code: Code, args: KernelArgs, gemm: GemmFunctions, p: Product, thread: ThreadSlice, origin: Int
    ) -> None:
        number, n = self.product_index[id(p)], gemm.lanes
        columns, width = p.columns * n, args.C
        scratch = code.alloca_vec(gemm.tile_rows(p.columns) * columns)
        first, last = thread.unit_range(width.ceil_div(columns))
        with (
            code.range(last, first) as block,
            self.row_spans(code, args, args.begin, args.end, thread.low, thread.high, origin) as (r, rows, q, at),
            gemm.row_tiles(code, rows, p.columns) as (m, height),
        ):
            panel = args.panel[number].at(block * total_depth(args, p) * columns)
            start = args.bias[number].at(block * columns)
            line = args.stride["gate_gradients"]
            operands = [
                Matrix(args.gate_gradients.at((q + m) * line + args.column(operand.location.column)), line)
                for operand in p.operands
            ]
            GemmDispatch(args, gemm, self.program.cell).gemm_tile_sum(p, block, height, operands, panel, start, scratch)
            line, first, put = args.stride["dx"], block * columns, gemm.store_tile(p.columns)
            with code.if_else(args.row_stride > 0) as (strided, contiguous):
                with strided, code.range(height) as i:
                    to = args.row["dx"].at(at(m + i) * line + first)
                    code.call(put, 0, scratch.at(i * columns), 1, to, line, width - first)
                with contiguous:
                    to = args.row["dx"].at((r + m) * line + first)
                    code.call(put, 0, scratch, height, to, line, width - first)

    # Weight gradients.

    def weight_gradients(self, code: Code, args: KernelArgs, gemm: GemmFunctions, thread: ThreadSlice) -> None:
        """Accumulates the block's part of every weight gradient. Threads divide the gradients, never a sum.

        The gradient workspace is first transposed tile by tile, because a product that reads down a column would touch
        a new page of memory with every row. A deep product has one operand panel in the cache at a time, and computes
        all rows of the gradient with it; of a shallow one all panels fit, and the gradient is written row by row.
        """
        columns = 2 * gemm.lanes
        origin, last = self.packed_lines(args, args.begin, args.end)
        rows = last - origin
        panel, line = args.operand_panel.at(thread.item * args.panel_size), args.stride["gate_gradients"]
        sides = {s.column: s for o in self.program.weight_gradients for s in self._gradient_locations(o)}
        tiles = {}
        for j, s in enumerate(sides.values()):
            place, tiles[s.column] = args.column(s.column), self._thread_tiles(args, gemm, s.width, thread, j)
            side = args.gradient_columns.at(place * rows)
            code.call(_pack_gradient_columns(gemm), args.gate_gradients.at(place), line, rows, side, *tiles[s.column])
        for o in self.program.weight_gradients:
            width = args.size(o.columns)
            blocks = width.ceil_div(columns)
            with code.range(blocks, step=args.panels) as group:
                end = blocks.min(group + args.panels)
                with code.range(end, group) as block:
                    first, here = block * columns, panel.at((block - group) * rows * columns)
                    target = OperandPanel(here, first, (width - first).min(columns))
                    self._pack_operand(args, gemm, o, target, origin, rows)
                for s, gate in zip(self._gradient_locations(o), (g + i for _, g, n in o.gate_ranges for i in range(n))):
                    side = args.gradient_columns.at(args.column(s.column) * rows)
                    to = args.d_weight[o.letter].at(args.size(o.rows) * gate * width)
                    code.call(
                        _accumulate_outer(gemm),
                        side,
                        rows,
                        panel,
                        group,
                        end,
                        to,
                        width,
                        args.overwrite,
                        *tiles[s.column],
                    )
        for j, (letter, index, slot, factor) in enumerate(self.program.vector_gradients):
            with code.if_((thread.item + j) % thread.items <= 0):
                width = args.size(slot.width)
                name = f"p.{self.program.cell.gates['p'][index]}" if letter == "p" else letter
                to = args.d_weight[name].at(width * (0 if letter == "p" else index))
                terms: list[Int | Ptr] = [args.gate_gradients.at(args.column(slot.column)), line]
                if factor is not None:
                    factor_line = args.stride[factor.name]
                    terms += [args.row[factor.name].at(origin * factor_line + args.column(factor.column)), factor_line]
                code.call(_column_sum(gemm, len(terms) // 2), *terms, rows, to, width, args.overwrite)

    def _gradient_locations(self, o: WeightGradient) -> list[Location]:
        return [
            Location("workspace", width=o.rows, column=(h + i, p) if o.rows == "H" else (h, p + i))
            for (h, p), _, n in o.gate_ranges
            for i in range(n)
        ]

    def _thread_tiles(
        self, args: KernelArgs, gemm: GemmFunctions, width: str, thread: ThreadSlice, number: int
    ) -> tuple[Int, Int, Int]:
        """This thread's tiles of the columns of one gradient: (columns, first tile, end).

        Odd gradients are divided in reverse order, which balances the remainders.
        """
        size = args.size(width)
        index = thread.items - 1 - thread.item if number % 2 else thread.item
        return size, *slice_of(size.ceil_div(gemm.tile_rows(2)), index, thread.items)

    def _pack_operand(
        self, args: KernelArgs, gemm: GemmFunctions, o: WeightGradient, target: OperandPanel, origin: Int, rows: Int
    ) -> None:
        """Packs the operand's `rows` lines of this block of steps, from the packed line `origin` on."""
        code, width, (panel, first, here) = args.code, args.size(o.columns), target
        columns, pack, gather = 2 * gemm.lanes, gemm.pack_rows(), gemm.gather_rows()
        if o.operand.kind == "tensor":
            line = args.stride[o.operand.name]
            source = args.row[o.operand.name].at(args.column(o.operand.column) + first)

            def pack_contiguous() -> None:
                code.call(pack, source.at(origin * line), line, rows, here, panel, columns, columns)

            def pack_strided() -> None:
                with code.range(args.end, args.begin) as s:
                    t = args.first_step + args.step_sign * s
                    to = panel.at((args.step_offsets.load_i64(t) - origin) * columns)
                    lines = source.at(args.line(t) * line)
                    code.call(gather, lines, line, args.row_base, self.row_count(args, t), here, to, columns, columns)

            if o.operand.name in CALLER_LAYOUT_TENSORS:
                with code.if_else(args.row_stride > 0) as (yes, no):
                    with yes:
                        pack_strided()
                    with no:
                        pack_contiguous()
            else:
                pack_contiguous()
        elif o.operand.kind == "workspace":
            code.call(
                pack,
                args.gate_gradients.at(args.column(o.operand.column) + first),
                args.stride["gate_gradients"],
                rows,
                here,
                panel,
                columns,
                columns,
            )
        else:
            k = o.operand.index
            source, start = args.row[self.program.state_tensor(k)], args.first_state[k]
            with code.range(args.end, args.begin) as s:
                t = args.first_step + args.step_sign * s
                has_previous = s + 1 < args.T
                n, first_line = self.row_count(args, t), args.step_offsets.load_i64(t) - origin
                previous = t + args.step_sign * has_previous.to_int()
                prev_rows = has_previous.select(self.row_count(args, previous).min(n), 0)
                lines, to = (
                    source.at(self._previous_line(args, k, previous) * width + first),
                    panel.at(first_line * columns),
                )
                if k == self.program.cell.output_state:
                    code.call(gather, lines, width, args.row_base, prev_rows, here, to, columns, columns)
                else:
                    code.call(pack, lines, width, prev_rows, here, to, columns, columns)
                initial_rows, to = args.state_row.i64_ptr(prev_rows), panel.at((first_line + prev_rows) * columns)
                code.call(gather, start.at(first), width, initial_rows, n - prev_rows, here, to, columns, columns)


class OperandPanel(NamedTuple):
    """A panel of packed columns of an operand."""

    pointer: Ptr
    first: Int
    """The first column of the operand."""
    columns: Int
    """Columns of the panel that the operand has."""


@contextmanager
def _each_tile(code: Code, gemm: GemmFunctions, size: Int, first: Int, last: Int) -> Iterator[tuple[Int, Int]]:
    """Loops over the tiles first … last of `size` columns, of nearly equal height: yields (first column, height)."""
    count = size.ceil_div(gemm.tile_rows(2))
    with code.range(last, first) as i:
        m = i * size // count
        yield m, (i + 1) * size // count - m


def _pack_gradient_columns(gemm: GemmFunctions) -> ir.Function:
    """f(lines, stride, rows, packed, size, first tile, last): packs tiles of columns, [rows, height] each."""

    def body(code: Code) -> None:
        lines, stride, rows, side, *tiles = code.arguments
        n, most = gemm.lanes, gemm.tile_rows(2)
        with _each_tile(code, gemm, *tiles) as (m, height):
            to, column = side.at(m * rows), lines.at(m)
            # A tile may be taller than a vector has lanes.
            parts = range(0, most, n)
            masks = [code.lanes.tail_mask((height - k).value) for k in parts]
            # Whole vectors, whose surplus lanes the next lines overwrite, while they stay inside this tile's memory.
            safe = (rows - code.int_const(len(parts) * n).ceil_div(height)).max(0)
            for masked, begin, end in ((False, code.int_const(0), safe), (True, safe, rows)):
                with code.range(end, begin) as q:
                    for k, mask in zip(parts, masks):
                        v = column.at(stride * q + k).load(mask if masked else None)
                        to.at(height * q + k).store(v, mask if masked else None)

    return gemm.function("pack_gradient_columns", [PTR, I64, I64, PTR, I64, I64, I64], body)


def _accumulate_outer(gemm: GemmFunctions) -> ir.Function:
    """f(packed, rows, panels, group, end, C, width, overwrite, size, first tile, last): tiles of packedᵀ · panels.

    They are written to the column blocks group … end of C [size, width], or added to them if not `overwrite`.
    """

    def body(code: Code) -> None:
        side, rows, panels, group, end, to, width, overwrite, *tiles = code.arguments
        columns = 2 * gemm.lanes
        scratch = code.alloca_vec(gemm.tile_rows(2) * columns)
        with _each_tile(code, gemm, *tiles) as (m, height), code.range(end, group) as block:
            a, panel, first = side.at(m * rows), panels.at((block - group) * rows * columns), block * columns
            c, tile = to.at(m * width + first), gemm.column_tile(2)
            with code.if_else((overwrite > 0) & (first + columns <= width)) as (written, blended):
                with written:
                    code.call(tile, height, a, height, panel, rows, c, width)
                with blended:
                    code.call(tile, height, a, height, panel, rows, scratch, columns)
                    code.call(gemm.store_tile(2), 1 - overwrite, scratch, height, c, width, width - first)

    return gemm.function("accumulate_outer", [PTR, I64, PTR, I64, I64, PTR, I64, I64, I64, I64, I64], body)


def _column_sum(gemm: GemmFunctions, factors: int) -> ir.Function:
    """f(lines, stride, [lines, stride of a second factor,] rows, sums, width, overwrite): column sums over lines.

    They are written, or added if not `overwrite`.
    """

    def body(code: Code) -> None:
        *terms, rows, to, width, overwrite = code.arguments
        lanes, n = code.lanes, gemm.lanes
        total = code.alloca_vec(n)
        with code.range(width, step=n) as u:
            mask = lanes.tail_mask((width - u).value)
            total.store(lanes.zero)
            with code.range(rows) as q:
                value, *others = (a.at(q * line + u).load(mask) for a, line in zip(terms[::2], terms[1::2]))
                for other in others:
                    value = lanes.mul(value, other)
                total.store(lanes.add(total.load(), value))
            before = lanes.select((overwrite > 0).value, lanes.zero, to.at(u).load(mask))
            to.at(u).store(lanes.add(before, total.load()), mask)

    return gemm.function(f"column_sum_{factors}", [*[PTR, I64] * factors, I64, PTR, I64, I64], body)
