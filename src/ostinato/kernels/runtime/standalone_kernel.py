"""Standalone kernels, which belong to no cell: one loop over memory with an argument block of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from llvmlite import ir

from ..codegen.arguments import Addresses, Block, Field, Layout, WorkArgs
from ..codegen.ir_builder import I64, PTR, Code, Int
from ..system import compile_cache, openmp
from ..system.compile_cache import Library, Order
from ..system.openmp import with_denormals_flushed
from ..system.target import Target, host
from .team_policy import TEAM

SCALARS = {torch.float32: "float32", torch.float64: "float64"}
Emit = Callable[[Code, Any, Int], None]
"""Emits one work item; the second argument reads the argument block, the third is the number of the item."""


def root_of(code: Code, v: Any) -> Any:
    """√v of one float64."""
    kind = ir.DoubleType()
    name = "llvm.sqrt.f64"
    function = code.module.globals.get(name) or ir.Function(code.module, ir.FunctionType(kind, [kind]), name)
    return code.builder.call(function, [v])


class StandaloneKernel:
    """A standalone kernel: a body whose work items threads take from a counter.

    arguments  the class that declares the fields of its argument block; families, which have no fixed keys, as `keyed`
    key        what distinguishes kernels of one name in the cache
    """

    def __init__(
        self,
        name: str,
        scalar: str,
        arguments: type[WorkArgs],
        emit: Emit,
        key: str = "",
        keyed: Sequence[Field] = (),
    ):
        self.name, self.scalar, self.arguments, self.emit, self.key = name, scalar, arguments, emit, key
        self.layout = Layout([*arguments.fields(), *keyed])

    def module(self, target: Target) -> ir.Module:
        module = ir.Module(self.name)
        body = Code(module, "body", [PTR], self.scalar, target.lanes(self.scalar))
        args = self.arguments(self.layout, body, body.arguments[0])
        with body.work_items(args.counter, args.work_items) as item:
            self.emit(body, args, item)
        with_denormals_flushed(module, body.close(), "run", target)
        return module

    @property
    def order(self) -> Order:
        """What is compiled, and found again in the cache."""
        target = host()
        return Order(lambda: self.module(target), self.name, f"{self.name} {self.scalar} {self.key}", target)

    @cached_property
    def library(self) -> Library:
        order = self.order
        return compile_cache.compile(order.source, name=order.name, key=order.key, target=order.target)

    def block(self, work_items: int) -> Block:
        """An argument block with so many work items, all other fields 0."""
        block = Block(self.layout)
        block[WorkArgs.work_items] = work_items
        return block

    def run(self, block: Block, count: int | None = None) -> None:
        """Runs the work items of `block` on `count` threads, or fewer; by default on as many as torch uses."""
        if count is None:
            count = min(block[WorkArgs.work_items], TEAM.workers())
        openmp.parallel(self.library.address("run"), block.entries.buffer_info()[0], count)


class CombinedArgs(WorkArgs):
    """The argument block of several kernels in one launch."""

    part = Addresses("The argument block of part number k.")


class CombinedKernel:
    """Several standalone kernels of one number type in one launch: a work item is that item of each of them."""

    def __init__(self, parts: Sequence[StandaloneKernel]):
        self.parts = list(parts)
        self.layout = Layout([*CombinedArgs.fields(), *(CombinedArgs.part[k] for k in range(len(parts)))])
        self._counter, self._items = self.layout[CombinedArgs.counter], self.layout[CombinedArgs.work_items]
        self._indices = [self.layout[CombinedArgs.part[k]] for k in range(len(parts))]

    def module(self, target: Target) -> ir.Module:
        module, scalar = ir.Module("combined"), self.parts[0].scalar
        body = Code(module, "body", [PTR], scalar, target.lanes(scalar))
        args = CombinedArgs(self.layout, body, body.arguments[0])
        functions: dict[int, ir.Function] = {}
        for k, part in enumerate(self.parts):
            if id(part) not in functions:
                code = body.new_function(f"part{k}", [PTR, I64])
                base, item = code.arguments
                part.emit(code, part.arguments(part.layout, code, base), item)
                functions[id(part)] = code.close()
        with body.work_items(args.counter, args.work_items) as item:
            for k, part in enumerate(self.parts):
                with body.if_(item < part.arguments(part.layout, body, args.part[k]).work_items):
                    body.call(functions[id(part)], args.part[k], item)
        with_denormals_flushed(module, body.close(), "run", target)
        return module

    @cached_property
    def library(self) -> Library:
        target = host()
        key = "combined " + ", ".join(f"{p.name} {p.scalar} {p.key}" for p in self.parts)
        return compile_cache.compile(lambda: self.module(target), name="combined", key=key, target=target)

    def block(self, parts: Sequence[Block]) -> Block:
        """An argument block for those of the parts, which the caller keeps alive."""
        block = Block(self.layout)
        block[CombinedArgs.work_items] = max(part[WorkArgs.work_items] for part in parts)
        for place, part in zip(self._indices, parts):
            block.entries[place] = part.entries.buffer_info()[0]
        return block

    def run(self, block: Block) -> None:
        """Runs the work items of every part, on as many threads as torch uses or fewer."""
        entries = block.entries
        entries[self._counter] = 0
        threads = min(entries[self._items], TEAM.workers())
        openmp.parallel(self.library.address("run"), entries.buffer_info()[0], threads)
