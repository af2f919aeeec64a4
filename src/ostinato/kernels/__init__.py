"""How fast: compiled kernels, derived from a cell's graph, for float32 and float64 on CPUs."""

from .buffers import empty, zeros
from .call import block_steps
from .lines import norms, path
from .places import Places, by_length
from .run import adjoints, backward, backward_recorded, blocks, forward, supported
from .shapes import kept_shapes, kept_values
from .squares import Outer, Pattern, outer_norms
from .tensor_checks import rows_in_memory

__all__ = [
    "Outer",
    "Pattern",
    "Places",
    "adjoints",
    "assembly",
    "backward",
    "backward_recorded",
    "block_steps",
    "blocks",
    "by_length",
    "empty",
    "forward",
    "kept_shapes",
    "kept_values",
    "norms",
    "outer_norms",
    "path",
    "rows_in_memory",
    "supported",
    "zeros",
]


def assembly(cell: object, target: str = "host", dtype: str = "float32") -> str:
    """The assembly code of a cell's forward pass in inference, for `target`: host, avx512, avx2 or aarch64."""
    from ..cells import as_cell
    from . import machine
    from .forward import Forward
    from .program import program

    chosen = machine.host() if target == "host" else machine.named(target)
    kernel = Forward(program(as_cell(cell, "kernels.assembly")), chosen, dtype, keep=False, histories=False)
    return machine.emit_assembly(kernel.module(), chosen)
