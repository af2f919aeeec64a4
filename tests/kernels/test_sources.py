"""The digest of a kernel's sources: of files, of a package in a zip, of one without sources, and of none at all."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import ostinato
from ostinato.kernels.system import compile_cache, sources

SOURCE = Path(ostinato.__file__).parent
SCRIPT = """
import sys; sys.path.insert(0, sys.argv[1])
import torch, ostinato
from ostinato.kernels.system import compile_cache
assert ostinato.__file__.startswith(sys.argv[1])
layer = ostinato.LSTM(3, 4)
with torch.no_grad():
    layer(torch.randn(5, 2, 3))
print(compile_cache._sources(), compile_cache.compiled_count())
"""


def zipped(path, changed=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(SOURCE.rglob("*.py")):
            name = file.relative_to(SOURCE.parent).as_posix()
            archive.writestr(
                name, file.read_text() + (changed if name.endswith("kernels/codegen/math_functions.py") else "")
            )
    return str(path)


@pytest.mark.slow
def test_two_builds_in_zips_share_no_kernel(tmp_path):
    found = []
    for path in (zipped(tmp_path / "a.zip"), zipped(tmp_path / "b.zip", "\n# changed\n"), str(tmp_path / "a.zip")):
        environment = {**os.environ, "OSTINATO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SCRIPT, path]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    (first, made), (second, made_too), again = found
    assert first != second and (made, made_too) == ("1", "1")
    assert again == [first, "0"]
    assert len({first, second, "None"}) == 3


def test_files_in_folders_count_by_their_paths(tmp_path):
    for part in ("kernels", "cells"):
        (tmp_path / part / "inner").mkdir(parents=True)
        (tmp_path / part / "a.py").write_text("1")

    def now():
        return sources.digest(tmp_path, "nowhere", ("kernels", "cells"))

    seen = [now()]
    (tmp_path / "kernels" / "inner" / "b.py").write_text("1")
    seen.append(now())
    (tmp_path / "kernels" / "inner" / "b.py").write_text("2")
    seen.append(now())
    (tmp_path / "kernels" / "inner" / "b.py").rename(tmp_path / "kernels" / "b.py")
    seen.append(now())
    (tmp_path / "kernels" / "b.py").rename(tmp_path / "cells" / "b.py")
    seen.append(now())
    assert None not in seen and len(set(seen)) == 5


class Without:
    """A loader that has no sources, and `codes` for what it has code of."""

    def __init__(self, codes):
        self.codes = codes

    def get_source(self, name):
        return None

    def get_code(self, name):
        return self.codes.get(name)


def test_without_sources_the_code_counts_and_without_code_nothing_does(monkeypatch):
    codes = {name: compile("a = 1", name, "exec") for name in sources._modules("ostinato", ("kernels", "cells"))}
    assert {"ostinato.kernels.system.compile_cache", "ostinato.cells.catalogue.modern"} <= set(codes)
    monkeypatch.setattr(sources, "_files", lambda folder, parts: {})
    find = sources.importlib.util.find_spec

    def without(name):
        spec = find(name)
        spec.loader = Without(codes)
        return spec

    def now():
        return sources.digest(SOURCE, "ostinato", ("kernels", "cells"))

    whole = now()
    monkeypatch.setattr(sources.importlib.util, "find_spec", without)
    compiled = now()
    codes["ostinato.kernels.emit.pointwise"] = compile("a = 2", "ostinato.kernels.emit.pointwise", "exec")
    changed = now()
    assert None not in (whole, compiled, changed) and len({whole, compiled, changed}) == 3
    del codes["ostinato.kernels.emit.pointwise"]
    assert now() is None
    monkeypatch.setattr(sources.pkgutil, "iter_modules", lambda *_: iter(()))
    assert now() is None


def test_a_kernel_of_unknown_sources_is_neither_read_from_the_cache_nor_left_there(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path))
    monkeypatch.setattr(compile_cache, "_libraries", {})
    monkeypatch.setattr(compile_cache, "_sources", lambda: None)
    text = "define i64 @one() {\n  ret i64 1\n}\n"
    before = compile_cache.compiled_count()
    for _ in range(2):
        compile_cache.compile(text, name="one", key="one")
        compile_cache._libraries.clear()
    assert compile_cache.compiled_count() == before + 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loader", [None, object()])
def test_an_importer_that_knows_no_code(loader):
    assert sources._content(loader, "ostinato") is None
