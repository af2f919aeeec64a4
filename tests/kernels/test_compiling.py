"""Kernels compiled side by side: the same code, one compilation each, errors where a kernel is asked for."""

import ctypes
import gc
import os
import threading

import pytest
import torch
from llvmlite.binding import ffi

from ostinato.cells.catalogue import catalogue
from ostinato.errors import InputError
from ostinato.kernels.runtime import api, precompile
from ostinato.kernels.runtime.recipes import backward_recipe, forward_recipe
from ostinato.kernels.system import compile_cache, compiler, openmp
from ostinato.kernels.system.compile_cache import Order
from ostinato.kernels.system.target import host

pytestmark = pytest.mark.slow

FAR = 60
"""Seconds after which a test gives up; none of them waits for a time to pass."""


def text(factor):
    return f"define i64 @f(i64 %n) {{\n  %m = mul i64 %n, {factor}\n  ret i64 %m\n}}\n"


def order(factor, source=None):
    return Order(source or text(factor), f"times {factor}", f"tests: times {factor}", host())


def compiled(given):
    library = compile_cache.compile(given.source, name=given.name, key=given.key, target=given.target)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("f"))(7), library


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a process that has compiled nothing yet."""
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compile_cache, "_libraries", {})
    monkeypatch.setattr(compile_cache, "_ahead", {})
    return tmp_path / "cache"


def in_threads(*calls):
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(FAR)
        assert not thread.is_alive()


def test_code_generated_in_several_threads_is_the_code_of_one():
    cell = catalogue()["gru"]
    orders = [
        recipe.order
        for scalar in ("float32", "float64")
        for recipe in (forward_recipe(cell, scalar, True, False), backward_recipe(cell, scalar, False, False))
    ]
    alone = [compiler.emit_object(each.source, each.target) for each in orders]
    found = {}

    def emit(k):
        found[k] = compiler.emit_object(orders[k].source, orders[k].target)

    in_threads(*(lambda k=k: emit(k) for k in range(len(orders))))
    assert [found[k] for k in range(len(orders))] == alone
    assert len(set(alone)) == len(alone)


def test_code_is_generated_while_another_thread_is_inside_of_llvm():
    machine = compiler._target_machine(host())
    module = compiler._optimised(text(3), machine, "times 3")
    found = []
    function = compiler._emit_to_memory()
    with ffi.OutputString() as error, ffi.lib._lock:  # as llvmlite holds it during every call
        in_threads(lambda: found.append(function(machine, module, 1, error)))
    assert found[0]
    ffi.lib.LLVMPY_DisposeMemoryBuffer(found[0])


def test_another_text_is_emitted_while_code_is_generated(monkeypatch):
    """The generation of the first waits for the text of the second, so it cannot hold the lock of emitters."""
    emitted, generate = threading.Event(), compiler._generate

    def slow(machine, module):
        assert emitted.wait(FAR)
        return generate(machine, module)

    def second():
        emitted.set()
        return text(5)

    monkeypatch.setattr(compiler, "_generate", slow)
    begun = threading.Event()

    def first():
        begun.set()
        return text(4)

    def later():
        assert begun.wait(FAR)
        compiler.emit_object(second, host())

    in_threads(lambda: compiler.emit_object(first, host()), later)
    assert emitted.is_set()


def test_an_error_of_the_code_generator_is_raised(monkeypatch):
    def fails(machine, module, kind, error):
        error._ptr.value, error._owned = b"no registers left", False

    monkeypatch.setattr(compiler, "_emit_to_memory", lambda: fails)
    with pytest.raises(RuntimeError, match="no registers left"):
        compiler.emit_object(text(3), host())
    assert not compiler._compiling


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_off_while_kernels_are_compiled_and_then_as_before(on):
    before, inside = gc.isenabled(), []

    def source():
        inside.append(gc.isenabled())
        return text(3)

    try:
        (gc.enable if on else gc.disable)()
        compiler.emit_object(source, host())
        with pytest.raises(InputError, match="does not accept its text"):
            compiler.emit_object("define", host())
        assert inside == [False] and gc.isenabled() == on
    finally:
        (gc.enable if before else gc.disable)()


def test_what_is_started_ahead_is_waited_for_and_compiled_once(monkeypatch):
    leave, generate, workers = threading.Event(), compiler._generate, []

    def slow(machine, module):
        workers.append(threading.current_thread().name)
        assert leave.wait(FAR)
        return generate(machine, module)

    monkeypatch.setattr(compiler, "_generate", slow)
    before = compile_cache.compiled_count()
    given = order(3)
    compile_cache.start_ahead(given)
    compile_cache.start_ahead(given)  # it is being compiled already
    assert compile_cache.missing([given]) == []
    found = []
    asking = threading.Thread(target=lambda: found.append(compiled(given)[0]))
    asking.start()
    leave.set()
    asking.join(FAR)
    assert found == [21] and workers == ["ostinato-compile"]
    assert compile_cache.compiled_count() == before + 1
    assert not compile_cache._busy and not compile_cache._ahead


def test_the_error_of_what_was_compiled_ahead_is_raised_where_it_is_asked_for():
    given = order(3, "define i64 @f() { ret void }")
    compile_cache.compile_ahead(given)
    assert not compile_cache._busy and not compile_cache._ahead
    with pytest.raises(InputError, match="kernel times 3: LLVM does not accept its text"):
        compiled(given)


def test_without_a_thread_the_caller_compiles(monkeypatch):
    def none(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    compile_cache.start_ahead(order(3))
    assert not compile_cache._busy
    assert compiled(order(3))[0] == 21


def test_code_that_nobody_asks_for_has_a_bound(monkeypatch):
    compile_cache.compile_ahead(order(2))
    (code,) = compile_cache._ahead.values()
    monkeypatch.setattr(compile_cache, "_AHEAD_BYTES", 5 * len(code) // 2)  # for two of them
    for factor in (3, 5, 7):
        compile_cache.compile_ahead(order(factor))
    assert [order(factor).identity in compile_cache._ahead for factor in (2, 3, 5, 7)] == [False, False, True, True]
    assert compiled(order(2))[0] == 14


def test_missing_is_what_neither_memory_nor_disk_has():
    given = [order(factor) for factor in (2, 3, 5, 5)]
    kept = compiled(given[0])[1]
    compile_cache.compile_ahead(given[1])
    compile_cache._ahead.clear()  # on disk only
    assert [each.name for each in compile_cache.missing(given)] == ["times 5"]
    assert kept.name == "times 2"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_for_the_code_that_another_thread_generates(monkeypatch):
    inside, leave, generate, order_of_events = threading.Event(), threading.Event(), compiler._generate, []

    def slow(machine, module):
        inside.set()
        assert leave.wait(FAR)
        order_of_events.append("generated")
        return generate(machine, module)

    monkeypatch.setattr(compiler, "_generate", slow)

    def fork():
        compiler._before_fork()
        order_of_events.append("forked")
        compiler.lock.release()

    forking = threading.Thread(target=fork, daemon=True)

    def compile_it():
        compiler.emit_object(text(3), host())

    compiling = threading.Thread(target=compile_it, daemon=True)
    compiling.start()
    assert inside.wait(FAR)
    forking.start()
    leave.set()
    for thread in (compiling, forking):
        thread.join(FAR)
        assert not thread.is_alive()
    assert order_of_events == ["generated", "forked"]


@pytest.fixture
def started(monkeypatch):
    """The names of the kernels that are started ahead, without starting them."""
    names = []
    monkeypatch.setattr(compile_cache, "start_ahead", lambda given: names.append(given.name))
    api.compiled_forward.cache_clear()
    yield names
    api.compiled_forward.cache_clear()


@pytest.mark.parametrize(
    ("threads", "save", "histories", "expected"),
    [
        (2, True, False, ["mgu backward d_histories=False"]),
        (1, True, False, []),
        (2, False, False, []),
        (2, True, True, []),
    ],
)
def test_backward_is_compiled_beside_the_forward_pass_of_training_alone(
    started, monkeypatch, threads, save, histories, expected
):
    monkeypatch.setattr(openmp, "thread_count", lambda: threads)
    cell = catalogue()["mgu"]
    kernel = api.compiled_forward(cell, "float32", save, histories)
    assert started == expected
    api.compiled_forward.cache_clear()
    again = api.compiled_forward(cell, "float32", save, histories)
    assert started == expected and again.library is kernel.library  # there is nothing to compile


def needs(*names, training=True):
    return [precompile.Need(catalogue()[name], torch.float32, training, False) for name in names]


@pytest.fixture
def emptied():
    """No kernels in memory, before and after."""
    caches = (api.compiled_forward, api.compiled_backward)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("writable", [True, False])
def test_as_many_kernels_are_prepared_whatever_the_threads_and_the_folder(
    emptied, monkeypatch, tmp_path, threads, writable
):
    workers, cached = set(), compile_cache._cached

    def noted(*arguments):
        workers.add(threading.current_thread().name.partition("_")[0])
        return cached(*arguments)

    if not writable:
        file = tmp_path / "file"
        file.write_text("no folder")
        monkeypatch.setenv("OSTINATO_CACHE", str(file / "cache"))
    monkeypatch.setattr(openmp, "thread_count", lambda: threads)
    monkeypatch.setattr(compile_cache, "_cached", noted)
    precompile.prepare(needs("elman", training=False))
    before = compile_cache.compiled_count()
    assert precompile.prepare(needs("elman", "mgu")) == 2 + 3
    assert compile_cache.compiled_count() == before + 5
    assert ("ostinato-compile" in workers) == (threads > 1)
    assert precompile.prepare(needs("elman", "mgu")) == 0
    # Of kernels that belong to no cell the process has libraries that the fixture hides.
    standalone = {kernel().order.identity for kernel in (precompile.sort_kernel, precompile.barrier_benchmark)}
    assert compile_cache._ahead.keys() <= standalone and not compile_cache._busy


def test_the_first_error_in_the_order_of_the_cells_is_raised(emptied, monkeypatch):
    emit = compiler.emit_object

    def failing(source, target, *, name):
        if "mgu backward" in name or "gru" in name:
            raise InputError(f"kernel {name}: broken.")
        return emit(source, target, name=name)

    monkeypatch.setattr(openmp, "thread_count", lambda: 2)
    monkeypatch.setattr(compiler, "emit_object", failing)
    with pytest.raises(InputError, match="kernel mgu backward d_histories=False: broken"):
        precompile.prepare(needs("elman", "mgu", "gru"))
    assert not compile_cache._busy


def test_without_threads_all_is_prepared_by_the_caller(emptied, monkeypatch):
    monkeypatch.setattr(openmp, "thread_count", lambda: 2)

    def none(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none)
    precompile.prepare(needs("elman", training=False))
    assert precompile.prepare(needs("elman", "mgu")) == 5
