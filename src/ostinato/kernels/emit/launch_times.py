"""The times of a launch: when its first work item began, when its last thread left, and the least time of one item.

Times are ticks of the processor's time stamp: the time stamp counter of x86, the virtual count of aarch64. All cores of
a machine count alike.
"""

from __future__ import annotations

from llvmlite import ir

from ..codegen.arguments import WAIT_SLOTS, BarrierArgs
from ..codegen.ir_builder import I64, Bool, Code, Int, Ptr

PATIENCE = {"avx512": 1 << 18, "avx2": 1 << 18, "aarch64": 1 << 12}
"""Ticks of long waits up to which a team never dissolves: about 0.1 ms."""


def ticks(code: Code, target: str) -> Int:
    """Emits a read of the time stamp; target: the name of the instruction set."""
    module, b = code.module, code.builder
    if target != "aarch64":
        name = "llvm.readcyclecounter"
        function = module.globals.get(name) or ir.Function(module, ir.FunctionType(I64, []), name)
        return Int(code, b.call(function, []))
    name = "llvm.read_volatile_register.i64"
    kind = ir.FunctionType(I64, [ir.MetaDataType()])
    function = module.globals.get(name) or ir.Function(module, kind, name)
    return Int(code, b.call(function, [module.add_metadata([ir.MetaDataString(module, "cntvct_el0")])]))


def wait_slot(args: BarrierArgs, item: Int) -> Ptr:
    """The counter of the long waits of work item `item`; items from the last slot on have that one in common."""
    return args.waits.i64_ptr(item.min(WAIT_SLOTS - 1))


class ItemTimes:
    """The times of one work item; of a single item nothing is recorded.

    Of more items than WAIT_SLOTS the last ones count their waits together: of each alone they are not known.
    """

    def __init__(self, code: Code, args: BarrierArgs, item: Int, items: Int, target: str):
        """Emits the start."""
        self.code, self.args, self.item, self.items, self.target = code, args, item, items, target
        self._start = code.alloca_i64(1)
        with code.if_(items > 1):
            self._start.store_i64(0, ticks(code, target))

    @property
    def _own_slot(self) -> Bool:
        return (self.item < WAIT_SLOTS - 1) | (self.items <= WAIT_SLOTS)

    def waited(self) -> Int:
        """Ticks of long waits so far; 0 where they are not known."""
        return self._own_slot.select(wait_slot(self.args, self.item).load_i64(0), 0)

    def elapsed(self) -> Int:
        """Ticks since the start."""
        return ticks(self.code, self.target) - self._start.load_i64(0)

    def record(self) -> None:
        """Emits the end."""
        code, args = self.code, self.args
        with code.if_(self.items > 1):
            begin = self._start.load_i64(0)
            code.builder.atomic_rmw("umin", args.first_start.value, begin.value, "monotonic")
            with code.if_(self._own_slot):
                busy = self.elapsed() - self.waited()
                code.builder.atomic_rmw("umin", args.least_busy.value, busy.value, "monotonic")


def record_exit(code: Code, args: BarrierArgs, items: Int, target: str) -> None:
    """Emits that a thread leaves the kernel, also one that came too late for any work item: the parallel region ends
    with the last of them."""
    with code.if_(items > 1):
        code.builder.atomic_rmw("umax", args.last_end.value, ticks(code, target).value, "monotonic")
