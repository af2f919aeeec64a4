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

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from ...cells import Cell
from ...cells.noise import WORDS
from ..codegen.arguments import Field, Keyed, Layout
from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.kernel_args import KernelArgs, StateTable
from ..planning.cell_program import Program
from ..planning.step_schedule import Product, StepSchedule
from ..system.openmp import with_denormals_flushed
from ..system.target import Target
from .barrier import ThreadTeam
from .gemm import GemmFunctions
from .packing import emit_packing, vectors
from .philox import RandomGenerator, counter_blocks, counter_lane
from .step_function import StepFunction, slice_of


class ThreadSlice:
    """One part of a job: rows low … high with all units, or all rows and a share of the units."""

    def __init__(self, args: KernelArgs, item: Int, items: Int, team: ThreadTeam):
        code = args.code
        self.item, self.items, self.team = item, items, team
        shared = args.shared > 0
        cuts, zero = args.row_splits, code.int_const(0)
        self.unit_slice, self.num_unit_slices = shared.select(item, 0), shared.select(items, 1)
        row = shared.select(zero, item)
        self.low, self.high = cuts.load_i64(row), cuts.load_i64(row + 1)

    def unit_range(self, blocks: Int) -> tuple[Int, Int]:
        """The range of `blocks` blocks of units that this thread computes."""
        return slice_of(blocks, self.unit_slice, self.num_unit_slices)

    def barrier(self, code: Code, args: KernelArgs) -> None:
        """Waits for the threads that share the step."""
        self.team.barrier(code, args, self.num_unit_slices)


