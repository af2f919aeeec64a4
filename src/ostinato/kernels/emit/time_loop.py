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
from ..system.machine import Target
from ..system.openmp import flushed
from .barrier import ThreadTeam
from .gemm import Products
from .packing import emit_packing, vectors
from .philox import Random, blocks, word_of
from .step_function import Stepper, share_of


class Work:
    """One part of a job: rows low … high with all units, or all rows and a share of the units."""

    def __init__(self, args: KernelArgs, part: Int, count: Int, team: ThreadTeam):
        code = args.code
        self.part, self.count, self.team = part, count, team
        shared = args.shared > 0
        cuts, zero = args.row_splits, code.integer(0)
        self.share, self.shares = shared.select(part, 0), shared.select(count, 1)
        row = shared.select(zero, part)
        self.low, self.high = cuts.integer(row), cuts.integer(row + 1)


class Kernel:
    """What forward and backward have in common: the step, the numbering of its products, the frame's names."""

    def __init__(self, program: Program, step: StepSchedule, target: Target, scalar: str, more: list[Product]):
        self.program, self.step, self.target, self.scalar = program, step, target, scalar
        self.states = len(program.trace.states)
        numbered = [*step.hoisted, *(q for p in step.loops for q in p.products), *more]
        self.products = list(enumerate(numbered))
        self.numbers = {id(p): k for k, p in self.products}
        self.vectors, self.drawn = vectors(step), blocks(step)
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
        fields += [f[number] for number, _ in self.products for f in (k.panel, k.bias)]
        fields += [k.pregemm[self.numbers[id(p)]] for p in self.step.hoisted]
        fields += [k.vector[n] for n in self.vectors]
        fields += [k.random_state, k.random_buffer] if self.drawn else []
        fields += [k.weight[n] for n in parameter_keys(cell)]
        fields += [f[n] for n in range(self.states) for f in (k.start_state, k.final_state, k.even, k.odd)]
        for name in self.rows():
            fields += [k.row[name], k.stride[name]]
        return fields

    def rows(self) -> list[str]:
        raise NotImplementedError

    def module(self) -> ir.Module:
        """The code, emitted anew. None of it stays here: it takes a hundred times the memory of what it compiles to."""
        module = ir.Module(self.program.cell.name)
        products = Products(module, self.scalar, self.target.lanes(self.scalar), self.target.registers)
        bodies: dict[str, ir.Function] = {}
        team = ThreadTeam(products, self.layout, self.target.name)
        for name, emit in self.jobs().items():
            body = products.code(f"{name}_body", [PTR])
            args = KernelArgs(self.layout, body, body.arguments[0])
            count = team.size(body, args)
            with body.parts(args.counter, count) as part:
                emit(body, args, products, Work(args, part, count, team))
            bodies[name] = body.close()
            flushed(module, bodies[name], name, self.target)
        self._alone(products, bodies)
        return module

    def _alone(self, products: Products, bodies: dict[str, ir.Function]) -> None:
        """The first two jobs one after the other, for a call that one thread does by itself."""
        pack, work = list(bodies.values())[:2]
        code = products.code("alone_body", [PTR])
        args = KernelArgs(self.layout, code, code.arguments[0])
        code.call(pack, args.base)
        code.builder.store(ir.Constant(I64, 0), args.counter.value, align=8)
        code.call(work, args.base)
        flushed(products.module, code.close(), "alone", self.target)

    def jobs(self) -> dict[str, Any]:
        raise NotImplementedError

    def pack(self, code: Code, args: KernelArgs, products: Products, work: Work) -> None:
        emit_packing(code, args, self.program.cell, self.step, products, self.products, work.part, work.count)

    def pad_out(self, code: Code, args: KernelArgs, work: Work, name: str, width: str) -> None:
        """Zeros into the lines of a tensor that is laid out as the caller's x which no row has: past the rows' ends."""
        n, size, to, lengths = code.lanes.lanes, args.size(width), args.row[name], args.caller_lengths

        def clear(begin: Int, end: Int) -> None:
            with code.range(end, begin, n) as u, code.if_else(u + n <= end) as (whole, tail):
                with whole:
                    to.at(u).set_vector(code.lanes.zero)
                with tail:
                    to.at(u).set_vector(code.lanes.zero, code.lanes.tail_mask((end - u).value))

        steps, rows = args.caller_steps, args.caller_rows
        with code.if_(args.row_stride.equals(1)), code.range(rows, work.part, work.count) as b:
            clear((b * steps + lengths.integer(b)) * size, (b + 1) * steps * size)
        with code.if_(args.row_stride > 1), code.range(steps, work.part, work.count) as t, code.range(rows) as b:
            line = t * rows + b
            with code.if_(t >= lengths.integer(b)):
                clear(line * size, (line + 1) * size)

    def stepper(self, products: Products, team: ThreadTeam) -> ir.Function:
        return Stepper(self.step, self.layout, products, self.states, self.numbers, team, self.program.cell).emit()

    # the loop over steps

    def count(self, args: KernelArgs, t: Int) -> Int:
        first = args.step_offsets
        return first.integer(t + 1) - first.integer(t)

    def loop(
        self, code: Code, args: KernelArgs, states: StateTable, begin: Int, end: Int, work: Work, run: Any
    ) -> None:
        """Steps begin … end of the order of work: rows enter, run(s, t, low, high, rows after), rows leave."""
        low, high, team = work.low, work.high, work.team
        with code.range(end, begin) as s:
            t = args.first_step + args.step_sign * s
            here = self.count(args, t)
            # Which steps come before and after, without reading past either end.
            later = s > 0
            before = later.select(self.count(args, t - args.step_sign * (s > 0).to_int()), 0)
            more = s + 1 < args.T
            after = more.select(self.count(args, t + args.step_sign * more.to_int()), 0)
            self._swap_buffers(args, states, s)
            with code.if_(before.max(low) < here.min(high)):
                self._load_states(args, states, (before.max(low), here.min(high)), work)
                team.barrier(code, args, work.shares)
            self._draw(code, args, s, t, work)
            run(s, t, low, here.min(high), after)
            team.barrier(code, args, work.shares)
            with code.if_(after.max(low) < here.min(high)):
                self._store_states(args, states, (after.max(low), here.min(high)), work)

    def _draw(self, code: Code, args: KernelArgs, s: Int, t: Int, work: Work) -> None:
        """Random numbers are put down: before the first step those that are drawn once, and every four steps theirs.

        A room holds all rows that have one of the four steps, so that none is missing where rows enter in between.
        """
        first = s.equals(0)
        for letter in dict.fromkeys(name for name, _ in self.drawn):
            if letter == "S":
                due, earliest = first, code.integer(0)
            else:
                word = word_of(args, t)
                due = first | word.equals((args.step_sign > 0).select(0, WORDS - 1))
                earliest = (t - word).max(0)
            with code.if_(due):
                low, high = share_of(args.padded_units.ceil_div(code.lanes.lanes), work.share, work.shares)
                random = Random(args, t)
                with (
                    code.range(self.count(args, earliest).min(work.high), work.low) as b,
                    code.range(high, low) as vector,
                ):
                    random.put_down(self.drawn, letter, b, vector * code.lanes.lanes)
                work.team.barrier(code, args, work.shares)

    def _swap_buffers(self, args: KernelArgs, states: StateTable, s: Int) -> None:
        """Sets the carried states of step s: double buffers swap at every step."""
        odd = (s % 2).equals(1)
        for k, double in enumerate(self.step.double_buffered):
            a, b = args.even[k], args.odd[k]
            states.set_carried(k, odd.select_pointer(b, a) if double else a, odd.select_pointer(a, b) if double else a)

    def _load_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], work: Work) -> None:
        """Copies the initial states of a range of rows into the carried states: they begin at this step."""
        for tensor, buffer, mask in self._state_vectors(args, args.start_state, states.previous, rows, work):
            buffer.set_vector(tensor.vector(mask))

    def _store_states(self, args: KernelArgs, states: StateTable, rows: tuple[Int, Int], work: Work) -> None:
        """Copies the carried states of a range of rows into the final states: this step is their last one."""
        for tensor, buffer, mask in self._state_vectors(args, args.final_state, states.next, rows, work):
            tensor.set_vector(buffer.vector(), mask)

    def _state_vectors(
        self,
        args: KernelArgs,
        tensors: Keyed[Ptr],
        buffers: Callable[[int], Ptr],
        rows: tuple[Int, Int],
        work: Work,
    ) -> Iterator[tuple[Ptr, Ptr, Any]]:
        """For each state, emits the loop over rows and this thread's vectors: (in the tensor, in the buffer, mask)."""
        code = args.code
        n, (low, high) = code.lanes.lanes, rows
        for k, w in enumerate(self.program.cell.state_widths):
            width, padded = args.size(w), args.padded(w)
            tensor, buffer = tensors[k], buffers(k)
            first, last = share_of(width.ceil_div(n), work.share, work.shares)
            with code.range(high, low) as b, code.range(last, first) as vector:
                u = vector * n
                mask = code.lanes.tail_mask((width - u).value)
                yield tensor.at(args.state_row.integer(b) * width + u), buffer.at(b * padded + u), mask

    def runs(self, code: Code, args: KernelArgs, begin: Int, end: Int, low: Int, high: Int, origin: Int) -> Any:
        """The lines of rows low … high in steps begin … end, in few runs: (first line, lines, place in the block, at).

        `origin` is the block's first line. One range that holds the whole batch is one run, unless the lines of its
        steps lie apart: then at(i) is the line of the run's i-th row in tensors that are laid out as x is.
        """
        return _Runs(self, code, args, begin, end, low, high, origin)

    def lines(self, args: KernelArgs, begin: Int, end: Int) -> tuple[Int, Int]:
        """First and last line + 1 of the steps begin … end of the order of work."""
        a, b = args.first_step + args.step_sign * begin, args.first_step + args.step_sign * (end - 1)
        first = args.step_offsets
        return first.integer(a.min(b)), first.integer(a.max(b) + 1)


class _Runs:
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
        here = args.step_offsets.integer(t)
        rows = k.count(args, t).min(self.high) - self.low
        first, last = k.lines(args, self.begin, self.end)
        r = whole.select(first, here + self.low)
        n = whole.select(last - first, rows)

        def at(i: Int) -> Int:
            return args.line(t) + args.row_base.integer(self.low + i)

        return r, n, r - self.origin, at

    def __exit__(self, *error: object) -> None:
        self._range.__exit__(*error)  # type: ignore[arg-type]


def parameter_keys(cell: Cell) -> list[str]:
    """The keys of `KernelArgs.weight` in the order in which a layer gives a cell's parameters: letters, then p.NAME."""
    return [letter for letter in cell.letters if letter != "p"] + [f"p.{n}" for n in cell.gates.get("p", ())]
