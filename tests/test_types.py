"""A user's program is accepted by `mypy --strict`, a wrong one is refused, and both see the parameters."""

import inspect
from pathlib import Path

import pytest
from mypy import api

import ostinato
from source_files import ROOT
from typed.program import main

PROGRAM = Path(__file__).parent / "typed" / "program.py"
WRONG = """
import ostinato
layer = ostinato.LSTM(3, 5, zoneot=0.1)
cell: int = ostinato.cell(lambda W, U, b, x, h: h)
named = ostinato.cell(gate="f")
"""


def checked(path, monkeypatch):
    """What mypy says of a file under --strict, of what it imports nothing, as for an installed package."""
    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary"]
    out, err, status = api.run([*options, f"--cache-dir={ROOT / '.mypy_cache' / 'strict'}", str(path)])
    return status, [line.partition(": error: ")[2] for line in out.splitlines() if ": error: " in line], err


@pytest.mark.slow
def test_a_program_of_a_user_is_typed(monkeypatch):
    assert checked(PROGRAM, monkeypatch) == (0, [], "")


@pytest.mark.slow
def test_what_is_wrong_in_a_program_is_found(monkeypatch, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    status, errors, _ = checked(tmp_path / "wrong.py", monkeypatch)
    assert status == 1 and len(errors) == 3
    assert "zoneot" in errors[0] and "int" in errors[1] and "cell" in errors[2]


def test_the_program_runs(tmp_path):
    assert main(tmp_path) is not None
    assert "[1, 16]" in (tmp_path / "cell.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM", "Recurrent", "SequenceClassifier", "Forecaster", "Translator"])
def test_completion_shows_the_options_of_a_class(name):
    kinds = {p.kind for p in inspect.signature(getattr(ostinato, name)).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_completion_shows_every_public_name():
    assert set(ostinato.__all__) <= set(dir(ostinato))
