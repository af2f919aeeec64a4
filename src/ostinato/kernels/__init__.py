"""Compiled kernels for float32 and float64 on CPUs, generated from a cell's graph."""

from .lens_kernels.additive_path import additive_path_norms
from .lens_kernels.block_norms import BlockNorms, Path, Spread
from .lens_kernels.outer_product_norms import OuterNorms, OuterOperand, Pattern
from .lens_kernels.row_norms import Lines, row_norms
from .planning.saved_layout import product_columns, saved_columns, saved_shapes
from .runtime.api import backward, backward_recorded, block_starts, forward, supported
from .runtime.prepared import PreparedCall, prepared
from .runtime.row_layout import sort_by_length
from .runtime.row_partition import block_steps
from .runtime.tensor_checks import lines_in_memory
from .system.memory_pool import empty, zeros
from .system.openmp import thread_count

__all__ = [
    "BlockNorms",
    "Lines",
    "OuterNorms",
    "OuterOperand",
    "PreparedCall",
    "Path",
    "Pattern",
    "Spread",
    "assembly",
    "backward",
    "backward_recorded",
    "block_steps",
    "block_starts",
    "sort_by_length",
    "empty",
    "forward",
    "prepared",
    "product_columns",
    "saved_columns",
    "saved_shapes",
    "row_norms",
    "additive_path_norms",
    "lines_in_memory",
    "supported",
    "thread_count",
    "zeros",
]


def assembly(cell: object, target: str = "host", dtype: str = "float32") -> str:
    """The assembly code of a cell's forward pass in inference, for `target`: host, avx512, avx2 or aarch64."""
    from ..cells import as_cell
    from .emit.forward import Forward
    from .planning.cell_program import program
    from .system import compiler
    from .system.target import host, target_by_name

    chosen = host() if target == "host" else target_by_name(target)
    kernel = Forward(program(as_cell(cell, "kernels.assembly")), chosen, dtype, save=False, histories=False)
    return compiler.emit_assembly(kernel.module(), chosen)
