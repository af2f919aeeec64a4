"""The functions of an object around the network's own: step, run and reset, or run alone; weights are constants."""

from __future__ import annotations

from typing import Any

import torch
from llvmlite import ir
from torch import Tensor

from ...kernels.system.object_code import FRAMES
from ...kernels.system.openmp import emit_flush_mode, emit_restore_mode
from ...kernels.system.target import Target
from .header import BAD_STEPS
from .plan import BLOB_HEADER, Plan

PTR, I32, I64, BYTE = ir.PointerType(), ir.IntType(32), ir.IntType(64), ir.IntType(8)
_LINE = 64
_FLUSH_ARM32 = 1 << 24
"""FPSCR.FZ."""


class Entry:
    """Adds NAME_step, NAME_run and NAME_reset to the module of a network; NAME_run to that of whole sequences.

    With a blob every function has its address as an argument. In it, the initial states [S] lie before the weights.
    """

    def __init__(self, plan: Plan):
        self.kernel, self.chip, self.name, self.first = plan.kernel, plan.chip, plan.name, plan.first
        self.packed = None if plan.blob else plan.packed
        name, chip = self.name, self.chip
        self.module = self.kernel.module(f"{name}_kernel")
        self.step: ir.Function = self.module.globals[f"{name}_kernel_{self.kernel.function}"]
        self.step.linkage = "internal"
        self.word = ir.IntType(chip.bits)
        self.number = ir.FloatType() if self.kernel.scalar == "float32" else ir.DoubleType()
        self.blob = plan.blob
        self.tokens, self.max_steps = plan.network.input.tokens, plan.max_steps

    def text(self) -> str:
        """The module with all functions."""
        self._align_stack()
        self.weights = None if self.packed is None else self._constant(f"{self.name}_weights", self.packed)
        if self.weights is not None:
            _, b = self._function("constants", PTR, [])
            b.ret(self.weights)
        reset = self._reset()
        if self.max_steps is None:
            self._run()
            self._step()
        else:
            reset.linkage = "internal"
            self._entry("run", self.step, [self.word], reset)
        for function in self.module.functions:
            if not function.is_declaration:
                # Windows' probe of large frames is a function of its C library.
                for attribute in ("nounwind", FRAMES, '"no-stack-arg-probe"'):
                    function.attributes._known |= {attribute}
                    function.attributes.add(attribute)
        return str(self.module)

    def _align_stack(self) -> None:
        """Arrays on the stack are aligned to a vector: what a cache line gains is lost again on small machines."""
        for function in self.module.functions:
            for block in function.blocks:
                for instruction in block.instructions:
                    if isinstance(instruction, ir.AllocaInstr):
                        instruction.align = min(16, self.kernel.layout.lanes * self.kernel.network.dtype.itemsize)

    def _constant(self, name: str, values: Tensor) -> Any:
        """A constant array of bytes: every machine here is little endian, and the text is short."""
        data = bytearray(values.contiguous().view(torch.uint8).numpy().tobytes())
        kind = ir.ArrayType(BYTE, len(data))
        array = ir.GlobalVariable(self.module, kind, name)
        array.linkage, array.global_constant, array.align = "internal", True, _LINE
        array.initializer = ir.Constant(kind, data)
        array.type = PTR
        return array

    def _function(self, name: str, result: Any, arguments: list[Any]) -> tuple[ir.Function, ir.IRBuilder]:
        function = ir.Function(self.module, ir.FunctionType(result, arguments), f"{self.name}_{name}")
        return function, ir.IRBuilder(function.append_basic_block())

    def _at(self, b: ir.IRBuilder, base: Any, index: Any, kind: Any) -> Any:
        return b.gep(base, [index], source_etype=kind)

    def _loop(self, b: ir.IRBuilder, count: Any, body: Any) -> None:
        """for (i = 0; i < count; i++) body(i)."""
        head, inside, after = (b.function.append_basic_block(n) for n in ("head", "body", "after"))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(self.word)
        i.add_incoming(ir.Constant(self.word, 0), before)
        b.cbranch(b.icmp_unsigned("<", i, count), inside, after)
        b.position_at_end(inside)
        body(i)
        i.add_incoming(b.add(i, ir.Constant(self.word, 1)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def _reset(self) -> ir.Function:
        """void NAME_reset(state[, weights])"""
        function, b = self._function("reset", ir.VoidType(), [PTR, PTR] if self.blob else [PTR])
        bits = ir.IntType(8 * self.first.dtype.itemsize)
        size = self.first.dtype.itemsize
        zeros = not self.blob and not bool(self.first.view(torch.uint8).any())
        source = None
        if self.blob:
            source = self._at(b, function.args[1], ir.Constant(self.word, BLOB_HEADER), BYTE)
        elif not zeros:
            source = self._constant(f"{self.name}_first", self.first)

        def put(i: Any) -> None:
            value = ir.Constant(bits, 0)
            if source is not None:
                value = b.load(self._at(b, source, i, bits), typ=bits, align=size)
            b.store(value, self._at(b, function.args[0], i, bits), align=size)

        self._loop(b, ir.Constant(self.word, len(self.first)), put)
        b.ret_void()
        return function

    def _run(self) -> None:
        """NAME_steps(state, work, weights, x, y, steps), and NAME_run around it, which sets the mode of floats."""
        width = self.kernel.network.input.width
        out = self.kernel.network.nodes[self.kernel.network.output].width
        function, b = self._function("steps", ir.VoidType(), [PTR] * 5 + [self.word])
        function.linkage = "internal"
        state, work, weights, x, y, steps = function.args
        element = I64 if self.tokens is not None else self.number

        def one(i: Any) -> None:
            here = self._at(b, x, b.mul(i, ir.Constant(self.word, width)), element)
            there = self._at(b, y, b.mul(i, ir.Constant(self.word, out)), self.number)
            b.call(self.step, [state, work, weights, here, there])

        self._loop(b, steps, one)
        b.ret_void()
        self._entry("run", function, [self.word])

    def _step(self) -> None:
        self._entry("step", self.step, [])

    def _entry(self, name: str, body: ir.Function, more: list[Any], reset: ir.Function | None = None) -> None:
        """NAME_step or NAME_run: checks tokens, flushes subnormal numbers where the machine can, calls `body`.

        reset  for whole sequences: what sets the initial states first. The number of steps is checked too
        """
        arguments = [PTR, PTR, *([PTR] if self.blob else []), PTR, PTR, *more]
        result = ir.VoidType() if self.tokens is None and reset is None else I32
        function, b = self._function(name, result, arguments)
        state, work, *rest = function.args
        memory = [state]
        if self.blob:
            base, *rest = rest
            memory.append(base)
            before = BLOB_HEADER + len(self.first) * self.first.dtype.itemsize
            weights = self._at(b, base, ir.Constant(self.word, before), BYTE)
        else:
            weights = self.weights
        x, y, *count = rest
        if reset is not None:
            self._check_steps(b, count[0])
        if self.tokens is not None:
            self._check_tokens(b, x, count[0] if count else ir.Constant(self.word, 1))
        if reset is not None:
            b.call(reset, memory)
        body.attributes.add("noinline")
        saved = self._flush(b)
        b.call(body, [state, work, weights, x, y, *count])
        self._restore(b, saved)
        if result is I32:
            b.ret(ir.Constant(I32, 0))
        else:
            b.ret_void()

    def _check_steps(self, b: ir.IRBuilder, steps: Any) -> None:
        """Returns BAD_STEPS for none, and for more than the workspace has room for."""
        past = b.icmp_unsigned(">=", b.sub(steps, ir.Constant(self.word, 1)), ir.Constant(self.word, self.max_steps))
        with b.if_then(past):
            b.ret(ir.Constant(I32, BAD_STEPS))

    def _check_tokens(self, b: ir.IRBuilder, x: Any, steps: Any) -> None:
        """Returns 1, before anything has changed, where a token is not one of the table."""

        def check(i: Any) -> None:
            token = b.load(self._at(b, x, i, I64), typ=I64, align=8)
            wrong = b.icmp_unsigned(">=", token, ir.Constant(I64, self.tokens))
            with b.if_then(wrong):
                b.ret(ir.Constant(I32, 1))

        self._loop(b, steps, check)

    def _flush(self, b: ir.IRBuilder) -> Any:
        """Sets the mode in which the stream runs: subnormal results and operands are 0. None: the machine has none."""
        host = self._mode_of()
        if host is not None:
            return emit_flush_mode(b, self.module, host)
        if not self._arm32():
            return None
        saved = b.call(self._intrinsic("llvm.arm.get.fpscr", I32, []), [])
        flush = b.or_(saved, ir.Constant(I32, _FLUSH_ARM32))
        b.call(self._intrinsic("llvm.arm.set.fpscr", ir.VoidType(), [I32]), [flush])
        return saved

    def _restore(self, b: ir.IRBuilder, saved: Any) -> None:
        host = self._mode_of()
        if host is not None:
            emit_restore_mode(b, self.module, host, saved)
        elif saved is not None:
            b.call(self._intrinsic("llvm.arm.set.fpscr", ir.VoidType(), [I32]), [saved])

    def _mode_of(self) -> Target | None:
        arch = self.chip.triple.split("-")[0]
        name = {"x86_64": "avx2", "i686": "avx2", "aarch64": "aarch64", "arm64": "aarch64"}.get(arch)
        return None if name is None else Target(name, self.chip.triple, self.chip.cpu, self.chip.features, 128)

    def _arm32(self) -> bool:
        """Whether numbers are in registers of ARM's floating point unit, which has the mode."""
        return self.chip.triple.startswith(("thumb", "arm")) and self.chip.triple.endswith("hf")

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, arguments), name)
