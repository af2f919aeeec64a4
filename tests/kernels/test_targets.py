"""Other targets than the host's: AVX2 is forced and run, the code for aarch64 and AVX-512 is read."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ostinato import kernels
from ostinato.cells import catalogue
from ostinato.errors import InputError, NoKernelsError
from ostinato.kernels.emit.backward import Backward
from ostinato.kernels.emit.forward import Forward
from ostinato.kernels.planning.cell_program import program
from ostinato.kernels.system import compiler
from ostinato.kernels.system.target import host, target_by_name

TESTS = Path(__file__).parent.parent
CELLS = catalogue()
X86 = target_by_name("host").name != "aarch64"

CHECK = """
import sys
from dataclasses import replace

import torch
from kernels.calls import check, draw
from ostinato.cells import Cell, catalogue
from ostinato.cells.value import norm
from ostinato.kernels.system import compile_cache, memory_pool, target
from ostinato.kernels.system.target import host

memory_pool._POISON = True
names = sys.argv[2:]
if sys.argv[1] == "narrow":
    narrow = replace(host(), vector_bits=128)
    target._runnable = lambda name: narrow
print(host().name, host().lanes("float32"), host().lanes("float64"))

def layer_norm(W, U, b, p, x, h):
    return torch.tanh(p.g * norm(W.h @ x + U.h @ h) + b.h)

for cell in [*(catalogue()[n] for n in names), Cell(layer_norm)]:
    for dtype in (torch.float32, torch.float64):
        for H in (1, 7, 8, 17):
            check(draw(cell, T=4, B=5, C=9, H=H, P=9, dtype=dtype), context=(cell.name, H))
        check(draw(cell, B=6, C=3, H=13, P=5, sizes=[6, 4, 4, 1], reverse=True, dtype=dtype), context=cell.name)
        check(draw(cell, T=2, B=1, C=3, H=13, P=5, dtype=dtype), context=cell.name)
print(compile_cache.compiled_count(), "compiled and right")
"""


def check_elsewhere(cache: Path, *arguments: str, **variables: str) -> str:
    """What CHECK prints in a process of its own, with a cache of its own."""
    paths = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    environment = {**os.environ, "OSTINATO_CACHE": str(cache), "PYTHONPATH": paths, **variables}
    command = [sys.executable, "-c", CHECK, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="AVX2 belongs to x86-64, and this machine is none")
def test_avx2_forced(tmp_path: Path):
    names = ("lstm", "gru_reset_before", "slstm", "elman_prelu", "lstm_projected")
    printed = check_elsewhere(tmp_path, "as it is", *names, OSTINATO_TARGET="avx2")
    assert printed == "avx2 8 4\n24 compiled and right\n"
    assert len(list(tmp_path.glob("*.o"))) == 24


@pytest.mark.slow
def test_vectors_as_narrow_as_those_of_aarch64(tmp_path: Path):
    """Four and two lanes, run here: what depends on the number of lanes is right on aarch64 as well."""
    printed = check_elsewhere(tmp_path, "narrow", "lstm", "gru_reset_before")
    assert printed == f"{host().name} 4 2\n12 compiled and right\n"


def code(name: str, target: str, scalar: str = "float32") -> str:
    """The assembly of forward in training and of backward."""
    chosen, p = target_by_name(target), program(CELLS[name])
    made = (Forward(p, chosen, scalar, save=True, histories=False), Backward(p, chosen, scalar, d_histories=False))
    return "\n".join(compiler.emit_assembly(k.module(), chosen) for k in made)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_code_for_aarch64(name: str):
    for scalar, arrangement in (("float32", "4s"), ("float64", "2d")):
        text = code(name, "aarch64", scalar)
        assert len(re.findall(rf"\bfmla\s+v\d+\.{arrangement}", text)) > 50, "no vectors of fused multiply-adds"
        assert "fpcr" in text.lower(), "denormals are flushed inside kernels"
        assert not re.search(r"%?[xyz]mm\d|\bvfm|%r[a-d]x", text), "instructions of x86"


@pytest.mark.parametrize("target, own, foreign", [("avx512", "zmm", None), ("avx2", "ymm", "zmm")])
def test_code_for_x86(target: str, own: str, foreign: str | None):
    text = code("lstm", target)
    assert len(re.findall(rf"\bvfn?m(add|sub)\d+ps\b.*{own}\d", text)) > 50
    assert foreign is None or foreign not in text
    assert "ldmxcsr" in text, "denormals are flushed inside kernels"


@pytest.mark.skipif(target_by_name("host").name != "avx512", reason="this machine has no AVX-512")
def test_code_for_this_machine_uses_whole_vectors():
    for name in ("lstm", "gru", "slstm"):
        text = kernels.assembly(CELLS[name], "host")
        whole, halves = (len(re.findall(rf"\bvfn?m(?:add|sub)\d+ps\b.*{r}mm\d", text)) for r in "zy")
        assert whole > 50 and halves == 0, "vectors are split in two"


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "slstm"])
def test_addresses_are_64_bits_wide(name: str):
    """A tensor may have more than 2³¹ numbers."""
    p, target = program(CELLS[name]), host()
    for kernel in (Forward(p, target, "float32", True, True), Backward(p, target, "float32", True)):
        text = str(kernel.module())
        indices = re.findall(r"= getelementptr .*, (i\d+) \S+$", text, re.M)
        assert len(indices) == text.count(" getelementptr ") > 100
        assert set(indices) == {"i64"}
        assert not re.search(r"\b(add|sub|mul|sdiv|srem) (nsw |nuw )*i32\b", text), "a 32-bit integer counts"


def test_assembly_of_named_targets():
    by_name = {t: kernels.assembly("lstm", t) for t in ("avx512", "avx2", "aarch64")}
    assert len(set(by_name.values())) == 3
    assert kernels.assembly("lstm", "avx2", "float64") != by_name["avx2"]
    with pytest.raises(InputError, match="one of host, avx512, avx2, sse, aarch64, got 'vax'"):
        kernels.assembly("lstm", "vax")
    with pytest.raises(NoKernelsError, match="fused multiply-add"):
        kernels.assembly("lstm", "sse")
    with pytest.raises(InputError, match="kernels.assembly: cell"):
        kernels.assembly("no such cell")


@pytest.mark.parametrize("target", ["avx512", "avx2", "aarch64"])
def test_accumulators_stay_in_registers(target: str):
    """Inside the loops of tiles nothing is spilled to the stack."""
    text = code("lstm", target)
    tiles = re.findall(r"^(tile_\d+x\d+):(.*?)^\S*func_end", text, re.S | re.M)
    assert len(tiles) > 4
    for name, body in tiles:
        inner = loop(body)
        assert any("fmla" in line or "vfm" in line for line in inner), (name, "the loop was not found")
        spilled = [line for line in inner if re.search(r"\((%rsp|%rbp)\)|\[sp[,\]]", line)]
        assert not spilled, (name, spilled)


def loop(body: str) -> list[str]:
    """The lines between a label and the last jump back to it."""
    lines = body.splitlines()
    labels = {m[1]: k for k, line in enumerate(lines) if (m := re.match(r"\s*(\.L\w+):", line))}
    for k in range(len(lines) - 1, -1, -1):
        jump = re.match(r"\s*(?:j\w+|b\.?\w*|cbn?z|tbn?z)\s+.*?(\.L\w+)\s*$", lines[k])
        if jump and labels.get(jump[1], k) < k:
            return lines[labels[jump[1]] : k]
    return []
