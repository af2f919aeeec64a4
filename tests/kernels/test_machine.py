"""Targets, compiled code and its cache. Every test has a cache folder of its own."""

import ctypes
import dataclasses
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from ostinato import _version
from ostinato.errors import InputError, NoKernelsError
from ostinato.kernels.system import compile_cache, compiler
from ostinato.kernels.system import target as targets

X86 = targets.target_by_name("host").name in ("avx512", "avx2")
x86_only = pytest.mark.skipif(not X86, reason="needs an x86-64 host")

TWICE = """
define i64 @twice(i64 %n) {
  %sum = add i64 %n, %n
  ret i64 %sum
}
"""


def axpy(lanes: int) -> str:
    """void axpy(float *x, const float *y): x = 3 x + y as one fused multiply-add, and x y + x as two operations."""
    vector = f"<{lanes} x float>"
    three = ", ".join(["float 3.0"] * lanes)
    return f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
define void @fused(ptr %x.place, ptr %y.place) {{
  %x = load {vector}, ptr %x.place, align 4
  %y = load {vector}, ptr %y.place, align 4
  %z = call {vector} @llvm.fma.v{lanes}f32({vector} %x, {vector} <{three}>, {vector} %y)
  store {vector} %z, ptr %x.place, align 4
  ret void
}}
define void @separate(ptr %x.place, ptr %y.place) {{
  %x = load {vector}, ptr %x.place, align 4
  %y = load {vector}, ptr %y.place, align 4
  %product = fmul {vector} %x, %y
  %z = fadd {vector} %product, %x
  store {vector} %z, ptr %x.place, align 4
  ret void
}}
"""


def call(library: compile_cache.Library, n: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("twice"))(n)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a process that has compiled nothing yet."""
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OSTINATO_TARGET", raising=False)
    monkeypatch.setattr(compile_cache, "_libraries", {})
    return tmp_path / "cache"


# targets


@pytest.mark.parametrize(
    ("name", "registers", "floats", "doubles"), [("avx512", 32, 16, 8), ("avx2", 16, 8, 4), ("aarch64", 32, 4, 2)]
)
def test_registers_and_lanes(name, registers, floats, doubles):
    target = targets.target_by_name(name)
    assert (target.name, target.registers) == (name, registers)
    assert (target.lanes("float32"), target.lanes("float64")) == (floats, doubles)


def test_lanes_of_another_type_are_refused():
    with pytest.raises(InputError, match=r"Target.lanes: scalar must be float32 or float64, got 'bfloat16'\."):
        targets.target_by_name("avx2").lanes("bfloat16")


def test_the_environment_chooses_the_target(monkeypatch):
    assert targets.host() == targets.target_by_name("host")
    monkeypatch.setenv("OSTINATO_TARGET", "")
    assert targets.host() == targets.target_by_name("host")
    if X86:
        monkeypatch.setenv("OSTINATO_TARGET", "avx2")
        assert targets.host() == targets.target_by_name("avx2")


def test_an_unknown_target_is_named_and_the_known_ones_listed(monkeypatch):
    monkeypatch.setenv("OSTINATO_TARGET", "avx3")
    with pytest.raises(InputError, match=r"target must be one of host, avx512, avx2, sse, aarch64, got 'avx3'"):
        targets.host()


@x86_only
def test_a_target_of_another_machine_is_emitted_but_never_run(monkeypatch):
    monkeypatch.setenv("OSTINATO_TARGET", "aarch64")
    with pytest.raises(InputError, match=r"OSTINATO_TARGET: target must be one that this machine .* got 'aarch64'"):
        targets.host()
    with pytest.raises(InputError, match=r"kernel twice: target must be one that this machine can run, got 'aarch64'"):
        compile_cache.compile(TWICE, name="twice", key="1", target=targets.target_by_name("aarch64"))


def test_without_fused_multiply_add_there_are_no_kernels(monkeypatch):
    monkeypatch.setenv("OSTINATO_TARGET", "sse")
    with pytest.raises(NoKernelsError, match=r"Kernels need fused multiply-add .* which sse lacks"):
        targets.host()


@pytest.mark.parametrize(
    ("triple", "missing", "expected"),
    [
        ("x86_64-unknown-linux-gnu", "", "avx512"),
        ("x86_64-unknown-linux-gnu", "avx512bw", "avx2"),
        ("x86_64-unknown-linux-gnu", "fma", None),
        ("arm64-apple-darwin23", "", "aarch64"),
        ("riscv64-unknown-linux-gnu", "", None),
    ],
)
def test_the_host_is_recognised_by_its_features(monkeypatch, triple, missing, expected):
    features = {feature: feature != missing for feature in targets.REQUIRED_FEATURES["avx512"]}
    monkeypatch.setattr(targets, "host_triple", lambda: triple)
    monkeypatch.setattr(targets, "_host_features", lambda: features)
    if expected is None:
        with pytest.raises(NoKernelsError, match="Kernels (need|exist)"):
            targets._detect()
    else:
        assert targets._detect().name == expected