class Kernel:
    """What forward and backward have in common: the step, the numbering of its products, the frame's names."""

    def __init__(self, program: Program, step: StepSchedule, target: Target, scalar: str, more: list[Product]):
        self.program, self.step, self.target, self.scalar = program, step, target, scalar
        self.states = len(program.trace.states)
        numbered = [*step.hoisted, *(q for p in step.loops for q in p.products), *more]
        self.numbered_products = list(enumerate(numbered))
        self.product_index = {id(p): k for k, p in self.numbered_products}
        self.vectors, self.random_blocks = vectors(step), counter_blocks(step)
        self.layout = Layout(self._fields())

    def _fields(self) -> list[Field]:
        """The fields of the argument block that these kernels read."""
        cell, k = self.program.cell, KernelArgs
        backward_only = (
            k.compute_dx,
            k.overwrite,
            k.operand_panel,
            k.gradient_columns,
            k.panel_size,
            k.panels,
            k.zeros,
        )
        optional = (*backward_only, k.gate_gradients, k.random_state, k.random_buffer)
        fields = [f for f in k.fields() if f not in optional]
        fields += [f[number] for number, _ in self.numbered_products for f in (k.panel, k.bias)]
        fields += [k.pregemm[self.product_index[id(p)]] for p in self.step.hoisted]
        fields += [k.vector[n] for n in self.vectors]
        fields += [k.random_state, k.random_buffer] if self.random_blocks else []
        fields += [k.weight[n] for n in parameter_keys(cell)]
        fields += [f[n] for n in range(self.states) for f in (k.start_state, k.final_state, k.even, k.odd)]
        for name in self.row_tensors():
            fields += [k.row[name], k.stride[name]]
        return fields

    def row_tensors(self) -> list[str]:
        raise NotImplementedError

    def module(self) -> ir.Module:
        """The code, emitted anew. None of it stays here: it takes a hundred times the memory of what it compiles to."""
        module = ir.Module(self.program.cell.name)
        gemm = GemmFunctions(module, self.scalar, self.target.lanes(self.scalar), self.target.registers)
        bodies: dict[str, ir.Function] = {}
        team = ThreadTeam(self.layout, self.target.name)
        for name, emit in self.entry_points().items():
            body = gemm.define(f"{name}_body", [PTR])
            args = KernelArgs(self.layout, body, body.arguments[0])
            count = team.size(body, args)
            with body.work_items(args.counter, count) as item:
                emit(body, args, gemm, ThreadSlice(args, item, count, team))
            bodies[name] = body.close()
            with_denormals_flushed(module, bodies[name], name, self.target)
        self._fused_entry(gemm, bodies)
        return module

    def _fused_entry(self, gemm: GemmFunctions, bodies: dict[str, ir.Function]) -> None:
        """The first two jobs one after the other, for a call that one thread does by itself."""
        pack, main = list(bodies.values())[:2]
        code = gemm.define("fused_body", [PTR])
        args = KernelArgs(self.layout, code, code.arguments[0])
        code.call(pack, args.base)
        code.builder.store(ir.Constant(I64, 0), args.counter.value, align=8)
        code.call(main, args.base)
        with_denormals_flushed(gemm.module, code.close(), "fused", self.target)

    def entry_points(self) -> dict[str, Any]:
        raise NotImplementedError

    def pack(self, code: Code, args: KernelArgs, gemm: GemmFunctions, thread: ThreadSlice) -> None:
        emit_packing(code, args, self.program.cell, self.step, gemm, self.numbered_products, thread.item, thread.items)

    def zero_padding(self, code: Code, args: KernelArgs, thread: ThreadSlice, name: str, width: str) -> None:
        """Zeros into the lines of a tensor that is laid out as the caller's x which no row has: past the rows' ends."""
        n, size, to, lengths = code.lanes.lanes, args.size(width), args.row[name], args.caller_lengths

        def clear(begin: Int, end: Int) -> None:
            with code.range(end, begin, n) as u, code.if_else(u + n <= end) as (whole, tail):
                with whole:
                    to.at(u).store(code.lanes.zero)
                with tail:
                    to.at(u).store(code.lanes.zero, code.lanes.tail_mask((end - u).value))

        steps, rows = args.caller_steps, args.caller_rows
        with code.if_(args.row_stride.equals(1)), code.range(rows, thread.item, thread.items) as b:
            clear((b * steps + lengths.load_i64(b)) * size, (b + 1) * steps * size)
        with code.if_(args.row_stride > 1), code.range(steps, thread.item, thread.items) as t, code.range(rows) as b:
            line = t * rows + b
            with code.if_(t >= lengths.load_i64(b)):
                clear(line * size, (line + 1) * size)

    def step_function(self, gemm: GemmFunctions, team: ThreadTeam) -> ir.Function:
        return StepFunction(
            self.step, self.layout, gemm, self.states, self.product_index, team, self.program.cell
        ).emit()

    # the loop over steps

    def row_count(self, args: KernelArgs, t: Int) -> Int:
        first = args.step_offsets
        return first.load_i64(t + 1) - first.load_i64(t)

    def loop(
        self,
        code: Code,
        args: KernelArgs,
        states: StateTable,
        begin: Int,
        end: Int,
        thread: ThreadSlice,
        step_callback: Any,
    ) -> None:
        """Steps begin … end of the order of work: rows enter, run(s, t, low, high, rows after), rows leave."""
        low, high = thread.low, thread.high
        with code.range(end, begin) as s:
            t = args.first_step + args.step_sign * s
            here = self.row_count(args, t)
            # Which steps come before and after, without reading past either end.
            later = s > 0
            before = later.select(self.row_count(args, t - args.step_sign * (s > 0).to_int()), 0)
            more = s + 1 < args.T
            after = more.select(self.row_count(args, t + args.step_sign * more.to_int()), 0)
            self._swap_buffers(args, states, s)
            with code.if_(before.max(low) < here.min(high)):
                self._load_states(args, states, (before.max(low), here.min(high)), thread)
                thread.barrier(code, args)
            self._generate_random(code, args, s, t, thread)
            step_callback(s, t, low, here.min(high), after)
            thread.barrier(code, args)
            with code.if_(after.max(low) < here.min(high)):
                self._store_states(args, states, (after.max(low), here.min(high)), thread)

    def _generate_random(self, code: Code, args: KernelArgs, s: Int, t: Int, thread: ThreadSlice) -> None:
        """Random numbers are put down: before the first step those that are drawn once, and every four steps theirs.

        A room holds all rows that have one of the four steps, so that none is missing where rows enter in between.
        """
        first = s.equals(0)
        for letter in dict.fromkeys(name for name, _ in self.random_blocks):
            if letter == "S":
                due, earliest = first, code.int_const(0)
            else:
                lane = counter_lane(args, t)
                due = first | lane.equals((args.step_sign > 0).select(0, WORDS - 1))
                earliest = (t - lane).max(0)
            with code.if_(due):
                low, high = thread.unit_range(args.padded_units.ceil_div(code.lanes.lanes))
                generator = RandomGenerator(args, t)
                with (
                    code.range(self.row_count(args, earliest).min(thread.high), thread.low) as b,
                    code.range(high, low) as vector,
                ):
                    generator.fill(self.random_blocks, letter, b, vector * code.lanes.lanes)
                thread.barrier(code, args)

    def _swap_buffers(self, args: KernelArgs, states: StateTable, s: Int) -> None:
        """Sets the carried states of step s: double buffers swap at every step."""
        odd = (s % 2).equals(1)
        for k, double in enumerate(self.step.double_buffered):
            a, b = args.even[k], args.odd[k]
            states.set_carried(k, odd.select_pointer(b, a) if double else a, odd.select_pointer(a, b) if double else a)

    def _load_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], thread: ThreadSlice) -> None:
        """Copies the initial states of a range of rows into the carried states: they begin at this step."""
        for tensor, buffer, mask in self._state_vectors(args, args.start_state, states.previous, rows, thread):
            buffer.store(tensor.load(mask))

    def _store_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], thread: ThreadSlice) -> None:
        """Copies the carried states of a range of rows into the final states: this step is their last one."""
        for tensor, buffer, mask in self._state_vectors(args, args.final_state, states.next, rows, thread):
            tensor.store(buffer.load(), mask)

    def _state_vectors(
        self,
        args: KernelArgs,
        tensors: Keyed[Ptr],
        buffers: Callable[[int], Ptr],
        rows: tuple[Int, Int],
        thread: ThreadSlice,
    ) -> Iterator[tuple[Ptr, Ptr, Any]]:
        """For each state, emits the loop over rows and this thread's vectors: (in the tensor, in the buffer, mask)."""
        code = args.code
        n, (low, high) = code.lanes.lanes, rows
        for k, w in enumerate(self.program.cell.state_widths):
            width, padded = args.size(w), args.padded(w)
            tensor, buffer = tensors[k], buffers(k)
            first, last = thread.unit_range(width.ceil_div(n))
            with code.range(high, low) as b, code.range(last, first) as vector:
                u = vector * n
                mask = code.lanes.tail_mask((width - u).value)
                yield tensor.at(args.state_row.load_i64(b) * width + u), buffer.at(b * padded + u), mask

    def row_spans(self, code: Code, args: KernelArgs, begin: Int, end: Int, low: Int, high: Int, origin: Int) -> Any:
        """The lines of rows low … high in steps begin … end, in few runs: (first line, lines, place in the block, at).

        `origin` is the block's first line. One range that holds the whole batch is one run, unless the lines of its
        steps lie apart: then at(i) is the line of the run's i-th row in tensors that are laid out as x is.
        """
        return _RowSpans(self, code, args, begin, end, low, high, origin)

    def packed_lines(self, args: KernelArgs, begin: Int, end: Int) -> tuple[Int, Int]:
        """First and last line + 1 of the steps begin … end of the order of work."""
        a, b = args.first_step + args.step_sign * begin, args.first_step + args.step_sign * (end - 1)
        first = args.step_offsets
        return first.load_i64(a.min(b)), first.load_i64(a.max(b) + 1)


