"""Compiled kernels for float32 and float64 on CPUs, generated from a cell's graph."""

from .lens_kernels.outer_product_norms import OuterOperand, Pattern, outer_norms
from .lens_kernels.row_norms import additive_path_norms, row_norms
from .planning.saved_layout import saved_shapes, saved_values
from .runtime.api import backward, backward_recorded, block_starts, forward, supported
from .runtime.row_layout import sort_by_length
from .runtime.row_partition import block_steps
from .runtime.tensor_checks import rows_in_memory
from .system.memory_pool import empty, zeros

__all__ = [
    "OuterOperand",
    "Pattern",
    "assembly",
    "backward",
    "backward_recorded",
    "block_steps",
    "block_starts",
    "sort_by_length",
    "empty",
    "forward",
    "saved_shapes",
    "saved_values",
    "row_norms",
    "outer_norms",
    "additive_path_norms",
    "rows_in_memory",
    "supported",
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
