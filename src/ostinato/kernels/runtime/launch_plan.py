"""The launch plan: everything a call of the kernels needs that follows from its sizes alone, cached."""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_right
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...caching import graph_bytes
from ...cells.noise import ROWS, WORDS
from ...errors import ShapeError, phrase
from ..codegen.arguments import Block, Field, Workspace
from ..codegen.ir_builder import Ptr
from ..codegen.kernel_args import KernelArgs
from ..emit.barrier import set_barrier_functions
from ..emit.forward import Forward
from ..emit.time_loop import Kernel, parameter_keys
from ..planning.cell_program import Program
from ..planning.operands import Product
from ..system import compile_cache, openmp
from . import cost_model
from .tensor_checks import TensorGuards, in_memory

BLOCK_ROWS = 512
"""Rows of one block of backpropagation: the length of one chain of additions in a weight's gradient. Numerics, not a
cost: changing it changes bits."""

# Upper bounds in bytes: the names and indices of a kernel, and a plan without its tables.
_NAME_BYTES, _PLAN_BYTES = 32 << 10, 4 << 10

Integers = NDArray[np.int64]


class CompiledKernel:
    """A compiled kernel and the addresses of its entry points. `nbytes`: an upper bound of its code, plan and cell."""

    def __init__(self, kernel: Kernel, kind: str):
        self.kernel: Kernel = kernel
        self.program: Program = kernel.program
        self.layout = kernel.layout
        self.projected = kernel.program.cell.projected
        cell = self.program.cell
        key = f"{cell.equations}\n{cell.states} {cell.gates}\n{kind} {kernel.scalar}"
        self.library = compile_cache.compile(kernel.module, name=f"{cell.name} {kind}", key=key, target=kernel.target)
        self.nbytes = self.library.nbytes + graph_bytes(cell) + _NAME_BYTES
        self.entry_points = {name: self.library.address(name) for name in (*kernel.entry_points(), "fused")}
        states, at, k = range(len(cell.states)), self.layout, KernelArgs
        self.workspace, self.counter, self.barrier_count = at[k.workspace], at[k.counter], at[k.barrier_count]
        self.begin, self.end, self.row_splits = at[k.begin], at[k.end], at[k.row_splits]
        weights = parameter_keys(cell)
        arguments = [k.row["x"], *(f[n] for f in (k.start_state, k.final_state) for n in states)]
        arguments += [*(k.weight[n] for n in weights), *(k.first_state[n] for n in states if k.first_state[n] in at)]
        self.argument_indices = [at[f] for f in arguments]
        """Indices of x, of the start and final states, of the weights and, in backward, of the initial states of the
        forward pass."""
        self.draws = k.random_state in at
        self.output, self.saved, self.dx, self.random_state = (
            at[f] for f in (k.row["output"], k.row["saved"], k.row["dx"], k.random_state)
        )
        self.histories = [at[k.row[f"history_{n}"]] for n in states]
        saved = [self.saved] * bool(self.program.saved)
        self.saved_tensors = [self.output, *saved, *(self.histories[n] for n in self.program.state_histories)]
        """Indices of the output and of what forward saved, as backward reads them."""
        self.d_weights = [at[k.d_weight[n]] for n in weights if k.d_weight[n] in at]
        names = ["d_output", *(f"d_history_{n}" for n in states if n != cell.output_state)]
        self.upstream = [(at[k.row[n]], at[k.stride[n]]) for n in names]
        """Indices of the address and of the stride of each upstream gradient of a row tensor."""
        self.adjoints = [at[k.row[f"adjoint_{n}"]] for n in states]
        self.compute_dx, self.overwrite = at[k.compute_dx], at[k.overwrite]
        self.gate_gradients, self.zeros = at[k.gate_gradients], at[k.zeros]


