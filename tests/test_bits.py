"""The proof that a change changes no bit: it sees a changed bit, and what it compares is all that is public."""

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import bit_cases
import bits
import pytest
import torch
from bit_cases import cases, result
from bit_cases.digest import digest
from bit_cases.made import Call, called, layer_of

import ostinato
from ostinato import lens
from ostinato.layers.options import Options

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PROGRAM = {
    "Forecaster", "LanguageModel", "MusicModel", "SequenceClassifier", "SequenceRegressor", "SequenceTagger",
    "TextFiller", "Transcriber", "Translator", "load", "train",
}  # fmt: skip
"""Whose bits tests/program holds: one hash in every run, and after a kill."""
NOT_COMPUTED = {
    "__version__",
    "warmup",
    "prepacked",
    "cell",
    "cells",
    "export",
    "lens",
    "State",
    "Stream",
    "stream",
    *PROGRAM,
}
"""Public names that give no numbers of their own, or are named in another way."""


def one(sha256="a", error="", **parts):
    return {"sha256": sha256, "parts": parts, "error": error}


def git(place, *words):
    author = ("-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(place), *author, *words], check=True, capture_output=True)


def test_a_changed_bit_of_a_weight_changes_the_hash():
    def case(change):
        layer = layer_of("elman").eval()
        weight = layer.weight_hh_l0.data
        if change:
            weight[3, 4] = torch.nextafter(weight[3, 4], torch.tensor(9.0))
        return called(layer, Call(grad=False))

    plain, again, changed = (result(lambda change=change: case(change)) for change in (False, False, True))
    assert set(plain["parts"]) == {"output", "final"} and not plain["error"]
    assert plain == again
    assert all(plain["parts"][part] != changed["parts"][part] for part in plain["parts"])
    assert plain["sha256"] != changed["sha256"]


def test_the_hash_is_of_values_with_their_types_and_shapes():
    t = torch.arange(6.0).view(2, 3)
    different = [t, t.double(), t.view(3, 2), t.t(), -t, t.numpy(), t.tolist(), list(t), (0.0,), (-0.0,), (0,)]
    different += [("0",), {}, None, "", b"", {"a": 1}, {"b": 1}, ["a", 1], True, 1, 1.0, float("nan"), float("inf")]
    assert len({digest(value) for value in different}) == len(different)
    assert digest(t) == digest(t.t().contiguous().t()) == digest(torch.cat([t, t])[:2])
    assert digest(torch.tensor([0.1], dtype=torch.bfloat16)) != digest(torch.tensor([0.2], dtype=torch.bfloat16))


def test_a_record_is_its_values_whatever_its_fields_are_called():
    @dataclass
    class Then:
        norm: float
        lags: tuple

    @dataclass
    class Now:
        size: float
        steps: tuple

    assert digest(Then(1.5, (1, 2))) == digest(Now(1.5, (1, 2))) != digest(Now(1.5, (1, 3)))


def test_what_is_no_value_is_refused_and_not_taken_for_the_error_of_a_case():
    expected = r"bits: a part must be of tensors, numbers, texts or records, got object\. Give what it holds\."
    with pytest.raises(TypeError, match=expected):
        result(lambda: {"part": object()})


def test_an_error_is_the_result_of_the_case_that_raises_it():
    def case(text):
        torch.set_num_threads(2)
        raise ValueError(text)

    before = torch.get_num_threads()
    first, again, other = (result(lambda text=text: case(text)) for text in ("no", "no", "none"))
    assert first["error"] == "ValueError: no" and first["parts"] == {}
    assert first == again and first["sha256"] != other["sha256"]
    assert torch.get_num_threads() == before


def test_a_comparison_names_the_parts_that_differ():
    older = {"a": one("1", output="x", gradient="y"), "b": one("2"), "gone": one(), "raises": one("3", "ValueError: v")}
    newer = {"a": one("9", output="x", gradient="z", more="n"), "b": one("2"), "raises": one("3", "ValueError: v")}
    found = bits.compare(older, {**newer, "new": one()})
    assert found.failed
    assert str(found).splitlines() == [
        "differs  a: gradient, more",
        "missing  gone",
        "new      new",
        "2 the same (1 of them an error), 1 differ, 1 missing, 1 new",
    ]
    assert not bits.compare(newer, {**newer, "new": one()}).failed


def test_an_error_that_comes_or_goes_is_a_difference_but_for_a_name_that_was_not_there_yet():
    now = {"a": one("1"), "b": one("2", "ValueError: other"), "c": one("3"), "d": one("4", "AttributeError: no x")}
    then = {
        "a": one("5", "AttributeError: module has no attribute 'x'"),
        "b": one("6", "ValueError: v"),
        "c": one("7", "ValueError: v"),
        "d": one("8"),
    }
    found = bits.compare(then, now)
    assert found.new == ["a"]
    assert found.differs == [
        "b: ValueError: v, now ValueError: other",
        "c: ValueError: v, now a result",
        "d: a result, now AttributeError: no x",
    ]
    assert bits.compare({"a": one("1", x="1", y="2")}, {"a": one("2", y="2", x="1")}).differs == [
        "a: the order of its parts"
    ]


@pytest.mark.parametrize(("now", "status"), [(one("1"), 0), (one("2", output="y"), 1)])
def test_the_exit_status_says_whether_anything_differs(now, status, tmp_path, monkeypatch, capsys):
    @contextmanager
    def checked_out(commit):
        assert commit == "HEAD~1"
        yield tmp_path

    sides = {tmp_path / "src": {"a": one("1", output="x")}, ROOT / "src": {"a": now}}
    monkeypatch.setattr(bits, "checked_out", checked_out)
    monkeypatch.setattr(bits, "run", lambda source, pattern, jobs: sides[source])
    assert bits.main(["--against", "HEAD~1", "--json", str(tmp_path / "results.json")]) == status
    assert capsys.readouterr().out.endswith(f"{1 - status} the same, {status} differ, 0 missing, 0 new\n")
    assert '"sha256"' in (tmp_path / "results.json").read_text(encoding="utf-8")
    assert bits.main([]) == 0
    assert capsys.readouterr().out == f"{now['sha256']}  a\n"


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_working_tree_is_compared_with_a_commit(tmp_path):
    """A repository of its own, so that neither uncommitted work nor the lack of one decides the result."""
    ignored = shutil.ignore_patterns("__pycache__", "results", "*.egg-info")
    for folder in ("src", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "as it is")
    with (tmp_path / "src" / "ostinato" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write("\n_told = sequence_loss\n\n\ndef sequence_loss(*given, **named):\n")
        file.write("    return _told(*given, **named) * (1 + 2**-20)\n")
    command = [sys.executable, str(tmp_path / "benchmarks" / "bits.py"), "--jobs", "1", "--against"]
    chosen = ["--only", "^(losses: squared|lens activations)"]
    done = subprocess.run([*command, "HEAD", *chosen], capture_output=True, text=True)
    assert done.stdout.endswith("1 the same, 1 differ, 0 missing, 0 new\n"), done.stderr
    differs = done.stdout.splitlines()[:-1]
    assert len(differs) == 1 and differs[0].startswith("differs  losses: squared: mean_over_tokens, ")
    assert done.returncode == 1
    trees = subprocess.run(["git", "-C", str(tmp_path), "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(trees.stdout.splitlines()) == 1
    unknown = subprocess.run([*command, "nowhere"], capture_output=True, text=True)
    assert unknown.returncode == 2
    assert "bits: --against must be a commit of this repository, got nowhere. git says: " in unknown.stderr


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_was_checked_out_is_removed_after_a_failure_too(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-qm", "empty", "--allow-empty")
    monkeypatch.setattr(bits, "ROOT", tmp_path)
    with pytest.raises(KeyboardInterrupt), bits.checked_out("HEAD") as tree:
        assert (tree / ".git").is_file()
        raise KeyboardInterrupt
    assert not tree.exists()
    assert not list((tmp_path / ".git" / "worktrees").glob("*"))


def test_the_package_of_another_place_is_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    with pytest.raises(SystemExit, match="2"):
        bits.run(tmp_path, "no such case", 1)
    assert f"bits: the package must be the one in {tmp_path}, got {ROOT}" in capfd.readouterr().err
    (tmp_path / "ostinato.py").write_text("raise RuntimeError('broken')\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="2"):
        bits.run(tmp_path, "no such case", 1)
    expected = f"bits: a process with the package in {tmp_path} must end with status 0, got [1]."
    assert expected in capfd.readouterr().err


def test_each_group_runs_in_one_share(tmp_path):
    pattern = "^(losses|lens activations|cell (gru|mgu): text)"
    parts = [tmp_path / "0", tmp_path / "1"]
    for k, file in enumerate(parts):
        bits.run_share(pattern, k, 2, file)
    names = [re.findall(r'\[\d+, "([^"]+)"', file.read_text(encoding="utf-8")) for file in parts]
    assert sorted(sum(names, [])) == sorted(name for name in cases() if re.search(pattern, name))
    assert all(names) and not {n.partition(":")[0] for n in names[0]} & {n.partition(":")[0] for n in names[1]}


def test_the_cases_name_everything_public_and_nothing_private():
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted(Path(bit_cases.__file__).parent.glob("*.py"))
    )
    functions = [name for name in lens.__all__ if name.islower() or name.isupper()]
    public = {*ostinato.__all__, *functions, *(f.name for f in fields(Options))} - NOT_COMPUTED
    assert {name for name in public if not re.search(rf"\b{name}\b", sources)} == set()
    assert re.findall(r"ostinato\.\w*\._|from ostinato\._|\._(?!metadata)[a-z]\w*\(", sources) == []
    known = cases()
    for name in ostinato.cells.catalogue():
        assert f"cell {name}: training" in known


def test_two_cases_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(bit_cases.files, "cases", lambda: iter([("losses: squared", dict)]))
    expected = "bits: a case must be listed once, got 'losses: squared' twice. Give one another name."
    with pytest.raises(ValueError, match=expected):
        cases()
