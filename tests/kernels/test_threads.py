"""A body on torch's own team of threads, without that team, after a fork; and the denormal mode it leaves behind."""

import ctypes
import functools
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from llvmlite import ir

from ostinato.errors import InputError
from ostinato.kernels.system import compile_cache, compiler, openmp
from ostinato.kernels.system.target import host, target_by_name

# frame: i64 arrived, i64 next index, ptr barrier, ptr num_threads, then one i64 per thread
MEETING = """
define void @meet(ptr %frame) {
  %next = getelementptr i64, ptr %frame, i64 1
  %index = atomicrmw add ptr %next, i64 1 seq_cst
  %old = atomicrmw add ptr %frame, i64 1 seq_cst
  %barrier.place = getelementptr i64, ptr %frame, i64 2
  %barrier = load ptr, ptr %barrier.place
  call void %barrier()
  %arrived = load atomic i64, ptr %frame seq_cst, align 8
  %count.place = getelementptr i64, ptr %frame, i64 3
  %count.of = load ptr, ptr %count.place
  %count = call i32 %count.of()
  %count.64 = sext i32 %count to i64
  %thousand = mul i64 %count.64, 1000
  %both = add i64 %thousand, %arrived
  %slots = getelementptr i64, ptr %frame, i64 4
  %slot = getelementptr i64, ptr %slots, i64 %index
  store i64 %both, ptr %slot
  ret void
}
define void @count(ptr %frame) {
  %old = atomicrmw add ptr %frame, i64 1 seq_cst
  ret void
}
"""


@functools.cache
def barrier_library() -> compile_cache.Library:
    """Kept here: the code of a library is freed with it, and an address alone keeps nothing alive."""
    return compile_cache.compile(MEETING, name="meeting", key="tests: meeting")


def meeting(function: str) -> int:
    return barrier_library().address(function)


def count(asked: int) -> int:
    """How many times the body ran."""
    frame = np.zeros(1, np.int64)
    openmp.parallel(meeting("count"), frame.ctypes.data, asked)
    return int(frame[0])


@pytest.mark.parametrize("asked", [1, 2, 3, 5])
def test_the_body_runs_once_on_each_thread(asked):
    assert count(asked) == asked


@pytest.mark.skipif(openmp._symbol_address("GOMP_barrier") is None, reason="torch brings no OpenMP library here")
@pytest.mark.parametrize("asked", [1, 2, 4])
def test_all_threads_meet_at_the_barrier_and_know_how_many_they_are(asked):
    frame = np.zeros(4 + asked, np.int64)
    frame[2], frame[3] = openmp._symbol_address("GOMP_barrier"), openmp.num_threads_address()
    openmp.parallel(meeting("meet"), frame.ctypes.data, asked)
    assert frame[4:].tolist() == [1000 * asked + asked] * asked


TEAM = """
import threading
def libraries():
    with open("/proc/self/maps") as maps:
        return {line.split(None, 5)[5].strip() for line in maps if "libgomp" in line}
assert count(2) == 2
assert len(libraries()) <= 1, libraries()
before = threading.active_count()
assert count(2) == 2
assert threading.active_count() == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_team_is_torchs_and_no_second_library_is_loaded():
    """In a process of its own: scikit-learn, which other tests import, brings a library of its own."""
    run(COUNT + TEAM)


def test_the_interpreter_is_free_while_the_body_runs():
    wait_for_other = """
    define void @wait(ptr %frame) {
    entry:
      br label %again
    again:
      %seen = load atomic i64, ptr %frame seq_cst, align 8
      %set = icmp eq i64 %seen, 1
      br i1 %set, label %done, label %again
    done:
      ret void
    }
    """
    library = compile_cache.compile(wait_for_other, name="wait", key="tests: wait")
    address = library.address("wait")
    frame = (ctypes.c_int64 * 1)()
    other = threading.Timer(0.05, frame.__setitem__, (0, 1))
    other.start()
    openmp.parallel(address, ctypes.addressof(frame), 2)
    other.join()
    assert frame[0] == 1


def test_no_threads_are_refused():
    with pytest.raises(InputError, match=r"openmp.parallel: threads must be at least 1, got 0\."):
        openmp.parallel(meeting("count"), 0, 0)


def test_thread_count_is_torchs():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert openmp.thread_count() == 3
    finally:
        torch.set_num_threads(before)


def run(program: str) -> str:
    """The output of a program in a process of its own, which a hang cannot take down with it."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


