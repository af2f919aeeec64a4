"""Small kernels beside those of a cell: one job over numbers in memory, called by the names of its frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from llvmlite import ir

from . import machine, threads
from .code import PTR, Code, Int
from .machine import Library, Target
from .product import Products
from .threads import flushed
from .vector import Frame

SCALARS = {torch.float32: "float32", torch.float64: "float64"}
Emit = Callable[[Code, Frame, Products, Int], None]
"""Emits one part of the work; the fourth argument is the number of the part."""


def root_of(code: Code, v: Any) -> Any:
    """√v of one float64."""
    kind = ir.DoubleType()
    name = "llvm.sqrt.f64"
    function = code.module.globals.get(name) or ir.Function(code.module, ir.FunctionType(kind, [kind]), name)
    return code.builder.call(function, [v])


class Job:
    """A body that threads take the parts of.

    names  what the frame holds beside `counter` and `parts`, integers and addresses
    """

    def __init__(self, name: str, scalar: str, names: tuple[str, ...], emit: Emit, key: str = ""):
        self.name, self.scalar, self.emit, self.key = name, scalar, emit, key
        self.names = ("counter", "parts", *names)

    def module(self, target: Target) -> ir.Module:
        module = ir.Module(self.name)
        products = Products(module, self.scalar, target.lanes(self.scalar), target.registers)
        body = products.code("body", [PTR])
        f = Frame(self.names, body, body.arguments[0])
        with body.parts(f.counter, f["parts"]) as part:
            self.emit(body, f, products, part)
        flushed(module, body.close(), "run", target)
        return module

    @cached_property
    def library(self) -> Library:
        target = machine.host()
        key = f"{self.name} {self.scalar} {self.key}"
        return machine.compile(lambda: self.module(target), name=self.name, key=key, target=target)

    def __call__(self, parts: int, **values: int) -> None:
        """Runs the parts on as many threads as there are, or fewer. `values`: every name of the frame."""
        self.run(self.frame(parts, **values), min(parts, threads.thread_count()))

    def frame(self, parts: int, **values: int) -> array:
        """What `run` is given, once."""
        return array("q", [0, parts, *(values[name] for name in self.names[2:])])

    def run(self, frame: array, count: int) -> None:
        """Runs the parts on `count` threads, or fewer."""
        threads.parallel(self.library.address("run"), frame.buffer_info()[0], count)
