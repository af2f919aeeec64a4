"""The launch plan: everything a call of the kernels needs that follows from its sizes alone, cached.

A call of new sizes, the normal case of texts, pays for its plan: what does not depend on T and B is in the
`PlanTemplate`.
"""

from __future__ import annotations

import operator
import time
from array import array
from collections.abc import Hashable
from itertools import pairwise

import torch
from torch import Tensor

from ...cells.noise import ROWS
from ...errors import ShapeError, phrase
from ..codegen.arguments import Block
from ..system import openmp
from . import cost_model, team_policy
from .plan_template import ALIGNMENT, PlanTemplate
from .row_partition import RowPartition, line_numbers
from .team_policy import TEAM
from .tensor_checks import TensorGuards, in_memory

# An upper bound in bytes: a plan without its tables.
_PLAN_BYTES = 4 << 10


class LaunchPlan:
    """The argument block of all calls of one size, without the addresses of tensors, and the workspace layout."""

    def __init__(self, template: PlanTemplate, partition: RowPartition, workers: int, prepacked: bool = False):
        """workers: threads that the call may use; prepacked: whether the weights are packed once for many calls."""
        self.template, self.partition = template, partition
        self.compiled, self.kernel = template.compiled, template.kernel
        self.itemsize, self.width = template.itemsize, template.width
        self.output_width, self.saved_width = template.output_width, template.saved_width
        self.guards = TensorGuards(template.where, template.dtype)
        self.calls: dict[Hashable, int] = {}
        """Kind of call → how many there were that no guard of this plan knew."""
        T, B, lines, costs, forwards = (
            partition.T,
            partition.B,
            partition.num_lines,
            cost_model.COSTS,
            template.forwards,
        )
        pack_per_use = forwards and not prepacked and T <= costs.pack_per_use_steps and lines > costs.unpacked_rows * T
        per_use_blocks = template.product_blocks if pack_per_use else ()
        large = template.weight_bytes >= (costs.shared_weight_bytes if forwards else costs.shared_weight_bytes_backward)
        load = cost_model.Load(B, lines, lines // max(1, T), template.macs_per_row, per_use_blocks, large)
        division = cost_model.divide(load, workers)
        self.threads = division.threads
        single_chunk = forwards and T * B <= costs.single_chunk_rows
        level = 2 if pack_per_use else int(single_chunk and lines > costs.unpacked_rows)
        level = -1 if prepacked else level * (division.shared or division.threads == 1)
        self.work_items = 1 if division.shared else division.threads
        self.row_splits = partition.row_splits(self.work_items)
        self._identity = line_numbers(1, B)
        unpacked = not prepacked and lines <= (costs.unpacked_rows if forwards else costs.unpacked_rows_backward)
        fixed, self.workspace_size = template.fixed_part(level, self.threads, unpacked)  # in numbers
        self.entries = entries = fixed[:]
        identity = self._identity.buffer_info()[0]
        values = (
            *(T, T, B, partition.step_offsets.buffer_info()[0], 0 if template.in_order else T - 1),
            *(identity, identity, identity, unpacked, level),
            *(division.shared, self.work_items, self.row_splits.buffer_info()[0]),
        )
        for index, value in zip(template.plan_fields, values):  # in the order of PLAN_FIELDS
            entries[index] = value
        self._reserve(template.row_fields, B)
        if forwards:
            entries[template.chunk] = chunk = max(1, T if single_chunk else min(T, costs.pregemm_rows // B))
            entries[template.chunk_rows] = chunk_rows = chunk * B * self.work_items
            self._reserve(template.line_fields, chunk_rows)
        else:
            self._divide_blocks(costs.panel_at_once_rows)
        self.workspace_bytes = self.workspace_size * self.itemsize
        self.output_shape = (T, B, self.output_width) if partition.dense else None

    def _divide_blocks(self, panel_at_once_rows: int) -> None:
        """Backward: the blocks of steps, their division between threads, and the workspace of one block."""
        template, partition, reverse, T = self.template, self.partition, self.template.reverse, self.partition.T
        self.blocks = partition.blocks(reverse)
        if partition.dense or self.work_items == 1:
            self.block_row_splits = [self.row_splits] * (len(self.blocks) - 1)
        else:
            # Threads are joined after every block, so each block is divided by itself.
            spans = [(a, b) if reverse else (T - b, T - a) for a, b in pairwise(self.blocks)]
            self.block_row_splits = [partition.row_splits(self.work_items, *span) for span in spans]
        self.block_lines = lines = partition.largest_block(self.blocks, reverse)
        """Packed lines of the largest block."""
        panels = template.panel_columns if lines <= panel_at_once_rows else 1
        panel_size = panels * lines * 2 * template.lanes
        self.entries[template.panel_size], self.entries[template.panels] = panel_size, panels
        self._reserve(template.line_fields, lines)
        self._reserve([(template.operand_panel, panel_size)], self.threads)
        self.probe_fields = [
            *self._offsets(template.probe_row_fields, partition.B),
            *self._offsets(template.probe_line_fields, lines),
        ]
        """(index, offset) of the workspace fields that differ in the argument block of a probe."""

    def _reserve(self, fields: list[tuple[int, int]], count: int) -> None:
        """Reserves `count` times the numbers of each field in the workspace, from a cache line on."""
        for index, offset in self._offsets(fields, count):
            self.entries[index] = offset

    def _offsets(self, fields: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
        """(index, offset) of each field, of which `count` times the numbers are reserved."""
        found = []
        for index, numbers in fields:
            found.append((index, self.workspace_size * self.itemsize))
            self.workspace_size += -(-count * numbers // ALIGNMENT) * ALIGNMENT
        return found

    @property
    def block(self) -> Block:
        """The argument block, read and written by field."""
        return Block(self.compiled.layout, self.entries)

    @property
    def nbytes(self) -> int:
        """An upper bound of its memory in bytes."""
        splits = 0 if self.template.forwards else len(self.blocks) * (160 + 8 * self.work_items)
        return 8 * len(self.entries) + 40 * (self.partition.T + self.partition.B) + splits + _PLAN_BYTES

    def first_line(self, begin: int, end: int) -> int:
        """The first packed line of the steps begin … end of the order of work."""
        return self.partition.step_offsets[self.steps_between(begin, end)[0]]

    def steps_between(self, begin: int, end: int) -> tuple[int, int]:
        """(first, end) in the order of x of the steps begin … end - 1 of the order of work."""
        T = self.partition.T
        return (begin, end) if self.template.in_order else (T - end, T - begin)

    def random_state_address(self, random_state: Tensor | None) -> int:
        """The address of the state of the random numbers; refuses a tensor that kernels cannot read."""
        wrong = operator.ne if self.partition.dense else operator.lt
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
        c, code, block = self.compiled, self.compiled.entry_points[entry_point], entries.buffer_info()[0]
        entries[c.counter] = entries[c.packing_counter] = entries[c.packed_count] = entries[c.barrier_count] = 0
        if self.threads == 1:
            if TEAM.alone_for <= 0.0:
                openmp.parallel(code, block, 1)
            else:
                begin = time.perf_counter()
                openmp.parallel(code, block, 1)
                TEAM.ran_alone(time.perf_counter() - begin)
            return
        entries[c.launch_times] = team_policy.FRESH_TIMES
        begin = time.perf_counter()
        openmp.parallel(code, block, self.threads)
        TEAM.ran_as_team(time.perf_counter() - begin, self.threads, entries[c.launch_times])
