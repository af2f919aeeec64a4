"""Threads that share a step: how many they are, and the place where they meet.

The meeting is a counter in the frame that only grows. A thread that waits looks at it for a while, then gives its
processor away between looks, so that a machine with more threads than processors still gets on.
"""

from __future__ import annotations

from llvmlite import ir

from . import threads
from .code import I64, PTR, Code, Int, Ptr
from .product import Products
from .vector import Frame

LOOKS = 2000
ENTRIES = (
    "shared",
    "team_size",
    "yield",
    # On a cache line of its own: who waits would else take the line from those who read what stands beside it.
    *(f"before meeting {k}" for k in range(8)),
    "meeting",
    *(f"after meeting {k}" for k in range(7)),
)
"""What a frame holds for a team."""


def addresses() -> dict[str, int]:
    """The entries that are the same in every frame; 0 for a function that the system lacks."""
    return {"team_size": threads.num_threads_address() or 0, "yield": threads.yield_address() or 0}


class Team:
    """Emits the functions by which threads find each other."""

    def __init__(self, products: Products, names: tuple[str, ...], target: str):
        self.products, self.names, self.target = products, names, target
        self._meet: ir.Function | None = None

    def size(self, code: Code, f: Frame) -> Int:
        """The parts of a job: as many as there are threads where they share a step, else as the caller cut it."""
        b = code.builder
        place = code.table(1)
        b.store(f["parts"].value, place.value, align=8)
        with code.when(f["shared"] > 0):
            kind = ir.FunctionType(ir.IntType(32), [])
            count = b.call(b.inttoptr(f["team_size"].value, kind.as_pointer()), [])
            b.store(b.sext(count, I64), place.value, align=8)
        return place.integer(0)

    def meet(self, code: Code, f: Frame, shares: Int) -> None:
        """Waits until all shares are here; nothing where one thread works alone."""
        with code.when(shares > 1):
            code.call(self._function(), f.base, shares)

    def _function(self) -> ir.Function:
        if self._meet is None:
            code = self.products.code("meet", [PTR, I64])
            base, shares = code.arguments
            assert isinstance(base, Ptr) and isinstance(shares, Int)
            f, b = Frame(self.names, code, base), code.builder
            place = b.gep(base.value, [ir.Constant(I64, f.places["meeting"])], source_etype=I64)
            yield_cpu = f["yield"]
            ticket = Int(code, b.atomic_rmw("add", place, ir.Constant(I64, 1), "acq_rel"))
            target = (ticket // shares + 1) * shares
            look, tired, again, after = (
                code.function.append_basic_block(n) for n in ("look", "tired", "again", "after")
            )
            before = b.block
            b.branch(look)
            b.position_at_end(look)
            looks = b.phi(I64)
            looks.add_incoming(ir.Constant(I64, 0), before)
            now = Int(code, b.load_atomic(place, "acquire", 8, typ=I64))
            b.cbranch(now < target, tired, after)
            b.position_at_end(tired)
            more = Int(code, looks) + 1
            with code.when(more > LOOKS):
                kind = ir.FunctionType(ir.IntType(32), [])
                with code.when(yield_cpu > 0):
                    b.call(b.inttoptr(yield_cpu.value, kind.as_pointer()), [])
            self._pause(code)
            b.branch(again)
            b.position_at_end(again)
            looks.add_incoming(more.value, again)
            b.branch(look)
            b.position_at_end(after)
            self._meet = code.close()
        return self._meet

    def _pause(self, code: Code) -> None:
        name, kinds = (
            ("llvm.aarch64.hint", [ir.IntType(32)]) if self.target == "aarch64" else ("llvm.x86.sse2.pause", [])
        )
        f = code.module.globals.get(name) or ir.Function(code.module, ir.FunctionType(ir.VoidType(), kinds), name)
        code.builder.call(f, [ir.Constant(k, 1) for k in kinds])
