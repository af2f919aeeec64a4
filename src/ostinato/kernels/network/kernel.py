"""`NetworkKernel`: the compiled code of a network and its argument block."""

from __future__ import annotations

from llvmlite import ir

from ...network import (
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    LayerNorm,
    Linear,
    Network,
    Node,
    Number,
    Pointwise,
    Recurrent,
    Running,
    Softmax,
)
from ..codegen.arguments import Address, Args, Counter, Integer, Layout
from ..codegen.ir_builder import I64, PTR, Code
from ..emit.gemm import GemmFunctions
from ..system import compile_cache
from ..system.compile_cache import Library
from ..system.openmp import with_denormals_flushed
from ..system.target import Target, host
from . import nodes
from .frame import Frame, Span, copy_lines, emit_product
from .layout import NetworkLayout
from .recurrent import RecurrentEmitter


class NetworkArgs(Args):
    """The argument block of a network's kernel.

    Letters: T steps, B rows, C numbers of an input, O of an output, S columns of the state matrix, W of the workspace.
    """

    x = Address("[T, B, C], or int64 [T, B] for tokens; caller.")
    y = Address("[T, B, O]; caller, written.")
    states = Address("[B, S]; stream, read and written.")
    workspace = Address("[chunk · B, W]; stream, undefined before and after a call.")
    weights = Address("The packed weights; stream.")
    rows = Integer("B.")
    steps = Integer("T.")
    chunk = Integer("Steps that are computed together, node by node.")
    refused = Counter("Set to 1 + the index of the first token that the table does not have; then nothing is computed.")


FIELDS = Layout(NetworkArgs.fields())
"""The entries of the argument block, the same for every network."""
ARGUMENTS = [PTR, PTR, PTR, PTR, PTR, I64, I64]
"""Of the function `steps`: x, y, states, workspace, weights, rows, steps."""


class NetworkKernel:
    """Emits one network for one target."""

    def __init__(self, network: Network, target: Target):
        self.network, self.target = network, target
        self.scalar = str(network.dtype).removeprefix("torch.")
        self.layout = NetworkLayout(network, target.lanes(self.scalar))

    def module(self) -> ir.Module:
        """Entry point: run(argument block)."""
        module = ir.Module("network")
        gemm = GemmFunctions(module, self.scalar, self.layout.lanes, self.target.registers)
        steps = self.steps(gemm)
        code = gemm.define("body", [PTR])
        args = NetworkArgs(FIELDS, code, code.arguments[0])
        tokens = self.network.input.tokens
        if tokens is not None:
            _refuse_tokens(code, args, tokens)
        accepted = args.refused.load_i64(0) <= 0
        with code.if_(accepted), code.range(args.steps, step=args.chunk) as t:
            lines = t * args.rows
            x = args.x.i64_ptr(lines) if tokens is not None else args.x.at(lines * self.network.input.width)
            y = args.y.at(lines * self.network.nodes[self.network.output].width)
            count = (args.steps - t).min(args.chunk)
            code.call(steps, x, y, args.states, args.workspace, args.weights, args.rows, count)
        with_denormals_flushed(module, code.close(), "run", self.target)
        return module

    def steps(self, gemm: GemmFunctions) -> ir.Function:
        """Emits `steps`: all nodes for some steps of all rows."""
        code = gemm.define("steps", ARGUMENTS)
        x, y, states, workspace, weights, rows, steps = code.arguments
        frame = Frame(code, gemm, self.layout, x, y, states, workspace, weights, rows, steps)
        emit_nodes(frame)
        return code.close()

    def library(self) -> Library:
        """The compiled code, from the cache or compiled now."""
        key = f"network {self.network.structure}"
        return compile_cache.compile(self.module, name="network", key=key, target=self.target)


def emit_nodes(frame: Frame, last: bool = False) -> None:
    """Emits all nodes, from x to y, which has the last line alone with `last`."""
    network = frame.layout.network
    if frame.layout.copied_input:
        width = network.input.width
        copy_lines(frame, frame.lines, Span(frame.x, frame.code.int_const(width), width, False), frame.value(0))
    for k, node in enumerate(network.nodes):
        _emit(frame, k, node)
    nodes.emit_output(frame, last)


def _emit(frame: Frame, k: int, node: Node) -> None:
    if k in frame.layout.value:
        # A place is the user's text: ASCII without the end of a comment of LLVM or C.
        place = ascii(node.place)[1:-1].replace("*/", "* /")
        frame.code.builder.comment(f"{type(node).__name__} {place}".rstrip())
    match node:
        case Recurrent():
            RecurrentEmitter(frame, k, node).emit()
        case Linear():
            emit_product(frame, frame.layout.panels[k], frame.value(node.inputs[0]), frame.lines, frame.value(k))
        case Embedding():
            nodes.emit_embedding(frame, k, node)
        case Convolution():
            nodes.emit_convolution(frame, k, node)
        case LayerNorm():
            nodes.emit_layer_norm(frame, k, node)
        case Softmax():
            nodes.emit_softmax(frame, k, node)
        case Concatenate():
            nodes.emit_concatenate(frame, k, node)
        case Running():
            nodes.emit_running(frame, k, node)
        case Number() | Constant() if k in frame.layout.value:
            nodes.emit_constant(frame, k)
        case Pointwise() if not frame.layout.inlined(k):
            nodes.emit_pointwise(frame, k)


def _refuse_tokens(code: Code, args: NetworkArgs, tokens: int) -> None:
    """Sets `refused` where a token is out of range."""
    with code.range(args.steps * args.rows) as i:
        token = args.x.load_i64(i)
        with code.if_((token < 0) | (token >= tokens)), code.if_(args.refused.load_i64(0) <= 0):
            args.refused.store_i64(0, i + 1)


def kernel_of(network: Network) -> NetworkKernel:
    """The kernel of a network for this machine. Raises NoKernelsError where it has none."""
    return NetworkKernel(network, host())
