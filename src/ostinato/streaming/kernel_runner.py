"""Runs the compiled kernel of a network."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from .. import _torch_private
from ..kernels.codegen.arguments import Block
from ..kernels.network.kernel import FIELDS, NetworkArgs, kernel_of
from ..kernels.network.pack import aligned_empty, aligned_zeros, pack
from ..network import Embedding, Network
from .runner import Fast, Runner, X, Y, no_such_token

_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_BODY_UNDER_GIL = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
# A step that reads at most so many weights takes some 10 µs and keeps the GIL: to release it and to wait for it again
# costs 0.1 µs, and up to 5 ms where another thread computes in Python meanwhile.
_UNDER_GIL = 1 << 17
assert (FIELDS[NetworkArgs.x], FIELDS[NetworkArgs.y]) == (X, Y)
_STEPS, _WEIGHTS = FIELDS[NetworkArgs.steps], FIELDS[NetworkArgs.weights]
_LINES, _BYTES = 64, 256 << 10
"""Lines of the workspace at most, unless a step has more rows; and its bytes."""


class KernelRunner(Runner):
    """The kernel, its packed weights and its argument block."""

    def __init__(self, network: Network, rows: int, steps: int | None = None):
        """steps: how many are computed together, node by node; by default what keeps the workspace small."""
        self._steps = steps
        self.kernel = kernel_of(network)
        self.library = self.kernel.library()
        address = self.library.address("run")
        self.call, self._call_under_gil = _BODY(address), _BODY_UNDER_GIL(address)
        super().__init__(network, rows)

    def _place_states(self) -> tuple[dict[str, slice], int]:
        layout = self.kernel.layout
        places = {f.name: slice(first := layout.states[f.name], first + f.width) for f in self.network.states}
        return places, layout.state.size

    @_torch_private.untransformed()
    def _allocate(self, rows: int) -> None:
        super()._allocate(rows)
        layout, dtype = self.kernel.layout, self.network.dtype
        self.state = aligned_zeros(rows * layout.state.size, dtype).view(rows, layout.state.size)
        most = min(_LINES, _BYTES // (max(layout.work.size, 1) * dtype.itemsize))
        chunk = self._steps or max(1, most // max(rows, 1))
        # The last vector of a line's last value may reach past the line.
        self.workspace = aligned_empty(chunk * rows * layout.work.size + layout.lanes, dtype)
        self.block = block = Block(FIELDS)
        block[NetworkArgs.x], block[NetworkArgs.y] = self.input.data_ptr(), self.output.data_ptr()
        block[NetworkArgs.states], block[NetworkArgs.workspace] = self.state.data_ptr(), self.workspace.data_ptr()
        block[NetworkArgs.rows], block[NetworkArgs.steps], block[NetworkArgs.chunk] = rows, 1, chunk
        if hasattr(self, "weights"):
            block[NetworkArgs.weights] = self.weights.data_ptr()
        self.address = block.entries.buffer_info()[0]

    def _pack(self, values: Mapping[str, Tensor]) -> None:
        weights = pack(self.kernel.layout, values)
        entries, address = self.block.entries, weights.data_ptr()
        entries[_WEIGHTS] = address  # no call between the two: KeyboardInterrupt would leave an address of freed memory
        self.weights = weights

    def free(self) -> None:
        super().free()
        del self.weights

    def fast(self) -> Fast:
        x, y = self.input, self.output
        given, fresh = x.numpy().copy(), y.numpy().copy()
        whole = Fast(
            call=self._call_under_gil if self._is_short() else self.call,
            block=self.address,
            entries=self.block.entries,
            shape=tuple(x.shape),
            dtype=x.dtype,
            array_dtype=given.dtype,
            output_shape=tuple(y.shape),
            output_dtype=y.dtype,
            tokens=self.network.input.tokens is not None,
            bound_x=x.data_ptr(),
            bound_y=y.data_ptr(),
            given=given,
            given_x=given.ctypes.data,
            fresh=fresh,
            fresh_y=fresh.ctypes.data,
        )
        if self.rows == 1:
            x_shape, y_shape = whole.shape[1:], whole.output_shape[1:]
            # reshape and no index, which would make a number of [1], without memory of its own
            views = given.reshape(x_shape), fresh.reshape(y_shape)
            whole.one = replace(whole, shape=x_shape, output_shape=y_shape, given=views[0], fresh=views[1])
        return whole

    def _is_short(self) -> bool:
        """Whether a step takes microseconds. Of a table of tokens it reads one line for each row."""
        layout = self.kernel.layout
        tables = sum(node.table.shape[0] * node.width for node in self.network.nodes if isinstance(node, Embedding))
        return (layout.weights.size - tables) * max(self.rows, 1) <= _UNDER_GIL

    def run(self, x: Tensor, y: Tensor, steps: int) -> None:
        entries, x_at, y_at = self.block.entries, x.data_ptr(), y.data_ptr()
        try:
            entries[X], entries[Y], entries[_STEPS] = x_at, y_at, steps
            self.call(self.address)
        finally:
            entries[_STEPS] = 1  # also after KeyboardInterrupt: the next call may have memory for one step alone
        self.check_tokens(x)

    def check_tokens(self, x: Tensor | np.ndarray) -> None:
        """Raises InputError where the kernel has refused a token: no state has changed."""
        refused, tokens = self.block[NetworkArgs.refused], self.network.input.tokens
        if refused and tokens is not None:
            self.block[NetworkArgs.refused] = 0
            raise no_such_token(int(x.reshape(-1)[refused - 1]), tokens)