# the code


@pytest.mark.parametrize(
    ("name", "lanes", "fused"),
    [("avx512", 16, r"vfmadd\d+ps\s.*%zmm"), ("avx2", 8, r"vfmadd\d+ps\s.*%ymm"), ("aarch64", 4, r"fmla\s+v\d+\.4s")],
)
def test_vectors_stay_whole_and_only_what_is_written_fused_is_fused(name, lanes, fused):
    code = compiler.emit_assembly(axpy(lanes), targets.target_by_name(name))
    one, two = re.split(r"^separate:", code, flags=re.MULTILINE)
    assert len(re.findall(fused, one)) == 1
    assert not re.search(r"fmadd|fmla", two)


@pytest.mark.parametrize("name", ["host", "avx2"])
def test_compiled_vectors_compute(name):
    target = targets.target_by_name(name)
    if not targets.can_run(target):
        pytest.skip(f"this machine cannot run {name}")
    lanes = target.lanes("float32")
    library = compile_cache.compile(axpy(lanes), name="axpy", key="axpy", target=target)
    x, y = (ctypes.c_float * lanes)(*range(lanes)), (ctypes.c_float * lanes)(*[0.5] * lanes)
    for function, expected in (("fused", [3 * n + 0.5 for n in range(lanes)]), ("separate", [])):
        expected = expected or [1.5 * value for value in x]
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.address(function))(
            ctypes.addressof(x), ctypes.addressof(y)
        )
        assert list(x) == expected


@pytest.mark.parametrize("cpu", ["skylake-avx512", "icelake-server", "sapphirerapids", "znver4"])
def test_512_bit_vectors_are_not_split_on_processors_tuned_for_256(cpu):
    target = dataclasses.replace(targets.target_by_name("avx512"), cpu=cpu)
    code = compiler.emit_assembly(axpy(16), target)
    assert "%zmm" in code and "%ymm" not in code


def test_an_object_file_is_of_the_targets_machine():
    code = compiler.emit_object(TWICE, targets.target_by_name("aarch64"))
    if not targets.target_by_name("aarch64").triple.startswith("arm64"):
        assert code[:4] == b"\x7fELF" and code[18:20] == (183).to_bytes(2, "little")  # EM_AARCH64


def test_memory_functions_that_llvm_calls_by_itself_are_found():
    text = """
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define void @copy(ptr %to, ptr %from, i64 %bytes) {
  call void @llvm.memset.p0.i64(ptr %to, i8 7, i64 %bytes, i1 false)
  %half = lshr i64 %bytes, 1
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %half, i1 false)
  ret void
}
"""
    library = compile_cache.compile(text, name="copy", key="copy")
    address = library.address("copy")
    source, target = ctypes.create_string_buffer(b"x" * 5000), ctypes.create_string_buffer(5000)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(address)(
        ctypes.addressof(target), ctypes.addressof(source), 5000
    )
    assert target.raw == b"x" * 2500 + b"\x07" * 2500


def test_text_that_llvm_cannot_read_is_an_error_that_names_the_kernel():
    with pytest.raises(InputError, match="kernel wrong: LLVM does not accept its text"):
        compile_cache.compile("define void @f() { ret i64 0 }", name="wrong", key="1")


def test_a_foreign_function_is_an_error_and_not_the_end_of_the_process():
    text = "declare void @foreign()\ndefine void @f() {\n call void @foreign()\n ret void\n}"
    with pytest.raises(InputError, match=r"kernel calls: everything it calls must be its own .* got 'foreign'"):
        compile_cache.compile(text, name="calls", key="1")


def test_a_function_that_is_not_there_is_an_error_that_names_it():
    library = compile_cache.compile(TWICE, name="twice", key="1")
    with pytest.raises(InputError, match="kernel twice: function must be one that it defines, got 'thrice'"):
        library.address("thrice")


# the cache


def test_a_key_is_compiled_once_and_then_loaded(cache, monkeypatch):
    emitted = []

    def emit() -> str:
        emitted.append(1)
        return TWICE

    before = compile_cache.compiled_count()
    first = compile_cache.compile(emit, name="twice", key="1")
    assert compile_cache.compile(emit, name="twice", key="1") is first
    monkeypatch.setattr(compile_cache, "_libraries", {})
    second = compile_cache.compile(emit, name="twice", key="1")
    assert (call(first, 21), call(second, 4)) == (42, 8)
    assert (len(emitted), compile_cache.compiled_count() - before, len(list(cache.iterdir()))) == (1, 1, 1)


