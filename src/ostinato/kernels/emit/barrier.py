"""Barriers between the threads that share the steps of a kernel.

A barrier is a counter in the argument block that only grows. A waiting thread reads it SPIN_LIMIT times, then yields
its processor between reads, so that a machine with more threads than processors makes progress. The time from
LONG_WAIT reads on is counted, for the policy that decides whether threads should share steps at all.
"""

from __future__ import annotations

from llvmlite import ir

from ..codegen.arguments import BarrierArgs, Block, Layout
from ..codegen.ir_builder import I64, PTR, Code, Int, Ptr
from ..system import openmp
from .launch_times import ticks, wait_slot

LONG_WAIT = 64
SPIN_LIMIT = 2000


def set_barrier_functions(block: Block) -> None:
    """Writes the addresses of the functions that barriers call; 0 for one that the system lacks."""
    block[BarrierArgs.team_size] = openmp.num_threads_address() or 0
    block[BarrierArgs.yield_cpu] = openmp.yield_address() or 0


class ThreadTeam:
    """Emits the size of the thread team and the barriers of one kernel."""

    def __init__(self, layout: Layout, target: str):
        self.layout, self.target = layout, target
        self._barrier: ir.Function | None = None

    def size(self, code: Code, args: BarrierArgs) -> Int:
        """The number of work items: the size of the running team if threads share a step, else `work_items`."""
        b = code.builder
        size = code.alloca_i64(1)
        b.store(args.work_items.value, size.value, align=8)
        with code.if_(args.shared > 0):
            kind = ir.FunctionType(ir.IntType(32), [])
            count = b.call(b.inttoptr(args.team_size.value, kind.as_pointer()), [])
            b.store(b.sext(count, I64), size.value, align=8)
        return size.load_i64(0)

    def barrier(self, code: Code, args: BarrierArgs, unit_slice: Int, num_slices: Int) -> None:
        """Emits a barrier of `num_slices` threads, for that of `unit_slice`; at run time nothing is done for one."""
        with code.if_(num_slices > 1):
            code.call(self._function(code), args.base, unit_slice, num_slices)

    def _function(self, caller: Code) -> ir.Function:
        if self._barrier is None:
            code = caller.new_function("barrier", [PTR, I64, I64])
            base, unit_slice, num_slices = code.arguments
            assert isinstance(base, Ptr) and isinstance(unit_slice, Int) and isinstance(num_slices, Int)
            args, b = BarrierArgs(self.layout, code, base), code.builder
            ticket = Int(code, b.atomic_rmw("add", args.barrier_count.value, ir.Constant(I64, 1), "acq_rel"))
            self.wait(code, args, args.barrier_count, (ticket // num_slices + 1) * num_slices, unit_slice)
            self._barrier = code.close()
        return self._barrier

    def wait(self, code: Code, args: BarrierArgs, counter: Ptr, target: Int, item: Int) -> None:
        """Emits the wait of work item `item` until other threads have raised a counter to `target`."""
        b, since, yield_cpu = code.builder, code.alloca_i64(1), args.yield_cpu
        spin, wait, retry, done = (code.function.append_basic_block(n) for n in ("spin", "wait", "retry", "done"))
        before = b.block
        b.branch(spin)
        b.position_at_end(spin)
        spins = b.phi(I64)
        spins.add_incoming(ir.Constant(I64, 0), before)
        now = Int(code, b.load_atomic(counter.value, "acquire", 8, typ=I64))
        b.cbranch((now < target).value, wait, done)
        b.position_at_end(wait)
        more = Int(code, spins) + 1
        with code.if_(more.equals(LONG_WAIT)):
            since.store_i64(0, ticks(code, self.target))
        with code.if_(more > SPIN_LIMIT):
            kind = ir.FunctionType(ir.IntType(32), [])
            with code.if_(yield_cpu > 0):
                b.call(b.inttoptr(yield_cpu.value, kind.as_pointer()), [])
        self._pause(code)
        b.branch(retry)
        b.position_at_end(retry)
        spins.add_incoming(more.value, retry)
        b.branch(spin)
        b.position_at_end(done)
        with code.if_(Int(code, spins) >= LONG_WAIT):
            waited = ticks(code, self.target) - since.load_i64(0)
            b.atomic_rmw("add", wait_slot(args, item).value, waited.value, "monotonic")

    def _pause(self, code: Code) -> None:
        name, kinds = (
            ("llvm.aarch64.hint", [ir.IntType(32)]) if self.target == "aarch64" else ("llvm.x86.sse2.pause", [])
        )
        f = code.module.globals.get(name) or ir.Function(code.module, ir.FunctionType(ir.VoidType(), kinds), name)
        code.builder.call(f, [ir.Constant(k, 1) for k in kinds])
