"""`PlanTemplate`: what a launch plan has that does not depend on the number of steps and rows, cached once per layer.

Letters: T steps, B rows of the first step, C input features, H hidden units, P projected units, R packed rows.
"""

from __future__ import annotations

from array import array
from functools import cached_property
from math import prod

import torch

from ...cells.noise import WORDS
from ..codegen.arguments import Block, Field, Workspace
from ..codegen.ir_builder import Ptr
from ..codegen.kernel_args import KernelArgs
from ..emit.barrier import set_barrier_functions
from ..emit.forward import Forward
from ..planning.operands import Product
from .compiled_kernel import CompiledKernel
from .tensor_checks import SizeFreeGuards

# Upper bounds in bytes: a template without its blocks, and its guards.
_TEMPLATE_BYTES, _GUARD_BYTES = 8 << 10, 16 << 10

ALIGNMENT = 16
"""Fields of the workspace begin on cache lines: at multiples of so many numbers."""
PLAN_FIELDS = (
    *(KernelArgs.T, KernelArgs.end, KernelArgs.B, KernelArgs.step_offsets, KernelArgs.first_step),
    *(KernelArgs.row_base, KernelArgs.identity, KernelArgs.state_row),
    *(KernelArgs.unpacked_weights, KernelArgs.pack_per_use),
    *(KernelArgs.shared, KernelArgs.work_items, KernelArgs.row_splits),
)
"""The fields that each launch plan writes, in its order."""