COUNT = f"""
import os, warnings, ctypes, torch
from ostinato.kernels.system import compile_cache, openmp
def count(asked):
    frame = (ctypes.c_int64 * 1)()
    library = compile_cache.compile('''{MEETING}''', name="meeting", key="tests: meeting")
    address = library.address("count")
    openmp.parallel(address, ctypes.addressof(frame), asked)
    return frame[0]
"""

FORK = """
assert count(2) == 2
child = os.fork()
if child == 0:
    os._exit(0 if count(2) == 1 and openmp.thread_count() == 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert count(2) == 2
print("parent and child are done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_wait_for_its_parents_team():
    assert run(COUNT + FORK) == "parent and child are done\n"


WITHOUT_OPENMP = """
openmp._openmp = lambda: None
assert openmp.num_threads_address() is None
assert count(1) == 1
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    assert count(3) == 3
    assert count(2) == 2
    assert count(6) == 6
print([(type(w.message).__name__, str(w.message)[:33]) for w in seen])
"""


def test_without_openmp_a_pool_runs_the_body_with_one_warning():
    assert run(COUNT + WITHOUT_OPENMP) == "[('RuntimeWarning', 'torch brings no OpenMP library wi')]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_use_its_parents_pool():
    program = COUNT + 'openmp._openmp = lambda: None\nwarnings.simplefilter("ignore")\n' + FORK
    assert run(program) == "parent and child are done\n"


# denormals


@functools.cache
def scaling_library(flush: bool, factor: float) -> compile_cache.Library:
    """void scale(double *x): *x *= factor, with or without denormals flushed."""
    target = host()
    module = ir.Module()
    pointer, double, nothing = ir.PointerType(), ir.DoubleType(), ir.VoidType()
    body = ir.Function(module, ir.FunctionType(nothing, [pointer]), "body")
    builder = ir.IRBuilder(body.append_basic_block())
    x = builder.load(body.args[0], typ=double)
    builder.store(builder.fmul(x, ir.Constant(double, factor)), body.args[0])
    builder.ret_void()
    if flush:
        openmp.with_denormals_flushed(module, body, "scale", target)
    else:
        body.name = "scale"
    return compile_cache.compile(module, name="scale", key=f"tests: scale, {flush=} {factor=}", target=target)


def scaling(flush: bool, factor: float = 0.5) -> int:
    """The address of `scale`."""
    return scaling_library(flush, factor).address("scale")


@pytest.mark.parametrize("team", [1, 2])
def test_denormals_are_flushed_inside_and_the_callers_mode_is_untouched(team):
    tiny = np.finfo(np.float64).tiny
    plain, flushed = scaling(flush=False), scaling(flush=True)
    for address, expected in ((plain, tiny / 2), (flushed, 0.0), (plain, tiny / 2)):
        x = np.full(1, tiny)
        openmp.parallel(address, x.ctypes.data, 1)
        assert x[0] == expected
    x = np.full(1, 1.0)
    openmp.parallel(flushed, x.ctypes.data, team)
    # torch's workers and this thread still keep denormals.
    assert torch.full((200_000,), tiny, dtype=torch.float64).mul(0.5).count_nonzero() == 200_000


def test_operands_that_are_denormal_count_as_zero():
    x = np.full(1, np.finfo(np.float64).tiny / 4)
    openmp.parallel(scaling(flush=True, factor=2.0**60), x.ctypes.data, 1)
    assert x[0] == 0.0


def test_a_mode_that_the_user_has_set_survives():
    tiny = torch.tensor(np.finfo(np.float32).tiny)
    if not torch.set_flush_denormal(True):
        pytest.skip("torch cannot flush denormals on this machine")
    try:
        x = np.full(1, 1.0)
        openmp.parallel(scaling(flush=True), x.ctypes.data, 1)
        assert (tiny * 0.5).item() == 0.0
    finally:
        torch.set_flush_denormal(False)
    assert (tiny * 0.5).item() != 0.0


def test_the_mode_is_set_on_aarch64_too():
    target = target_by_name("aarch64")
    module = ir.Module()
    body = ir.Function(module, ir.FunctionType(ir.DoubleType(), [ir.DoubleType()]), "body")
    builder = ir.IRBuilder(body.append_basic_block())
    builder.ret(builder.fmul(body.args[0], ir.Constant(ir.DoubleType(), 0.5)))
    openmp.with_denormals_flushed(module, body, "halve", target)
    code = compiler.emit_assembly(module, target)
    assert code.lower().count("msr\tfpcr") == 2
    assert "#0x1000000" in code
