"""The code of a network as a WebAssembly module.

Its functions: step(x, y) and run(x, y, steps) with addresses in its memory, reset(), and in the relaxed module
probe(a, b, c). Its memory has one stream: weights, initial state, state, workspace, and room for one x and one y.
That of a network of two directions has run(x, y, work, steps) alone, and no workspace, x and y of its own.
"""

from __future__ import annotations

import torch
from llvmlite import binding as llvm
from llvmlite import ir

from ...errors import InputError, phrase
from ...kernels.codegen.ir_builder import PTR, Code, Int, Ptr
from ...kernels.network.pack import pack, pack_initial
from ...kernels.network.portable import PortableKernel, Shape
from ...kernels.system.object_code import optimise
from ...network import Network
from .fused import LANES, Way, define_fused, define_probe
from .wasm_module import Module, Region, link
from .wasm_object import WasmObject, read_object

TRIPLE = "wasm32-unknown-unknown"
FEATURES = {"exact": "+simd128", "plain": "+simd128", "relaxed": "+simd128,+relaxed-simd"}
SPARE = 4096
"""Bytes of the stack beside arrays, for alignment and what LLVM spills."""
REGIONS = ("weights", "initial", "state", "work", "x", "y")
WHOLE_REGIONS = REGIONS[:3]


class Emitted:
    """A network's code for vectors of four numbers, compiled once for each way to multiply and add.

    weights, initial  the bytes of the regions of that name
    """

    def __init__(self, kernel: PortableKernel, weights: bytes, initial: bytes):
        self.kernel, self.weights, self.initial = kernel, weights, initial
        self._objects: dict[Way, tuple[WasmObject, int]] = {}
        """Way → the object, and the bytes of its stack."""

    def module(self, way: Way, content: bool) -> Module:
        """The module. Weights and initial state are data segments with `content`; else the caller writes them."""
        if way not in self._objects:
            made = _module(self.kernel, way)
            self._objects[way] = read_object(compiled(made, way)), _stack_bytes(made)
        network = self.kernel.network
        x = network.input
        sizes = {
            "weights": len(self.weights),
            "initial": len(self.initial),
            "state": len(self.initial),
            "work": 4 * self.kernel.work_size,
            "x": 8 if x.tokens is not None else 4 * x.width,
            "y": 4 * network.nodes[network.output].width,
        }
        whole = network.whole
        held = {"weights": self.weights, "initial": self.initial} if content else {}
        regions = [Region(name, sizes[name], held.get(name)) for name in (WHOLE_REGIONS if whole else REGIONS)]
        functions = ["run"] if whole else ["step", "run", "reset"]
        exports = [*functions, *(["probe"] if way == "relaxed" else [])]
        found, stack = self._objects[way]
        return link(found, regions, exports, stack)


def emitted(network: Network, probed: bool = False) -> Emitted:
    """The kernel of a network for vectors of four numbers, its packed weights and its initial state.

    probed  whether a step leaves the values of gates in the workspace, where `kernel.layout.probes` says
    """
    if network.dtype != torch.float32:
        remedy = "WebAssembly has no fused multiply-add of float64 that every engine runs. Write model.float()."
        raise InputError(phrase("export.wasm", "model", "in float32", network.dtype, remedy))
    # One register: tiles of more than one row would never run, and their code would double the module.
    kernel = PortableKernel(network, Shape(lanes=LANES, registers=1, bits=32), probed)
    values = {p.name: p.read() for p in network.parameters}
    return Emitted(kernel, _bytes(pack(kernel.layout, values)), _bytes(pack_initial(kernel.layout, values)))


def _bytes(t: torch.Tensor) -> bytes:
    return t.numpy().astype("<f4").tobytes()


def _module(kernel: PortableKernel, way: Way) -> ir.Module:
    module = kernel.module("network")
    _entry_points(module, kernel)
    define_fused(module, way)
    if way == "relaxed":
        define_probe(module, "probe")
    return module


