"""The loop over steps, shared by forward and backward, and the division of its work between threads.

Rows are packed: step t has the lines step_offsets[t] … step_offsets[t + 1] of every packed tensor, and never more rows
than the step before. In a dense batch every step has B rows. Tensors with the layout of x (x, the output, the gradients
of both) may be the caller's instead of packed: `row_base` has the line of each row's first step, and the row's next
step is `row_stride` lines further. `state_row` has the row of the caller's states that belongs to each packed row.

Work items are independent of each other, or threads share every step, with barriers between its stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir

from ...cells import Cell
from ...cells.noise import WORDS
from ..codegen.arguments import MAX_TEAM, Field, Keyed, Layout
from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..codegen.kernel_args import KernelArgs, StateTable
from ..planning.cell_program import Program
from ..planning.operands import Product
from ..planning.step_schedule import StepSchedule
from ..system.openmp import with_denormals_flushed
from ..system.target import Target
from .barrier import ThreadTeam
from .gemm import GemmFunctions
from .launch_times import PATIENCE, ItemTimes, record_exit
from .packing import emit_packing, vectors
from .philox import RandomGenerator, counter_blocks, counter_lane
from .step_function import StepFunction, slice_of


class ThreadSlice:
    """The work of one thread: rows low … high with all units, or all rows with a slice of the units.

    Threads that share steps are a team. It dissolves where long waits at its barriers take most of the time, as beside
    other processes: after the same step all threads but one leave, and that one goes on with all units.
    """

    def __init__(self, args: KernelArgs, item: Int, items: Int, team: ThreadTeam):
        code = args.code
        self.item, self.items, self.team = item, items, team
        shared = args.shared > 0
        self.times = ItemTimes(code, args, item, items, team.target)
        self._slices = code.alloca_i64(2)
        self._set_slice(shared.select(item, 0), shared.select(items, 1))
        splits = args.row_splits
        self.row_item = shared.select(0, item)
        self.low, self.high = splits.load_i64(self.row_item), splits.load_i64(self.row_item + 1)

    def _set_slice(self, index: Int, count: Int) -> None:
        self._slices.store_i64(0, index)
        self._slices.store_i64(1, count)

    @property
    def unit_slice(self) -> Int:
        """The number of this thread's slice of the units."""
        return self._slices.load_i64(0)

    @property
    def num_unit_slices(self) -> Int:
        """The number of slices: the threads of the team, 1 where threads have rows of their own."""
        return self._slices.load_i64(1)

    def unit_range(self, blocks: Int) -> tuple[Int, Int]:
        """(first, end) of the blocks of units that this thread computes, of `blocks` in all."""
        return slice_of(blocks, self.unit_slice, self.num_unit_slices)

    def barrier(self, code: Code, args: KernelArgs) -> None:
        """Emits a barrier between the threads that share the step."""
        self.team.barrier(code, args, self.unit_slice, self.num_unit_slices)

    def end_step(self, code: Code, args: KernelArgs, s: Int) -> None:
        """Emits the barrier after step s, in the order of work, after which the team may dissolve.

        A thread asks for it before it arrives at the barrier of step s, so that all threads read the request after that
        barrier; one that reads it before compares the step.
        """
        with code.if_(self.num_unit_slices > 1):
            waited = self.times.waited()
            with code.if_(waited > PATIENCE[self.team.target]), code.if_(waited + waited > self.times.elapsed()):
                request = s * MAX_TEAM + self.unit_slice
                code.builder.atomic_rmw("umin", args.dissolved_at.value, request.value, "monotonic")
        self.barrier(code, args)
        with code.if_(self.num_unit_slices > 1):
            at = Int(code, code.builder.load_atomic(args.dissolved_at.value, "monotonic", 8, typ=I64))
            with code.if_(at < (s + 1) * MAX_TEAM):
                with code.if_((at % MAX_TEAM).equals(self.unit_slice)):
                    self._set_slice(code.int_const(0), code.int_const(1))
                with code.if_(self.num_unit_slices > 1):
                    self.times.record()
                    record_exit(code, args, self.items, self.team.target)
                    code.builder.ret_void()


