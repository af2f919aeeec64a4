"""Every command and every name that needs an extra, in a process in which the packages of the extra are absent."""

import json
import subprocess
import sys

import pytest

import ostinato
from ostinato.errors import MissingPackageError
from ostinato.program import packages

PROGRAM = ("conllu", "jiwer", "mido", "polars", "sacrebleu", "scipy", "sklearn", "soundfile", "tokenizers")
COMMANDS = {
    "check": ["r.csv"],
    "train": ["r.csv", "--target", "label"],
    "evaluate": ["model"],
    "predict": ["model"],
    "stream": ["model"],
    "generate": ["model"],
    "compare": ["r.csv"],
    "export": ["model", "--onnx"],
    "inspect": ["model"],
}
"""Command → the rest of its line."""
WITHOUT = """
import contextlib, io, json, sys
for name in {absent!r}:
    sys.modules[name] = None
import ostinato
from ostinato.apps.cli import main
found = dict()
for words in {lines!r}:
    sys.argv = ["ostinato", *words]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stopped:
            status = stopped.code or 0
    found[" ".join(words)] = status, out.getvalue(), err.getvalue()
for name in {names!r}:
    try:
        getattr(ostinato, name)
        found[name] = None
    except ostinato.errors.MissingPackageError as error:
        found[name] = str(error)
print(json.dumps(found))
"""
LAZY = [name for name in ostinato.__all__ if ostinato._LATER.get(name, "").startswith(".program")]


def listed(where):
    """What is said where every package of the program is absent."""
    return (
        f"{where}: the packages polars, scikit-learn and scipy must be installed, got none. "
        "Install what the program on files needs: pip install 'ostinato[program]'."
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Line or name → what a user without the extra gets."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "r.csv").write_text("text,label\na,b\n", encoding="utf-8")
    (folder / "model").mkdir()
    lines = [[command, *rest] for command, rest in COMMANDS.items()]
    lines += [["check", "r.csv", "--json"], ["cells", "gru"], ["train", "--help"], ["lab", "sentences", "--count", "3"]]
    lines += [["demo", "--text", "absent.txt"]]
    code = WITHOUT.format(absent=PROGRAM, lines=lines, names=[*LAZY, "TruncatedBPTT", "stream", "detect_anomaly"])
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_names_the_extra_that_it_needs(answers, command):
    assert answers[" ".join([command, *COMMANDS[command]])] == [2, "", listed(f"ostinato {command}") + "\n"]


def test_every_command_that_needs_the_extra_is_tested():
    from ostinato.apps.cli import app

    names = {command.callback.__name__ for command in app.registered_commands}
    assert names == {*COMMANDS, "cells", "demo"}


def test_with_json_the_refusal_is_also_a_document(answers):
    status, out, err = answers["check r.csv --json"]
    assert status == 2 and err == listed("ostinato check") + "\n"
    assert json.loads(out) == {"error": listed("ostinato check"), "status": 2}


@pytest.mark.parametrize("name", LAZY)
def test_a_name_of_the_package_names_the_extra_that_it_needs(answers, name):
    assert answers[name] == listed(f"ostinato.{name}")


def test_what_needs_no_extra_runs_without_it(answers):
    assert [answers[name] for name in ("TruncatedBPTT", "stream", "detect_anomaly")] == [None] * 3
    assert [answers[line][0] for line in ("cells gru", "train --help", "lab sentences --count 3")] == [0] * 3


def test_the_main_job_is_imported_without_the_extra(answers):
    status, _, err = answers["demo --text absent.txt"]
    assert status == 2 and err.startswith("ostinato demo: --text must be an existing file, got absent.txt")


def test_one_package_that_is_missing_is_named_alone(monkeypatch):
    find_spec = packages.find_spec
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "sklearn" else find_spec(name))
    with pytest.raises(MissingPackageError) as error:
        packages.require_program("ostinato check")
    assert str(error.value) == (
        "ostinato check: the package scikit-learn must be installed, got none. "
        "Install what the program on files needs: pip install 'ostinato[program]'."
    )