@pytest.mark.parametrize("what", ["key", "target", "sources", "llvmlite", "version"])
def test_everything_that_the_code_depends_on_is_part_of_the_key(monkeypatch, what):
    target = targets.target_by_name("avx2")
    before = compile_cache._identity("lstm", target)
    assert compile_cache._identity("lstm", target) == before
    key = "gru" if what == "key" else "lstm"
    if what == "target":
        target = dataclasses.replace(target, cpu="znver3")
    if what == "sources":
        monkeypatch.setattr(compile_cache, "_sources", lambda: "another emitter")
    if what == "llvmlite":
        monkeypatch.setattr(compile_cache.llvmlite, "__version__", "0.0")
    if what == "version":
        monkeypatch.setattr(compile_cache, "__version__", "0.0")
    assert compile_cache._identity(key, target) != before


def test_the_sources_of_emitters_and_cells_are_read(tmp_path, monkeypatch):
    for folder in ("kernels", "cells", "kernels/emit"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "first.py").write_text("1")
    monkeypatch.setattr(compile_cache, "__file__", str(tmp_path / "kernels" / "system" / "compile_cache.py"))
    seen = {compile_cache._sources.__wrapped__()}
    for path, text in (
        ("kernels/first.py", "2"),
        ("kernels/a.py", "1"),
        ("cells/b.py", "1"),
        ("kernels/emit/c.py", "1"),
    ):
        (tmp_path / path).write_text(text)
        seen.add(compile_cache._sources.__wrapped__())
    assert len(seen) == 5


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "text"])
def test_a_damaged_file_is_compiled_anew(cache, monkeypatch, damage):
    compile_cache.compile(TWICE, name="twice", key="1")
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    file.write_bytes({"cut": whole[:middle], "changed": changed, "empty": b"", "text": b"not code" * 99}[damage])
    monkeypatch.setattr(compile_cache, "_libraries", {})
    before = compile_cache.compiled_count()
    assert call(compile_cache.compile(TWICE, name="twice", key="1"), 5) == 10
    assert compile_cache.compiled_count() == before + 1
    assert compile_cache._read(file) == compile_cache._read(file) is not None
    assert [path.name for path in cache.iterdir()] == [file.name]


def test_a_folder_that_cannot_be_written_costs_the_cache_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "file" / "cache"))
    assert call(compile_cache.compile(TWICE, name="twice", key="1"), 3) == 6


def test_a_full_disk_leaves_no_half_file(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compile_cache.os, "replace", full)
    assert call(compile_cache.compile(TWICE, name="twice", key="1"), 3) == 6
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the rules of the XDG specification")
def test_the_users_cache_folder(monkeypatch):
    monkeypatch.delenv("OSTINATO_CACHE")
    monkeypatch.setenv("HOME", "/home/someone")
    home = Path("/home/someone/.cache/ostinato/kernels")
    for xdg, expected in (("/fast", Path("/fast/ostinato/kernels")), ("", home), ("not/absolute", home)):
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert compile_cache.cache_folder() == expected


PROGRAM = f"""
import ctypes
from ostinato.kernels.system import compile_cache
def emit():
    print("emitted")
    return '''{TWICE}'''
library = compile_cache.compile(emit, name="twice", key="process")  # its code lives as long as it does
address = library.address("twice")
print(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(21), compile_cache.compiled_count())
"""


@pytest.mark.slow
def test_another_process_loads_what_the_first_has_compiled():
    outputs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    ]
    assert outputs == ["emitted\n42 1\n", "42 0\n"]


def test_two_threads_that_ask_at_once_get_one_library():
    emitted, libraries = [], []
    together = threading.Barrier(2)

    def emit() -> str:
        emitted.append(1)
        time.sleep(0.05)
        return TWICE

    def ask() -> None:
        together.wait()
        libraries.append(compile_cache.compile(emit, name="twice", key="threads"))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(emitted) == 1 and libraries[0] is libraries[1]
    assert call(libraries[0], 1) == 2


def test_two_processes_that_ask_at_once_both_run(cache):
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert all("42" in output for output in outputs)
    assert len(list(cache.iterdir())) == 1


def _compile_in_child(result) -> None:
    result.put(call(compile_cache.compile(TWICE, name="twice", key="child"), 8))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_compiles_can_compile():
    inside, leave = threading.Event(), threading.Event()

    def emit() -> str:
        inside.set()
        leave.wait(10)
        return TWICE

    compiling = threading.Thread(target=compile_cache.compile, args=(emit,), kwargs={"name": "slow", "key": "slow"})
    compiling.start()
    assert inside.wait(10)
    threading.Timer(0.1, leave.set).start()
    context = multiprocessing.get_context("fork")
    result = context.Queue()
    child = context.Process(target=_compile_in_child, args=(result,))
    child.start()
    assert result.get(timeout=30) == 16
    child.join(30)
    compiling.join()


def test_the_version_is_the_packages():
    description = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    if "version" in description:
        assert _version.__version__ == description["version"]