class Kernel:
    """The parts that forward and backward share: the step, the numbering of its products, the argument block."""

    packing_entry_point: str
    """The entry point that packs the weights before its first step."""
    probes = False
    """Whether the gradients of a probe can go through the steps too."""

    def __init__(self, program: Program, step: StepSchedule, target: Target, scalar: str, extra: list[Product]):
        self.program, self.step, self.target, self.scalar = program, step, target, scalar
        self.states = len(program.trace.states)
        self.numbered_products = list(enumerate([*step.products, *extra]))
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
            k.with_probe,
            k.probe,
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
        """The names of the tensors of lines that the kernel reads or writes."""
        raise NotImplementedError

    def module(self) -> ir.Module:
        """Emits the module. It is not cached: its IR takes a hundred times the memory of the compiled code."""
        module = ir.Module(self.program.cell.name)
        gemm = GemmFunctions(module, self.scalar, self.target.lanes(self.scalar), self.target.registers)
        team = ThreadTeam(self.layout, self.target.name)
        pack = self._pack_function(gemm)
        for name, emit in self.entry_points().items():
            body = gemm.define(f"{name}_body", [PTR])
            args = KernelArgs(self.layout, body, body.arguments[0])
            count = team.size(body, args)
            with body.work_items(args.counter, count) as item:
                thread = ThreadSlice(args, item, count, team)
                if name == self.packing_entry_point:
                    with body.if_(args.begin <= 0):
                        self._pack_and_wait(body, args, pack, thread)
                emit(body, args, gemm, thread)
                thread.times.record()
            record_exit(body, args, count, self.target.name)
            with_denormals_flushed(module, body.close(), name, self.target)
        return module

    def _pack_function(self, gemm: GemmFunctions) -> ir.Function:
        """f(argument block, part, parts): packs a part of the weights."""
        code = gemm.define("pack", [PTR, I64, I64])
        base, part, parts = code.arguments
        self.pack(code, KernelArgs(self.layout, code, base), gemm, part, parts)
        return code.close()

    def _pack_and_wait(self, code: Code, args: KernelArgs, pack: ir.Function, thread: ThreadSlice) -> None:
        """Emits the packing: threads take parts of it, as many as there are work items, and wait until all are
        complete. One thread may take all of them, so a team of fewer threads than work items goes on too.
        """
        with code.work_items(args.packing_counter, thread.items) as part:
            code.call(pack, args.base, part, thread.items)
            code.builder.atomic_rmw("add", args.packed_count.value, ir.Constant(I64, 1), "acq_rel")
        thread.team.wait(code, args, args.packed_count, thread.items, thread.item)

    def entry_points(self) -> dict[str, Any]:
        """name -> the method that emits its body: f(code, args, gemm, thread)."""
        raise NotImplementedError

    def pack(self, code: Code, args: KernelArgs, gemm: GemmFunctions, part: Int, parts: Int) -> None:
        """Packs part number `part` of `parts` of the weights."""
        emit_packing(code, args, self.program.cell, self.step, gemm, self.numbered_products, part, parts)

    def zero_padding(self, args: KernelArgs, part: Int, parts: Int, name: str, width: str) -> None:
        """Zeros a part of the padding of a tensor with the layout of the caller's x: its lines past the ends of
        rows."""
        code = args.code
        n, size, to, lengths = code.lanes.lanes, args.size(width), args.row[name], args.caller_lengths

        def clear(begin: Int, end: Int) -> None:
            with code.range(end, begin, n) as u, code.if_else(u + n <= end) as (whole, tail):
                with whole:
                    to.at(u).store(code.lanes.zero)
                with tail:
                    to.at(u).store(code.lanes.zero, code.lanes.tail_mask((end - u).value))

        steps, rows = args.caller_steps, args.caller_rows
        with code.if_(args.row_stride.equals(1)), code.range(rows, part, parts) as b:
            clear((b * steps + lengths.load_i64(b)) * size, (b + 1) * steps * size)
        with code.if_(args.row_stride > 1), code.range(steps, part, parts) as t, code.range(rows) as b:
            line = t * rows + b
            with code.if_(t >= lengths.load_i64(b)):
                clear(line * size, (line + 1) * size)

    def step_function(self, gemm: GemmFunctions, team: ThreadTeam) -> ir.Function:
        """Emits the function of one step."""
        return StepFunction(
            self.step, self.layout, gemm, self.states, self.product_index, team, self.program.cell, self.probes
        ).emit()

    # The loop over steps.

    def row_count(self, args: KernelArgs, t: Int) -> Int:
        """The rows of step t."""
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
        """Loops over steps begin … end of the order of work; s counts in this order, t in the order of x.

        In each step the states of the rows that start are loaded, step_callback(s, t, low, high, next_row_count) is
        emitted for the rows low … high, and the states of the rows that end are stored.
        """
        low, high = thread.low, thread.high
        with code.range(end, begin) as s:
            t = args.first_step + args.step_sign * s
            here = self.row_count(args, t)
            # The rows of the neighbouring steps, 0 past either end without reading there.
            later = s > 0
            prev_row_count = later.select(self.row_count(args, t - args.step_sign * (s > 0).to_int()), 0)
            more = s + 1 < args.T
            next_row_count = more.select(self.row_count(args, t + args.step_sign * more.to_int()), 0)
            for own, table in self._row_sets(args, states):
                self._swap_buffers(own, table, s)
            with code.if_(prev_row_count.max(low) < here.min(high)):
                rows = prev_row_count.max(low), here.min(high)
                self._load_states(args, states, rows, thread)
                self._with_probe(args, states, lambda own, table: self._load_states(own, table, rows, thread))
                thread.barrier(code, args)
            self._generate_random(code, args, s, t, thread)
            step_callback(s, t, low, here.min(high), next_row_count)
            thread.end_step(code, args, s)
            with code.if_(next_row_count.max(low) < here.min(high)):
                ended = next_row_count.max(low), here.min(high)
                self._store_states(args, states, ended, thread)
                self._with_probe(args, states, lambda own, table: self._store_states(own, table, ended, thread))

    def _row_sets(self, args: KernelArgs, states: StateTable) -> list[tuple[KernelArgs, StateTable]]:
        """The argument block and the table of states, and those of a probe in a kernel that has one."""
        own = [(KernelArgs(self.layout, args.code, args.probe), states.following())] if self.probes else []
        return [(args, states), *own]

    def _with_probe(self, args: KernelArgs, states: StateTable, emit: Callable[[KernelArgs, StateTable], None]) -> None:
        """Emits work for the rows of a probe, done where there is one."""
        for own, table in self._row_sets(args, states)[1:]:
            with args.code.if_(args.with_probe > 0):
                emit(own, table)

    def _generate_random(self, code: Code, args: KernelArgs, s: Int, t: Int, thread: ThreadSlice) -> None:
        """Fills the random buffer: per-sequence numbers before step 0, per-step numbers every 4 steps, because one
        Philox call gives 4.

        It has numbers for all rows of any of the four steps, because rows may start in between.
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
        """Sets the buffers of the carried states at step s: double buffers swap at every step."""
        odd = (s % 2).equals(1)
        for k, double in enumerate(self.step.double_buffered):
            a, b = args.even[k], args.odd[k]
            states.set_carried(k, odd.select_pointer(b, a) if double else a, odd.select_pointer(a, b) if double else a)

    def _load_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], thread: ThreadSlice) -> None:
        """Copies the initial states of a range of rows, which start at this step, into the carried states."""
        for tensor, buffer, mask in self._state_vectors(args, args.start_state, states.previous, rows, thread):
            buffer.store(tensor.load(mask))

    def _store_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], thread: ThreadSlice) -> None:
        """Copies the carried states of a range of rows, which end at this step, into the final states."""
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
        """Emits, for each state, a loop over rows and this thread's vectors of units.

        Yields (address in the tensor, address in the buffer, mask).
        """
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
        """Loops over contiguous spans of the lines of rows low … high in steps begin … end.

        Yields (first packed line, lines, first line relative to `origin`, x_line); x_line(i) is the line of the span's
        i-th row in tensors with the layout of x. The whole batch is one span if x is packed; else each step has one.
        origin: the first packed line of the block of steps.
        """
        return _RowSpans(self, code, args, begin, end, low, high, origin)

    def packed_lines(self, args: KernelArgs, begin: Int, end: Int) -> tuple[Int, Int]:
        """(first, end) of the packed lines of the steps begin … end of the order of work."""
        a, b = args.first_step + args.step_sign * begin, args.first_step + args.step_sign * (end - 1)
        first = args.step_offsets
        return first.load_i64(a.min(b)), first.load_i64(a.max(b) + 1)


class _RowSpans:
    """The context manager behind `Kernel.row_spans`."""

    def __init__(
        self, kernel: Kernel, code: Code, args: KernelArgs, begin: Int, end: Int, low: Int, high: Int, origin: Int
    ):
        self.kernel, self.code, self.args = kernel, code, args
        self.begin, self.end, self.low, self.high, self.origin = begin, end, low, high, origin

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

        def x_line(i: Int) -> Int:
            return args.line(t) + args.row_base.load_i64(self.low + i)

        return r, n, r - self.origin, x_line

    def __exit__(self, *error: object) -> None:
        self._range.__exit__(*error)  # type: ignore[arg-type]


def parameter_keys(cell: Cell) -> list[str]:
    """The keys of `KernelArgs.weight` in the order of `cell.parameters`: letters, then p.NAME."""
    return [letter for letter in cell.letters if letter != "p"] + [f"p.{n}" for n in cell.gates.get("p", ())]
