"""Caches hold what their bound says and no more, whatever sizes and cells a program draws."""

import ast
import ctypes
import gc
import platform
import random
import threading
import tracemalloc
from pathlib import Path

import pytest
import torch
from llvmlite import ir

import ostinato
from ostinato.caching import ENTRY_BYTES, bounded_cache, graph_bytes, tensor_bytes
from ostinato.cells import Cell, catalogue
from ostinato.kernels.emit.forward import Forward
from ostinato.kernels.planning.cell_program import Program
from ostinato.kernels.runtime import api
from ostinato.kernels.system import compile_cache, memory_pool
from ostinato.kernels.system.target import host

pytestmark = pytest.mark.slow

PACKAGE = Path(ostinato.__file__).parent
FEW = {
    "caching.py cached": "emptied by its bound in bytes",
    "cells/gate_layouts.py _by_equations": "one for each vocabulary",
    "kernels/codegen/vector_ops.py _every_lane": "256 constants of at most 64 numbers, with their texts",
    "kernels/codegen/vector_ops.py _undefined": "64 constants",
    "kernels/lens_kernels/additive_path.py path_kernel": "two number types",
    "kernels/lens_kernels/row_norms.py norms_kernel": "two number types",
    "kernels/system/target.py _host_cpu": "no arguments",
    "kernels/system/target.py _host_features": "no arguments",
    "kernels/system/target.py host_triple": "no arguments",
    "streaming/reading/interpret.py _signature": "one for each function that reads an operation",
    "kernels/system/target.py _runnable": "one for each target's name; others raise",
    "kernels/system/compile_cache.py _sources": "no arguments",
    "kernels/system/target.py target_by_name": "one for each target's name; others raise",
    "kernels/runtime/barrier_cost.py barrier_benchmark": "no arguments",
    "kernels/runtime/barrier_cost.py barrier_seconds": "64 numbers",
    "kernels/runtime/row_layout.py _sort_block": "no arguments",
    "kernels/runtime/row_layout.py sort_kernel": "no arguments",
    "kernels/runtime/api.py _has_kernels": "no arguments",
    "kernels/system/openmp.py _body": "256 pointers to functions",
    "kernels/system/openmp.py _openmp": "no arguments",
    "kernels/system/openmp.py _symbol_address": "one for each name in the source",
    "kernels/system/openmp.py yield_address": "no arguments",
    "layers/torch_layers.py _machine_has_kernels": "no arguments",
    "execution/backends.py _warn": "one for each kind of device",
    "execution/backends.py kernels": "no arguments",
    "execution/routing.py _onednn": "no arguments",
    "lens/capture/sampling.py _stride": "256 numbers",
    "lens/capture/sampling.py _segments": "256 tensors of four numbers",
    "program/page/pictures.py _characters": "no arguments; the characters of one font",
}
"""Caches without a bound in bytes, and what bounds them: entries are small, and few."""
MEGABYTE = 1 << 20


def test_a_full_cache_is_emptied_before_the_next_result_goes_in():
    made, emptied = [], []

    @bounded_cache(4 * (1000 + ENTRY_BYTES), size_of=lambda found, n: len(found), and_clear=lambda: emptied.append(1))
    def block(n):
        made.append(n)
        return bytes(1000)

    for n in (0, 1, 2, 3, 0, 3):
        block(n)
    assert (made, emptied, block.cache_info().currsize) == ([0, 1, 2, 3], [], 4)
    block(4)
    assert (emptied, block.cache_info().currsize) == ([1], 1)
    block(0)
    assert (made, block.cache_info().currsize) == ([0, 1, 2, 3, 4, 0], 2)
    block.cache_clear()
    for n in range(4):  # what the caller emptied counts no more
        block(n)
    assert (emptied, block.cache_info().currsize) == ([1], 4)
    assert len(block.__wrapped__(9)) == 1000 and block.cache_info().currsize == 4


def test_threads_share_a_cache_and_its_bound():
    @bounded_cache(100 * (100 + ENTRY_BYTES), size_of=lambda found, n: 100)
    def number(n):
        return n * n

    wrong, most = [], []

    def work(seed):
        draw = random.Random(seed)
        for _ in range(2000):
            n = draw.randrange(300)
            if number(n) != n * n:
                wrong.append(n)
            most.append(number.cache_info().currsize)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong and max(most) <= 100 + len(threads)


