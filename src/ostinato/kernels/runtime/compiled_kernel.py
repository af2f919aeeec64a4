"""`CompiledKernel`: the machine code of a cell's kernel, and the entries of its argument block by what they are for."""

from __future__ import annotations

from llvmlite import ir

from ...caching import graph_bytes
from ..codegen.arguments import WAIT_SLOTS
from ..codegen.kernel_args import KernelArgs
from ..emit.time_loop import Kernel, parameter_keys
from ..planning.cell_program import Program
from ..system import compile_cache
from .recipes import Recipe

# An upper bound in bytes: the names and indices of a kernel.
_NAME_BYTES = 32 << 10


class CompiledKernel:
    """A compiled kernel and the addresses of its entry points. `nbytes`: an upper bound of its code, plan and cell.

    meanwhile  the kernel that is needed next: where this one has to be compiled, another thread compiles that one
    """

    def __init__(self, recipe: Recipe, meanwhile: Recipe | None = None):
        kernel = recipe.make()
        self.kernel: Kernel = kernel
        self.program: Program = kernel.program
        self.layout = kernel.layout
        self.projected = kernel.program.cell.projected
        cell = self.program.cell

        def module() -> ir.Module:
            if meanwhile is not None:
                compile_cache.start_ahead(meanwhile.order)
            return kernel.module()

        order = recipe.order
        self.library = compile_cache.compile(module, name=order.name, key=order.key, target=order.target)
        self.nbytes = self.library.nbytes + graph_bytes(cell) + _NAME_BYTES
        self.entry_points = {name: self.library.address(name) for name in kernel.entry_points()}
        states, at, k = range(len(cell.states)), self.layout, KernelArgs
        self.workspace, self.barrier_count = at[k.workspace], at[k.barrier_count]
        self.counter, self.packing_counter, self.packed_count = at[k.counter], at[k.packing_counter], at[k.packed_count]
        self.launch_times = slice(at[k.first_start], at[k.waits] + WAIT_SLOTS)
        row_fields = (k.caller_lengths, k.row_base, k.state_row, k.row_stride, k.caller_steps, k.caller_rows)
        self.caller_row_fields = [at[f] for f in row_fields]
        """Indices of the fields that say where the caller's rows are, in the order of `row_layout.set_rows`."""
        self.begin, self.end, self.row_splits = at[k.begin], at[k.end], at[k.row_splits]
        self.pack_per_use = at[k.pack_per_use]
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
        self.carried = [at[f[n]] for f in (k.start_state, k.final_state) for n in states]
        """Indices of the start states, then of the final states: in backward the gradients that enter and leave."""
        self.with_probe, self.probe = at[k.with_probe], at[k.probe]
        self.adjoints = [at[k.row[f"adjoint_{n}"]] for n in states]
        self.compute_dx, self.overwrite = at[k.compute_dx], at[k.overwrite]
        self.gate_gradients, self.zeros = at[k.gate_gradients], at[k.zeros]
