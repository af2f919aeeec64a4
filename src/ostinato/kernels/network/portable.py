"""The code of a network for machines that are not this one: one row, one step at a time, all sizes constants.

The order of every operation is that of `NetworkKernel`, for any number of lanes, so the bits are those of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from ...network import Network
from ..codegen.called_math import CalledMath
from ..codegen.ir_builder import I64, PTR, Code
from ..emit.gemm import GemmFunctions
from .frame import Frame
from .kernel import emit_nodes
from .layout import NetworkLayout

ARGUMENTS: tuple[str, ...] = ("state", "work", "weights", "x", "y")
"""Of PREFIX_step, in order; PREFIX_sequence has `steps` too."""


@dataclass(frozen=True)
class Shape:
    """What the code of a target looks like.

    lanes      numbers in a vector; 1 for scalar code
    registers  floating point registers of that width
    bits       of an address: 32 or 64
    """

    lanes: int
    registers: int
    bits: int

    @property
    def word(self) -> ir.Type:
        """The type of integers in the code."""
        return I64 if self.bits == 64 else ir.IntType(32)


class PortableKernel:
    """A module with one function, void PREFIX_step(state, work, weights, x, y), each a pointer to numbers.

    state    `state_size` numbers, read and written; the code around it sets and saves them
    work     `work_size` numbers, undefined before and after
    weights  `kernels.network.pack.pack(layout, values)`
    x, y     one row's input [C], or one int64 token, and its output [O]

    With `probed`, a step leaves the values of the gates in the workspace, where `layout.probes` says; all other bits
    are the same.
    """

    def __init__(self, network: Network, shape: Shape, probed: bool = False):
        self.network, self.shape = network, shape
        self.scalar = str(network.dtype).removeprefix("torch.")
        self.layout = NetworkLayout(network, shape.lanes, probed)

    @property
    def function(self) -> str:
        """What the function is called behind the prefix."""
        return "sequence" if self.network.whole else "step"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Names of the function's arguments, in order."""
        return (*ARGUMENTS, "steps") if self.network.whole else ARGUMENTS

    @property
    def state_size(self) -> int:
        """Numbers of one row's states."""
        return self.layout.state.size

    @property
    def work_size(self) -> int:
        """Numbers of the workspace of one step."""
        return self.work_of(1)

    def work_of(self, steps: int) -> int:
        """Numbers of the workspace of a whole sequence: `steps` lines, and the vector that may reach past the last."""
        return self.layout.work.size * steps + self.layout.lanes

    def module(self, prefix: str, called_math: bool = False) -> ir.Module:
        """The module; its other functions are internal.

        For a network that runs on whole sequences the function is void PREFIX_sequence(state, work, weights, x, y,
        steps): at least one step, x [T, C], y [T, O] or for a result without time [O], `work_of(T)` numbers of work,
        and the states' initial values in `state`.

        called_math  whether exp, tanh, … are functions of it, which gives the same bits by less code
        """
        module = ir.Module(prefix)
        functions = CalledGemmFunctions if called_math else GemmFunctions
        gemm = functions(module, self.scalar, self.layout.lanes, self.shape.registers, self.shape.word)
        whole = self.network.whole
        kinds = [PTR] * len(ARGUMENTS) + [self.shape.word] * whole
        code = gemm.define(f"{prefix}_{self.function}", kinds)
        code.name_arguments(*self.arguments)
        state, work, weights, x, y, *more = code.arguments
        one = code.int_const(1)
        frame = Frame(code, gemm, self.layout, x, y, state, work, weights, one, more[0] if more else one)
        emit_nodes(frame, last=whole and self.network.last)
        function = code.close()
        function.linkage = "external"
        return module


class CalledGemmFunctions(GemmFunctions):
    """Functions whose code calls exp, tanh, …."""

    def define(self, name: str, arguments: list) -> Code:
        code = super().define(name, arguments)
        code.lanes = CalledMath(self.module, code.builder, self.scalar, self.lanes)
        return code
