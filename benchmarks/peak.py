"""What the cores can multiply: independent fused multiply-adds in registers, on all threads at once."""

import ctypes
import time
from array import array
from functools import cache

import torch
from llvmlite import ir

from ostinato.kernels.codegen.vector_ops import Lanes
from ostinato.kernels.system import compile_cache, openmp
from ostinato.kernels.system.target import host

I64 = ir.IntType(64)
COUNT, ARRIVED, NUMBERS, RESULT = 0, 1, 8, 16
"""Places of the frame, of 64 bits: rounds to run, threads that came, a vector to multiply, a vector to leave."""


def peak(scalar: str = "float32", seconds: float = 0.3, rounds: int = 200_000) -> float:
    """FLOP/s of this machine with torch's number of threads: the best of the bursts that fit into `seconds`.

    Each fused multiply-add counts as two. Several chains of them are independent, more than latency times units of
    any processor known, so that nothing but the number of units and the clock bounds them.
    """
    library, chains, lanes = _compiled(scalar)
    address, count = library.address("peak"), openmp.thread_count()
    size = 8 if scalar == "float64" else 4
    frame = (ctypes.c_char * (4 * 64))()
    start = -(-ctypes.addressof(frame) // 64) * 64
    numbers = (ctypes.c_int64 * 8).from_address(start)
    halves = array("d" if size == 8 else "f", [0.5] * (64 // size)).tobytes()
    best, stop = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < stop:
        numbers[COUNT], numbers[ARRIVED] = rounds, 0
        ctypes.memmove(start + 8 * NUMBERS, halves, 64)
        begin = time.perf_counter()
        openmp.parallel(address, start, count)
        spent = time.perf_counter() - begin
        best = max(best, numbers[ARRIVED] * 2 * lanes * chains * rounds / spent)
    return best


@cache
def _compiled(scalar: str) -> tuple[compile_cache.Library, int, int]:
    """(library, chains, lanes) of `void peak(void *frame)`."""
    target = host()
    lanes, chains = target.lanes(scalar), target.registers * 3 // 4
    source = module(scalar, lanes, chains)
    return compile_cache.compile(source, name="peak", key=str(source), target=target), chains, lanes


def module(scalar: str, lanes: int, chains: int) -> ir.Module:
    """`void peak(void *frame)`. No two chains are equal: a compiler may count one of them for both."""
    module = ir.Module()
    pointer = ir.PointerType()
    body = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "peak")
    builder = ir.IRBuilder(body.append_basic_block())
    code = Lanes(module, builder, scalar, lanes)
    frame = body.args[0]

    def place(index: int) -> ir.Value:
        return builder.gep(frame, [ir.Constant(I64, index)], source_etype=I64)

    builder.atomic_rmw("add", place(ARRIVED), ir.Constant(I64, 1), "monotonic")
    rounds, x = builder.load(place(COUNT), typ=I64), code.load(place(NUMBERS))
    before, loop, after = builder.block, body.append_basic_block(), body.append_basic_block()
    builder.branch(loop)
    builder.position_at_end(loop)
    done, sums = builder.phi(I64), [builder.phi(code.V) for _ in range(chains)]
    done.add_incoming(ir.Constant(I64, 0), before)
    # Towards 1: neither infinite nor denormal, however long it runs.
    totals = [code.fma(total, x, x) for total in sums]
    for k, (total, new) in enumerate(zip(sums, totals)):
        total.add_incoming(code.const(1 / (2 + k)), before)
        total.add_incoming(new, loop)
    further = builder.add(done, ir.Constant(I64, 1))
    done.add_incoming(further, loop)
    builder.cbranch(builder.icmp_signed("<", further, rounds), loop, after)
    builder.position_at_end(after)
    # The new sums, not those before the last round: two live values of one chain would need registers and copies.
    result = totals[0]
    for total in totals[1:]:
        result = code.add(result, total)
    # A store that nobody reads keeps the sums alive; every thread stores the same number.
    code.store(result, place(RESULT))
    builder.ret_void()
    return module


def copied(megabytes: int = 256, repeats: int = 5) -> float:
    """Bytes per second that a large copy reads and writes, with torch's threads: the bound of what is not products."""
    source = torch.zeros(megabytes * 2**20 // 4)
    target = torch.empty_like(source)
    spent = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        target.copy_(source)
        spent.append(time.perf_counter() - begin)
    return 2 * 4 * source.numel() / min(spent[1:])