def test_every_cache_has_a_bound_in_bytes_or_few_small_entries():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", []):
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                if name in ("lru_cache", "cache"):
                    found.add(f"{path.relative_to(PACKAGE).as_posix()} {node.name}")
    assert found == set(FEW)


@pytest.mark.parametrize("name", ["elman", "lstm", "gru", "slstm", "lstm_projected"])
def test_a_cell_and_its_plan_take_no_more_than_is_counted(name):
    text = catalogue()[name].text.replace("def ", "def measured_", 1)
    gc.collect()
    tracemalloc.start()
    try:
        cell = Cell.from_text(text)
        plan = Program(cell)
        assert plan.input_gradient is not None and any(plan.fully_written)
        Forward(plan, host(), "float32", True, False)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken <= graph_bytes(cell)
    assert graph_bytes(plan, cell) == 2 * graph_bytes(cell.trace.graph)
    assert tensor_bytes([torch.zeros(3), None, torch.zeros(2, dtype=torch.float64)]) == 28


def searched(k):
    text = f"def searched(W, U, b, x, h):\n    return tanh({k + 0.5} * (W.a @ x) + U.a @ h + b.a)\n"
    return Cell.from_text(text)


def test_compiling_leaves_nothing_of_its_text_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path))
    before, compiled = modules(), compile_cache.compiled_count()
    layer = ostinato.Recurrent(searched(12345), 3, 4)
    layer(torch.randn(2, 2, 3))[0].sum().backward()
    assert compile_cache.compiled_count() == compiled + 2
    assert modules() == before


def modules():
    gc.collect()
    return sum(type(o) in (ir.Module, ir.Function) for o in gc.get_objects())


def test_code_that_no_cache_holds_is_freed(monkeypatch):
    """Hundreds of cells, each with a library of its own; all have the code of the first, which is not run."""
    code = compile_cache._cached
    known: list[bytes] = []

    def cached(*arguments):
        known[:] = known or [code(*arguments)]
        return known[0]

    monkeypatch.setattr(compile_cache, "_cached", cached)
    api.compiled_forward.cache_clear()
    api._clear_plans()
    gc.collect()
    others = set(compile_cache._libraries)
    most, count = 0, 400
    for k in range(count):
        compiled = api.compiled_forward(searched(k), "float32", False, False)
        api._dense_plan(compiled, 2, 2, 3, 4, 4, 1, False)
        most = max(most, sum(v.nbytes for n, v in compile_cache._libraries.items() if n not in others))
    held = compiled.library.nbytes * count
    assert most <= 64 * MEGABYTE
    assert api.compiled_forward.cache_info().currsize < count, "the cache was never full, so nothing was to be freed"
    gc.collect()
    assert sum(v.nbytes for n, v in compile_cache._libraries.items() if n not in others) < held / 2
    api.compiled_forward.cache_clear()
    api._clear_plans()
    del compiled
    gc.collect()
    assert set(compile_cache._libraries) <= others


def resident():
    """Bytes, without what is free already: blocks of the pool, and pages that malloc has not given back."""
    gc.collect()
    memory_pool.clear()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_trim and /proc are glibc's and Linux's")
def test_memory_does_not_grow_with_the_sizes_that_calls_have_had():
    """2,000 sizes of small calls, with and without lengths, and 64 of large ones, whose starts hold 3 to 6 MB each."""
    draw = random.Random(0)
    layer = ostinato.GRU(2, 16)
    dropped = ostinato.GRU(2, 16, zoneout=0.2, input_dropout=0.2)

    def calls(small, large):
        with torch.no_grad():
            for n in range(small):
                T, B = draw.randint(1, 30), draw.randint(1, 200)
                lengths = [draw.randint(1, T) for _ in range(B)] if n % 2 else None
                (dropped if n % 3 == 0 else layer)(torch.zeros(T, B, 2), lengths=lengths)
            for _ in range(large):
                layer(torch.zeros(1, draw.randint(50_000, 100_000), 2))

    calls(20, 3)
    before = resident()
    calls(2000, 64)
    assert resident() - before <= 64 * MEGABYTE
