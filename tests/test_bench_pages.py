"""Tables of the documents beside the grid: costs, options, checkpointing, ragged rows; what they check and write."""

import checkpointing
import costs
import full
import options
import own_process
import pytest
import ragged
import report
import torch
from measure import Unequal, pair
from own_cells import layer_of, products, renamed, traffic, variant
from shapes import Shape


def test_pages_are_filled_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- grid: begin -->\nold\n<!-- grid: end -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        report.fill(page, "grid", "| new |\n")
    expected = "before\n<!-- grid: begin -->\n\n| new |\n\n<!-- grid: end -->\nafter\n"
    assert page.read_text(encoding="utf-8") == expected
    with pytest.raises(SystemExit, match="page.md must hold the lines <!-- costs: begin -->"):
        report.fill(page, "costs", "")


def test_the_page_in_docs_has_both_markers(tmp_path):
    copy = tmp_path / "performance.md"
    source = full.RESULTS.parent.parent / "docs" / "performance.md"
    copy.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    report.fill(copy, "grid", "here")
    report.fill(copy, "costs", "there")
    readme = tmp_path / "README.md"
    source = full.RESULTS.parent.parent / "README.md"
    readme.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    report.fill(readme, "speed", "measured")
    assert "begin -->\n\nmeasured\n" in readme.read_text(encoding="utf-8")


def test_options_are_checked_before_they_are_timed(monkeypatch):
    assert options.ratios("RNN", 3, 2, 5, 0.0) == (0.0, {})
    right = options.step
    monkeypatch.setattr(
        options,
        "step",
        lambda layer, x, above: {k: v + (v.dtype == torch.float32) for k, v in right(layer, x, above).items()},
    )
    with pytest.raises(Unequal, match="RNN plain: output differs from the reference"):
        options.ratios("RNN", 3, 2, 5, 0.0)


@pytest.mark.parametrize(
    ("name", "module"), [("options", options), ("checkpointing", checkpointing), ("ragged", ragged)]
)
def test_tables_of_layers_are_written_into_their_own_pages(name, module, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(options, "ratios", lambda *_: (0.002, dict.fromkeys(list(options.options_of("LSTM"))[1:], 1.4)))
    monkeypatch.setattr(checkpointing, "memory", lambda *_: (3, 4))
    monkeypatch.setattr(checkpointing, "seconds", lambda *_: ([3.0], [2.0]))
    monkeypatch.setattr(ragged, "measure", lambda *_: ragged.Found(3.0, 4.0, 6.0, 0.5, 1))
    page = tmp_path / f"{name}.md"
    source = (full.RESULTS.parent.parent / "docs" / page.name).read_text(encoding="utf-8")
    page.write_text(source, encoding="utf-8")
    assert module.main(["--write", str(page)]) == 0
    expected = {
        "options": "| GRU 20·32, 256: 2.0 ms | 1.40 | **1.40** |",
        "checkpointing": "| LSTM: 10,000, 16, 256 | 0.0 MB | 0.0 MB | 0.750 | 2000 ms | 3000 ms | 1.50 |",
        "ragged": "| GRU train H256 uniform | 0.500 | 3000.00 | 4000.00 | 6000.00 | 1.50 | 2.0 |",
    }[name]
    text = page.read_text(encoding="utf-8")
    assert expected in capsys.readouterr().out and text.count(expected) == 1
    assert text.split("-->")[0] == source.split("-->")[0] and text.endswith(source.split("end -->")[1])
    part = {"options": ["--kinds", "GRU"], "ragged": ["--only", "GRU"]}.get(name)
    if part:
        page.write_text(source, encoding="utf-8")
        assert module.main(["--write", str(page), *part]) == 0
        assert page.read_text(encoding="utf-8") == source


def test_what_is_kept_is_counted():
    shape = Shape("GRU", True, 50, 8, 16, 16)
    ours, theirs = pair(shape)
    assert costs.kept(ours, shape) == pytest.approx(4, abs=0.2)  # three gates, and the new gate's product
    assert costs.kept(theirs, shape) > 5


def test_lines_say_whether_the_target_is_met():
    assert costs.Line("a", 0.15, 0.1234, "s").row == ("a", "≤ 0.15", "0.123 s", "yes", "")
    assert costs.Line("a", 20, 21.44, "µs", "b").row == ("a", "≤ 20", "21.4 µs", "no", "b")
    assert costs.Line("a", None, 1234.5).row == ("a", "", "1234", "", "")


def test_costs_are_written_with_their_machine(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "RESULTS", tmp_path)
    monkeypatch.setattr(costs, "MEASUREMENTS", {"one": lambda seconds: iter([costs.Line("a", 1, 2.0, "s")])})
    assert costs.main([]) == 0
    text = (tmp_path / "costs.md").read_text(encoding="utf-8")
    assert "| a | ≤ 1 | 2 s | no |  |" in text
    assert "torch " in text
    assert "a · ≤ 1 · 2 s · no" in capsys.readouterr().out


def test_checkpointing_is_counted_and_timed(monkeypatch):
    size = checkpointing.shape("LSTM", 1000, 16, 4)
    line = 16 * 4 * 4
    assert checkpointing.memory("LSTM", size) == (31 * 2 * line + 2 * line + 32 * 7 * line, 6000 * line)
    spent = checkpointing.seconds("GRU", 0.0, checkpointing.shape("GRU", 40, 2, 4))
    assert len(spent[0]) == len(spent[1]) == 3
    monkeypatch.setattr(checkpointing, "job", lambda layer, size: lambda: {"output": torch.rand(3)})
    with pytest.raises(
        ValueError, match="checkpointing: output of GRU train T40 B2 C4 H4 differs from a layer without"
    ):
        checkpointing.seconds("GRU", 0.0, checkpointing.shape("GRU", 40, 2, 4))


def test_cells_beside_cells():
    assert renamed(2, 8, True, 0.0) > 0
    ratio, needed = variant("gru_reset_before", "gru", False, 0.0)
    assert ratio > 0
    assert needed == 1
    assert products(layer_of("lstm_projected", 8)) == 4 * 8 * (8 + 4) + 4 * 8
    assert all(value > 0 for value in traffic("indrnn", 4, False, 0.0))


def test_a_process_of_its_own_tells_its_error():
    assert own_process._run("print(0.25)") == 0.25
    with pytest.raises(RuntimeError, match="(?s)a measured process failed.*ZeroDivisionError"):
        own_process._run("1 / 0")
