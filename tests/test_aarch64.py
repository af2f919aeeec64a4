"""The library under emulation: what the command installs, compares and records. The emulated run is `make aarch64`."""

import json
from pathlib import Path

import aarch64
import aarch64_python
import pytest
import torch
from aarch64_cases import cases
from aarch64_models import numbers, tokens

ROOT = Path(__file__).parent.parent


def case(parts, errors=(1e-7, None)):
    return {"parts": parts, "errors": list(errors), "bounds": [1e-5, 1e-4]}


def test_numbers_are_those_of_splitmix64():
    first = 0xE220A8397B1DCDAF  # of the state 0, as its authors print it
    assert numbers(2, seed=0)[1].item() == ((first >> 43) - 2**20) / 2**20
    drawn = numbers(40, 50, seed=3)
    assert drawn.dtype == torch.float64 and -1 <= drawn.min() < -0.99 and 0.99 < drawn.max() < 1
    assert torch.equal(drawn.float().double(), drawn)
    assert not torch.equal(drawn, numbers(40, 50, seed=4))
    assert (tokens(500).min(), tokens(500).max()) == (0, 30)


def test_a_case_is_within_its_bounds_and_the_same_twice():
    found, again = (cases()["RNN tanh, float32"]() for _ in range(2))
    assert found.parts == again.parts
    assert {"odd: output", "whole: gradient weight_hh_l0", "lengths and resets: gradient x", "step 2"} < set(
        found.parts
    )
    assert all(0 < error < bound for error, bound in zip(found.errors, found.bounds, strict=True))


def test_what_differs_is_named():
    here = {"LSTM": case({"output": "a", "x": "b", "c": "d"}), "GRU": case({"output": "a"})}
    there = {"LSTM": case({"output": "a", "x": "c", "c": "e"}), "GRU": case({"output": "a"}, (2e-5, None))}
    lstm, gru = aarch64.compare(here, there)
    assert lstm.differs == ["x", "c"] and not lstm.good
    assert lstm.line == ["LSTM", "3", "1", "1.0e-07 of 1e-05", "–"]
    assert not gru.differs and not gru.good
    assert all(row.good for row in aarch64.compare(here, here))


def test_sides_that_computed_other_cases_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        aarch64.compare({"LSTM": case({})}, {"GRU": case({})})
    assert ended.value.code == 2
    assert "both sides must compute LSTM; aarch64 computed GRU" in capsys.readouterr().err


def test_a_missing_tool_is_named_with_its_package(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(aarch64_python, "TOOLS", {"no-such-emulator": "some-package"})
    with pytest.raises(SystemExit) as ended:
        aarch64_python.set_up(tmp_path)
    assert ended.value.code == 2
    assert "no-such-emulator must be installed. Debian has it in its package some-package." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_was_cut_off_is_installed_anew_and_what_is_whole_is_kept(tmp_path, monkeypatch):
    made = []

    def make(begun):
        assert not begun.exists()
        begun.mkdir()
        made.append(begun.name)

    monkeypatch.setattr(aarch64_python, "TOOLS", {})
    monkeypatch.setattr(aarch64_python, "_root", make)
    monkeypatch.setattr(aarch64_python, "_packages", make)
    (tmp_path / "root").mkdir()
    (tmp_path / "packages.part" / "torch").mkdir(parents=True)
    aarch64_python.set_up(tmp_path)
    assert made == ["packages.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packages", "root"]


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("OSTINATO_EMULATED", str(tmp_path / "here"))
    assert aarch64_python.folder() == tmp_path / "here"
    monkeypatch.delenv("OSTINATO_EMULATED")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert aarch64_python.folder() == tmp_path / "ostinato" / "emulated"


def test_the_record_is_whole_equal_and_in_the_page():
    record = json.loads(aarch64.RECORD.read_text(encoding="utf-8"))
    rows = [aarch64.Row(**row) for row in record["rows"]]
    assert [row.name for row in rows] == list(cases())
    assert [row.name for row in rows if not row.good] == []
    assert record["there"]["machine"] == "aarch64" and record["there"]["lanes"] == 4
    page = (ROOT / "docs" / "design" / "bit-equal.md").read_text(encoding="utf-8")
    assert aarch64.told(record) in page