def _stack_bytes(module: ir.Module) -> int:
    """The most that the stack can need: every function's arrays once, since none calls itself, and some for LLVM."""
    arrays = [
        i.allocated_type
        for function in module.functions
        for block in function.blocks
        for i in block.instructions
        if isinstance(i, ir.instructions.AllocaInstr)
    ]
    return SPARE + sum(64 + 8 * a.count for a in arrays)


def compiled(module: ir.Module, way: Way) -> bytes:
    """The relocatable object of a module."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu="generic", features=FEATURES[way], opt=3, reloc="static", codemodel="default"
    )
    parsed = llvm.parse_assembly(str(module))
    parsed.triple = machine.triple
    parsed.data_layout = str(machine.target_data)
    parsed.verify()
    before, after = (llvm.create_new_module_pass_manager() for _ in range(2))
    before.add_always_inliner_pass()
    after.add_global_dead_code_eliminate_pass()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    before.run(parsed, builder)
    optimise(parsed, machine)
    after.run(parsed, builder)
    return bytes(machine.emit_object(parsed))


def _entry_points(module: ir.Module, kernel: PortableKernel) -> None:
    """Emits step, run and reset, or run; the regions are undefined symbols, whose addresses the linker knows."""
    network, whole = kernel.network, kernel.network.whole
    inner = module.globals[f"network_{kernel.function}"]
    inner.linkage = "internal"
    symbols = {}
    for name in WHOLE_REGIONS if whole else REGIONS[:4]:
        symbols[name] = ir.GlobalVariable(module, ir.IntType(8), name)
        symbols[name].type = PTR

    def define(name: str, arguments: list[ir.Type]) -> Code:
        return Code(module, name, arguments, kernel.scalar, LANES, kernel.shape.word)

    def region(code: Code, name: str) -> Ptr:
        return Ptr(code, symbols[name])

    def set_initial(code: Code) -> None:
        with code.range(kernel.state_size) as i:
            region(code, "state").at(i).store_scalar(region(code, "initial").at(i).load_scalar())

    word = kernel.shape.word
    if whole:
        code = define("run", [PTR, PTR, PTR, word])
        x, y, work, steps = code.arguments
        assert isinstance(x, Ptr) and isinstance(steps, Int)
        _trap_if(code, (steps < 1).value)
        if network.input.tokens is not None:
            with code.range(steps) as t:
                _trap_unless_token(code, x.i64_ptr(t), network.input.tokens)
        set_initial(code)
        code.call(inner, region(code, "state"), work, region(code, "weights"), x, y, steps)
        code.close().linkage = "external"
        return

    code = define("step", [PTR, PTR])
    x, y = code.arguments
    assert isinstance(x, Ptr)
    if network.input.tokens is not None:
        _trap_unless_token(code, x, network.input.tokens)
    code.call(inner, region(code, "state"), region(code, "work"), region(code, "weights"), x, y)
    step = code.close()
    step.linkage = "external"

    code = define("run", [PTR, PTR, word])
    x, y, steps = code.arguments
    assert isinstance(x, Ptr) and isinstance(y, Ptr) and isinstance(steps, Int)
    outputs = network.nodes[network.output].width
    with code.range(steps) as t:
        here = x.i64_ptr(t) if network.input.tokens is not None else x.at(t * network.input.width)
        code.call(step, here, y.at(t * outputs))
    code.close().linkage = "external"

    code = define("reset", [])
    set_initial(code)
    code.close().linkage = "external"


def _trap_unless_token(code: Code, x: Ptr, tokens: int) -> None:
    """A token that the table does not have would read other memory: the module traps, its state as before."""
    token = code.builder.load(x.value, typ=ir.IntType(64), align=8)
    _trap_if(code, code.builder.icmp_unsigned(">=", token, ir.Constant(ir.IntType(64), tokens)))


def _trap_if(code: Code, condition: ir.Value) -> None:
    known = code.module.globals.get("llvm.trap")
    trap = known or ir.Function(code.module, ir.FunctionType(ir.VoidType(), []), "llvm.trap")
    with code.builder.if_then(condition):
        code.builder.call(trap, [])