class _RowSpans:
    def __init__(
        self, kernel: Kernel, code: Code, args: KernelArgs, begin: Int, end: Int, low: Int, high: Int, origin: Int
    ):
        self.kernel, self.code, self.args, self.begin, self.end, self.low, self.high, self.origin = (
            kernel,
            code,
            args,
            begin,
            end,
            low,
            high,
            origin,
        )

    def __enter__(self) -> tuple[Int, Int, Int, Callable[[Int], Int]]:
        code, args, k = self.code, self.args, self.kernel
        whole = (self.low <= 0) & (self.high >= args.B)
        whole = whole & (args.row_stride <= 0)
        steps = self.end - self.begin
        self._range = code.range(whole.select(1, steps))
        j = self._range.__enter__()
        t = args.first_step + args.step_sign * (self.begin + j)
        here = args.step_offsets.load_i64(t)
        rows = k.row_count(args, t).min(self.high) - self.low
        first, last = k.packed_lines(args, self.begin, self.end)
        r = whole.select(first, here + self.low)
        n = whole.select(last - first, rows)

        def at(i: Int) -> Int:
            return args.line(t) + args.row_base.load_i64(self.low + i)

        return r, n, r - self.origin, at

    def __exit__(self, *error: object) -> None:
        self._range.__exit__(*error)  # type: ignore[arg-type]


def parameter_keys(cell: Cell) -> list[str]:
    """The keys of `KernelArgs.weight` in the order in which a layer gives a cell's parameters: letters, then p.NAME."""
    return [letter for letter in cell.letters if letter != "p"] + [f"p.{n}" for n in cell.gates.get("p", ())]