def block_steps(B: int) -> int:
    """Steps of one block of backpropagation of a batch of B rows, counted from the end of the sequence."""
    return max(1, BLOCK_ROWS // max(1, B))


class RowPartition:
    """The packing of rows: the first line of each step, and the lengths of rows if they differ."""

    def __init__(self, T: int, B: int, sizes: Integers | None):
        self.T, self.B = T, B
        if sizes is None:
            self.lengths = None
            self.step_offsets = array("q", (np.arange(T + 1, dtype=np.int64) * B).tobytes())
            return
        if (np.diff(sizes, prepend=B) > 0).any() or (sizes < 0).any():
            expected = f"rows for each step, never more than in the step before and at most {B}"
            raise ShapeError(phrase("kernels", "sizes", expected, sizes.tolist(), "Sort rows by length."))
        self.B = B = int(sizes[0]) if T else B
        self.step_offsets = array("q", [0])
        self.step_offsets.frombytes(np.cumsum(sizes).tobytes())
        self.lengths = T - np.cumsum(np.bincount(sizes, minlength=B + 1))[:B]

    def row_splits(self, work_items: int, begin: int = 0, end: int | None = None) -> array:
        """The first rows of the work items, and B: ranges of nearly equal cost in steps begin … end.

        The cost is the number of lines if all rows are equally long. If not, a step of few rows costs as much as one of
        `min_rows_per_tile`: rows low … high cost the sum of their lengths, with the first rows of a tile all counted as
        long as the longest. Rows are bisected between halves of the work items, recursively.
        """
        if self.lengths is None or work_items == 1:
            return array("q", [i * self.B // work_items for i in range(work_items + 1)])
        inside = self.lengths if end is None else np.clip(self.lengths - begin, 0, end - begin)
        tile = cost_model.COSTS.min_rows_per_tile
        length, before = [*inside.tolist(), 0], [0, *np.cumsum(inside).tolist()]

        def cost(low: int, high: int) -> int:
            first_tile = min(low + tile, high)
            return tile * length[low] + before[high] - before[first_tile] if low < high else 0

        def halve(low: int, high: int, work_items: int) -> list[int]:
            if work_items == 1:
                return [low]
            left = work_items // 2

            def uneven(middle: int) -> int:
                """The cost of an item on the right minus that of one on the left, scaled to an integer."""
                return left * cost(middle, high) - (work_items - left) * cost(low, middle)

            middle = bisect_right(range(low, high), 0, key=lambda m: -uneven(m)) + low
            if middle > low and uneven(middle - 1) < -uneven(middle):
                middle -= 1
            return [*halve(low, middle, left), *halve(middle, high, work_items - left)]

        return array("q", [*halve(0, self.B, work_items), self.B])

    def blocks(self, reverse: bool) -> list[int]:
        """The first step of each block of backpropagation in the order of work, and the number of steps.

        A block has at most BLOCK_ROWS lines, or one step. Blocks are counted from the end of the sequence, so that the
        last steps of a sequence have the blocks of the whole.
        """
        if self.lengths is None:
            return [*range(0, self.T, min(self.T, block_steps(self.B)) or 1), self.T]
        first = self.step_offsets.tolist()
        ends = first if reverse else [first[-1] - n for n in reversed(first)]
        starts = [0]
        while starts[-1] < self.T:
            starts.append(max(starts[-1] + 1, bisect_right(ends, ends[starts[-1]] + BLOCK_ROWS) - 1))
        return starts


class LaunchPlan:
    """The argument block of all calls of one size, without the addresses of tensors, and the workspace layout."""

    def __init__(
        self,
        compiled: CompiledKernel,
        partition: RowPartition,
        C: int,
        H: int,
        P: int,
        workers: int,
        reverse: bool,
        strided_rows: bool = False,
    ):
        """strided_rows: whether the rows of x are the caller's, with a `RowLayout`, and not packed."""
        self.compiled, self.partition = compiled, partition
        self.guards = TensorGuards(f"cell {compiled.program.cell.name}", getattr(torch, compiled.kernel.scalar))
        kernel, cell = compiled.kernel, compiled.program.cell
        self.kernel, self.lanes = kernel, kernel.target.lanes(kernel.scalar)
        self.width = {"C": C, "H": H, "P": P}
        self.itemsize = 4 if kernel.scalar == "float32" else 8
        T, B, costs, k = partition.T, partition.B, cost_model.COSTS, KernelArgs
        forwards = isinstance(kernel, Forward)
        pack_per_use = (
            forwards and T <= costs.pack_per_use_steps and partition.step_offsets[-1] > costs.unpacked_rows * T
        )
        division = cost_model.divide(self._load(pack_per_use), workers)
        self.threads = division.threads
        pack_per_use = pack_per_use and (division.shared or division.threads == 1)
        self.work_items = work_items = 1 if division.shared else division.threads
        self.row_splits = partition.row_splits(work_items)
        self.workspace_size = 0  # in numbers
        self.identity = array("q", np.arange(B, dtype=np.int64).tobytes())
        self.block = block = Block(compiled.layout)
        in_order = forwards != reverse  # whether the loop runs from the first step to the last
        block[k.T], block[k.B], block[k.C], block[k.H], block[k.P] = T, B, C, H, P
        block[k.padded_C], block[k.padded_H], block[k.padded_P] = self.padded("C"), self.padded("H"), self.padded("P")
        block[k.padded_units] = units = max(self.padded("H"), self.padded("P"))
        block[k.end], block[k.work_items], block[k.row_splits] = T, work_items, self.row_splits.buffer_info()[0]
        block[k.step_offsets] = partition.step_offsets.buffer_info()[0]
        block[k.row_base] = block[k.identity] = block[k.state_row] = self.identity.buffer_info()[0]
        block[k.first_step], block[k.step_sign] = (0, 1) if in_order else (T - 1, -1)
        unpacked = costs.unpacked_rows if forwards else costs.unpacked_rows_backward
        block[k.unpacked_weights], block[k.pack_per_use] = (
            int(partition.step_offsets[-1] <= unpacked),
            int(pack_per_use),
        )
        block[k.shared] = int(division.shared)
        set_barrier_functions(block)
        for number, p in kernel.numbered_products:
            blocks = self._blocks(p)
            depth = sum(self.width[q.depth] * (1 if p.transposed else len(q.weights)) for q in p.operands)
            panels = self.threads if pack_per_use and p.transposed else blocks
            self._reserve(k.panel[number], panels * depth * p.columns * self.lanes)
            self._reserve(k.bias[number], blocks * p.columns * self.lanes)
        for name in kernel.vectors:
            self._reserve(k.vector[name], units)
        self._reserve(k.spill, B * kernel.step.spill_count * units)
        self._reserve(k.means, B * kernel.step.mean_count)
        if kernel.random_blocks:
            self._reserve(k.random_buffer, B * len(kernel.random_blocks) * WORDS * units)
        for n, w in enumerate(cell.state_widths):
            self._reserve(k.even[n], B * self.padded(w))
            if kernel.step.double_buffered[n]:
                self._reserve(k.odd[n], B * self.padded(w))
        if forwards:
            chunk = max(1, min(T, costs.pregemm_rows // B))
            block[k.chunk], block[k.chunk_rows] = chunk, chunk * B * work_items
            if strided_rows:
                self._reserve(k.gathered_x, chunk * B * work_items * self.padded("C"))
            for q in kernel.step.hoisted:
                blocks = -(-H // (q.span * self.lanes))
                self._reserve(
                    k.pregemm[kernel.product_index[id(q)]], blocks * chunk * B * work_items * q.columns * self.lanes
                )
        else:
            self.blocks = partition.blocks(reverse)
            # Threads are joined after every block, so each block is divided by itself.
            spans = [(a, b) if reverse else (T - b, T - a) for a, b in pairwise(self.blocks)]
            self.block_row_splits = [
                self.row_splits if partition.lengths is None else partition.row_splits(work_items, *span)
                for span in spans
            ]
            most = self._most_lines(reverse)
            columns = max(self.padded(w) for w in self.width) // (2 * self.lanes)
            panels = columns if most <= costs.panel_at_once_rows else 1
            stride, panel_size = self.count(compiled.program.workspace_width), panels * most * 2 * self.lanes
            block[k.stride["gate_gradients"]], block[k.panel_size], block[k.panels] = stride, panel_size, panels
            self._reserve(k.gate_gradients, most * stride)
            self._reserve(k.gradient_columns, most * stride)
            self._reserve(k.operand_panel, self.threads * panel_size)
            self._reserve(k.zeros, units)
        self._strides()
        self.workspace_bytes = self.workspace_size * self.itemsize
        self.output_width = self.width[cell.output_width]
        self.output_shape = (T, B, self.output_width) if partition.lengths is None else None
        self.saved_width = self.count(compiled.program.saved_width)

    @property
    def nbytes(self) -> int:
        """An upper bound of its memory in bytes."""
        splits = 0 if isinstance(self.kernel, Forward) else len(self.blocks) * (160 + 8 * self.work_items)
        return 8 * len(self.block.entries) + 40 * (self.partition.T + self.partition.B) + splits + _PLAN_BYTES

    def _strides(self) -> None:
        """Sets the stride between lines of each tensor."""
        program = self.compiled.program
        output = self.width[program.cell.output_width]
        states = {f"history_{k}": self.width[w] for k, w in enumerate(program.cell.state_widths)}
        lines = {"x": self.width["C"], "output": output, "saved": self.count(program.saved_width), **states}
        lines |= {f"adjoint_{k}": self.width[w] for k, w in enumerate(program.cell.state_widths)}
        for name, n in lines.items():
            self.block[KernelArgs.stride[name]] = self.block[KernelArgs.stride[f"d_{name}"]] = n
        self.block[KernelArgs.stride["dx"]] = self.width["C"]

    def _most_lines(self, reverse: bool) -> int:
        """Lines of the largest block."""
        first, T = self.partition.step_offsets, self.partition.T
        bounds = [first[s if reverse else T - s] for s in self.blocks]
        return max((abs(b - a) for a, b in pairwise(bounds)), default=0)

    def _load(self, pack_per_use: bool) -> cost_model.Load:
        """The input of the thread policy."""
        gates, partition = self.compiled.program.cell.gates, self.partition
        states = sum(len(v) for k, v in gates.items() if k in "UV") * self.width["H"]
        macs = (states + len(gates.get("W", ())) * self.width["C"] + 16) * self.width["H"]
        blocks = tuple(self._blocks(p) for _, p in self.kernel.numbered_products) if pack_per_use else ()
        return cost_model.Load(
            partition.B, partition.step_offsets[-1], partition.step_offsets[-1] // max(1, partition.T), macs, blocks
        )

    def _blocks(self, p: Product) -> int:
        """Blocks of units of a product, including a partial last one."""
        return -(-self.width[p.width] // (p.span * self.lanes))

    def first_line(self, begin: int, end: int) -> int:
        """The first packed line of the steps begin … end of the order of work."""
        t0, dt = self.block[KernelArgs.first_step], self.block[KernelArgs.step_sign]
        return self.partition.step_offsets[min(t0 + dt * begin, t0 + dt * (end - 1))]

    def padded(self, width: str) -> int:
        """A width rounded up to whole pairs of vectors."""
        n = 2 * self.lanes
        return -(-self.width[width] // n) * n

    def count(self, columns: tuple[int, ...]) -> int:
        """Columns in numbers, from columns in units of (H, P, 1)."""
        return columns[0] * self.width["H"] + columns[1] * self.width["P"] + sum(columns[2:])

    def _reserve(self, field: Field[Ptr], count: int) -> None:
        """Reserves `count` numbers of the workspace, from a cache line on."""
        assert isinstance(field, Workspace), field.name
        self.block[field] = self.workspace_size * self.itemsize
        self.workspace_size += -(-count // 16) * 16

    def random_state_address(self, random_state: Tensor | None) -> int:
        """The address of the state of the random numbers; refuses a tensor that kernels cannot read."""
        wrong = operator.ne if self.partition.lengths is None else operator.lt
        fits = random_state is not None and in_memory(random_state, torch.int64) and random_state.is_contiguous()
        if random_state is None or not fits or wrong(random_state.numel(), ROWS + self.partition.B):
            name = self.compiled.program.cell.name
            expected = f"an int64 tensor of 3 + B = {ROWS + self.partition.B} numbers for the cell {name}"
            received = "None" if random_state is None else f"{random_state.dtype} {list(random_state.shape)}"
            remedy = "Layers make it; ostinato.cells.noise says what it holds."
            raise ShapeError(phrase("kernels", "random_state", expected, received, remedy))
        return random_state.data_ptr()

    def launch(self, entries: array, entry_point: str) -> None:
        """Runs one entry point of the kernel on the argument block `entries`."""
        c = self.compiled
        entries[c.counter] = entries[c.barrier_count] = 0
        openmp.parallel(c.entry_points[entry_point], entries.buffer_info()[0], self.threads)