class PlanTemplate:
    """The launch plans of one kernel and one layer's widths have these in common, for any T and B.

    The workspace begins with the fields of fixed size. Each plan reserves after them those that hold a number for each
    row, then those that hold one for each line of a chunk (forward) or of a block of steps (backward).
    """

    def __init__(self, compiled: CompiledKernel, C: int, H: int, P: int, reverse: bool, strided_rows: bool = False):
        """strided_rows: whether the rows of x are the caller's, with a `RaggedLayout`, and not packed."""
        self.compiled, self.reverse = compiled, reverse
        self.kernel, program, cell = compiled.kernel, compiled.program, compiled.program.cell
        kernel, at, k = compiled.kernel, compiled.layout, KernelArgs
        self.where = f"cell {cell.name}"
        self.dtype = getattr(torch, kernel.scalar)
        self.guards = SizeFreeGuards()
        self.lanes, self.itemsize = kernel.target.lanes(kernel.scalar), 4 if kernel.scalar == "float32" else 8
        self.width = {"C": C, "H": H, "P": P}
        self.state_widths = [self.width[w] for w in cell.state_widths]
        self.output_width = self.width[cell.output_width]
        self.saved_width = self.count(program.saved_width)
        self.forwards = isinstance(kernel, Forward)
        self.in_order = self.forwards != reverse
        """Whether the time loop runs from the first step to the last."""
        states = sum(len(v) for letter, v in cell.gates.items() if letter in "UV") * H
        self.macs_per_row = (states + len(cell.gates.get("W", ())) * C + 16) * H
        self.weight_bytes = self.itemsize * sum(map(prod, cell.parameters(C, H, P).values()))
        self.product_blocks = tuple(self._blocks(p) for _, p in kernel.numbered_products)
        """Blocks of units of each product."""
        units = max(self.padded("H"), self.padded("P"))
        row_fields: list[tuple[Field[Ptr], int]] = [
            (k.spill, kernel.step.spill_count * units),
            (k.means, kernel.step.mean_count),
        ]
        if kernel.random_blocks:
            row_fields.append((k.random_buffer, len(kernel.random_blocks) * WORDS * units))
        for n, w in enumerate(cell.state_widths):
            row_fields.append((k.even[n], self.padded(w)))
            if kernel.step.double_buffered[n]:
                row_fields.append((k.odd[n], self.padded(w)))
        line_fields: list[tuple[Field[Ptr], int]] = []
        self.stride, self.panel_columns = 0, 0
        self.hoisted = {kernel.product_index[id(q)] for q in kernel.step.hoisted}
        if self.forwards:
            if strided_rows:
                line_fields.append((k.gathered_x, self.padded("C")))
            for q in kernel.step.hoisted:
                size = -(-H // (q.span * self.lanes)) * q.columns * self.lanes
                line_fields.append((k.pregemm[kernel.product_index[id(q)]], size))
        else:
            self.stride = self.count(program.workspace_width)
            self.panel_columns = max(self.padded(w) for w in self.width) // (2 * self.lanes)
            line_fields += [(k.gate_gradients, self.stride), (k.gradient_columns, self.stride)]
        self.row_fields = [(_workspace_index(compiled, f), size) for f, size in row_fields]
        """(index, numbers for each row) of the fields of this kind."""
        self.line_fields = [(_workspace_index(compiled, f), size) for f, size in line_fields]
        """(index, numbers for each line of a chunk or block) of the fields of this kind."""
        own = {_workspace_index(compiled, f) for f in (k.gate_gradients, k.random_buffer)}
        self.probe_row_fields = [f for f in self.row_fields if f[0] not in own] if kernel.probes else []
        self.probe_line_fields = [(at[k.gate_gradients], self.stride)] if kernel.probes else []
        """The fields of these kinds that the rows of a probe have for themselves."""
        self.operand_panel = _workspace_index(compiled, k.operand_panel)
        self.chunk, self.chunk_rows, self.panel_size, self.panels = (
            at[f] for f in (k.chunk, k.chunk_rows, k.panel_size, k.panels)
        )
        self.plan_fields = [at[f] for f in PLAN_FIELDS]
        self._fixed: dict[tuple[int, int, bool], tuple[array, int]] = {}

    @property
    def nbytes(self) -> int:
        """An upper bound of its memory in bytes, with the blocks of a few numbers of threads."""
        return 4 * 8 * (self.compiled.layout.unused + 1) + _TEMPLATE_BYTES + _GUARD_BYTES

    def fixed_part(self, pack_per_use: int, threads: int, unpacked: bool) -> tuple[array, int]:
        """(the entries of an argument block, numbers of the workspace), with all that does not depend on T and B.

        pack_per_use: that of the argument block; where a panel is packed per use, each of the threads has one, and of
        prepacked weights the workspace has none. unpacked: whether weights are read unpacked.
        """
        key = (pack_per_use, threads if pack_per_use > 0 else 0, unpacked)
        found = self._fixed.get(key)
        if found is None:
            found = self._fixed[key] = self._fixed_part(*key)
        return found

    def _fixed_part(self, pack_per_use: int, threads: int, unpacked: bool) -> tuple[array, int]:
        kernel, block, k = self.kernel, Block(self.compiled.layout), KernelArgs
        block[k.C], block[k.H], block[k.P] = self.width["C"], self.width["H"], self.width["P"]
        block[k.padded_C], block[k.padded_H], block[k.padded_P] = self.padded("C"), self.padded("H"), self.padded("P")
        block[k.padded_units] = units = max(self.padded("H"), self.padded("P"))
        block[k.step_sign] = 1 if self.in_order else -1
        set_barrier_functions(block)
        self._set_strides(block)
        fields: list[tuple[Field[Ptr], int]] = []
        for (number, p), blocks in zip(kernel.numbered_products, self.product_blocks):
            per_use = p.transposed and pack_per_use > (0 if number in self.hoisted else 1)
            # Weights that are read by rows need a panel for a partial last block alone.
            unread = unpacked and (p.transposed or self.width[p.width] % (p.columns * self.lanes) == 0)
            if pack_per_use >= 0:
                panels = 0 if unread else threads if per_use else blocks
                fields.append((k.panel[number], panels * self._panel_size(p)))
            fields.append((k.bias[number], blocks * p.columns * self.lanes))
        fields += [(k.vector[name], units) for name in kernel.vectors]
        if not self.forwards:
            fields.append((k.zeros, units))
        size = 0
        for field, count in fields:
            block.entries[_workspace_index(self.compiled, field)] = size * self.itemsize
            size += -(-count // ALIGNMENT) * ALIGNMENT
        return block.entries, size

    @cached_property
    def panels_of_all(self) -> tuple[list[tuple[int, int]], int]:
        """((index, offset in bytes) of the panels of each product, numbers of all together), of prepacked weights."""
        fields, size = [], 0
        for (number, p), blocks in zip(self.kernel.numbered_products, self.product_blocks):
            fields.append((_workspace_index(self.compiled, KernelArgs.panel[number]), size * self.itemsize))
            size += -(-blocks * self._panel_size(p) // ALIGNMENT) * ALIGNMENT
        return fields, size

    def _panel_size(self, p: Product) -> int:
        """Numbers of the panel of one block of units."""
        depth = sum(self.width[q.depth] * (1 if p.transposed else len(q.weights)) for q in p.operands)
        return depth * p.columns * self.lanes

    def _set_strides(self, block: Block) -> None:
        """Sets the stride between lines of each tensor."""
        lines = {"x": self.width["C"], "output": self.output_width, "saved": self.saved_width}
        for n, w in enumerate(self.state_widths):
            lines |= {f"history_{n}": w, f"adjoint_{n}": w}
        for name, count in lines.items():
            block[KernelArgs.stride[name]] = block[KernelArgs.stride[f"d_{name}"]] = count
        block[KernelArgs.stride["dx"]] = self.width["C"]
        if not self.forwards:
            block[KernelArgs.stride["gate_gradients"]] = self.stride

    def _blocks(self, p: Product) -> int:
        """Blocks of units of a product, including a partial last one."""
        return -(-self.width[p.width] // (p.span * self.lanes))

    def padded(self, width: str) -> int:
        """A width rounded up to whole pairs of vectors."""
        n = 2 * self.lanes
        return -(-self.width[width] // n) * n

    def count(self, columns: tuple[int, ...]) -> int:
        """Columns in numbers, from columns in units of (H, P, 1)."""
        return columns[0] * self.width["H"] + columns[1] * self.width["P"] + sum(columns[2:])


def _workspace_index(compiled: CompiledKernel, field: Field[Ptr]) -> int:
    assert isinstance(field, Workspace), field.name
    return compiled.layout[field]
