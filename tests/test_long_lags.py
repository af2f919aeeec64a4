"""The benchmark of long lags on tiny networks: what it trains, keeps, measures, draws and writes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import long_lags
import long_lags_page
import long_lags_runs
import long_memory
import pytest
import torch
from long_lags_runs import PLAN, Curves, Row, Run

from ostinato.apps.environment import environment
from ostinato.apps.lab import Result, workers
from ostinato.apps.lab.experiment import Reach
from ostinato.lens.pictures import png

PAGE = Path(long_lags.__file__).parent.parent / "docs" / "long-lags.md"
TINY = (
    Row("temporal-order", 10, "gru", "chrono", 400, learning_rate=2e-2, seeds=(0, 1)),
    Row("temporal-order", 10, "elman", "torch", 100, learning_rate=1e-9, batch=2, seeds=(0,)),
)


def run(row, seed=0, *, bridged=True, updates=300, error=0.003, curve=((100, 0.6), (300, 0.003))):
    result = Result(bridged, error, updates, 12.3, 32, 5000, Reach(9, 9, 0.5, 0.1))
    return Run(row.cases[seed], result, curve, environment())


def sequence(cases, folder, should_stop, count):
    """The networks one after the other in this process, as fast as a test should be."""
    return workers.in_sequence(cases, folder, should_stop)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(long_lags, "in_parallel", sequence)
    for module in (long_lags, long_lags_page):
        monkeypatch.setattr(module, "PLAN", TINY)
    monkeypatch.setattr(long_lags_page, "LAG", 10)
    memory = long_memory.Memory("gru", 10, 4, (4_000_000, 1_000_000), (2.0, 3.0))
    monkeypatch.setattr(long_memory, "measure", lambda: long_memory.MemoryTable((memory,), "a machine."))


def test_what_is_recorded_bridges_three_tasks_at_a_thousand_steps_one_at_ten_thousand_and_no_plain_network_does():
    runs = long_lags_runs.recorded(long_lags.RESULTS / long_lags.RUNS)
    there = {run.case: run.result for run in runs}
    bridged = {}
    for row in PLAN:
        results = [there[case] for case in row.cases]
        if row.init == "chrono" and all(result.bridged for result in results):
            bridged.setdefault((row.task, row.lag), []).append(max(result.updates for result in results))
            assert len(row.seeds) == 3 or row.lag != 1_000
    expected = {("temporal-order", 1_000), ("distractors", 1_000), ("adding", 1_000), ("temporal-order", 10_000)}
    assert expected <= bridged.keys()
    for (task, lag), updates in bridged.items():
        if lag >= 1_000:
            plain = [row for row in PLAN if (row.task, row.lag, row.cell) == (task, lag, "elman")]
            assert {row.init for row in plain} == {"torch", "orthogonal"}
            assert min(row.updates for row in plain) >= min(updates)
            assert not any(there[case].bridged for row in plain for case in row.cases)


def test_one_command_trains_goes_on_and_writes_page_picture_and_records(tiny, tmp_path, capsys):
    page = tmp_path / "docs" / "long-lags.md"
    (page.parent / "img").mkdir(parents=True)
    shutil.copy(PAGE, page)
    folder, results = tmp_path / "runs", tmp_path
    words = ["--out", str(folder), "--results", str(results), "--workers", "1"]
    assert long_lags.main([*words, "--minutes", "1e-9"]) == 1
    assert "0 of 3 networks are finished." in capsys.readouterr().out
    assert long_lags.main([*words, "--write", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "temporal-order at lag 10, gru chrono, seed 1, learning rate 0.02: bridged" in printed
    assert len((results / long_lags.RUNS).read_text(encoding="utf-8").splitlines()) == 3
    text = page.read_text(encoding="utf-8")
    assert "All 3 networks took " in text
    assert "| temporal-order, 10 | GRU | chrono | 0.02 | 400 × 32 | 2 of 2 |" in text
    assert "| temporal-order, 10 | RNN, tanh | torch | 1e-09 | 100 × 2 | 0 of 1 | error 0.7" in text
    assert "| GRU, 4 units, batch 32 | 10 | 4 MB | 1 MB | 0.25 | 2.00 s | 3.00 s | 1.50 |" in text
    picture = page.parent / "img" / long_lags.PICTURE
    drawn = picture.read_bytes()
    assert long_lags.main([*words, "--recorded", "--write", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text and picture.read_bytes() == drawn
    assert long_lags.main(words) == 0
    assert capsys.readouterr().out.startswith("3 of 3 networks are finished.")


def test_the_page_shows_what_is_recorded(tmp_path):
    page = tmp_path / "long-lags.md"
    (tmp_path / "img").mkdir()
    shutil.copy(PAGE, page)
    runs = long_lags_runs.recorded(long_lags.RESULTS / long_lags.RUNS)
    costs = long_lags.recorded_costs(long_lags.RESULTS / long_lags.COSTS)
    assert {run.case for run in runs} == {case for row in PLAN for case in row.cases}
    long_lags.write(page, runs, costs)
    assert page.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


def test_curves_lose_the_half_line_of_a_crash_and_keep_one_point_for_each_measurement(tmp_path):
    curves, (first, second) = Curves(tmp_path), TINY[0].cases
    for updates, error in ((100, 0.7), (200, 0.5), (200, 0.5), (300, float("nan"))):
        curves.add(first, updates, error)
    curves.path.write_text(curves.path.read_text(encoding="utf-8") + '{"case": {"ta', encoding="utf-8")
    again = Curves(tmp_path)
    again.add(second, 100, 0.6)
    assert again.read() == {first: ((100, 0.7), (200, 0.5)), second: ((100, 0.6),)}


def test_the_minutes_of_all_calls_are_added(tmp_path):
    for minutes in (1.5, 0.25):
        long_lags_runs.spend(tmp_path, minutes)
    assert long_lags_runs.spent(tmp_path) == 1.75


def test_a_run_is_read_as_it_was_written(tmp_path):
    whole = run(TINY[0])
    (tmp_path / "runs.jsonl").write_text(whole.line + "\n", encoding="utf-8")
    assert long_lags_runs.recorded(tmp_path / "runs.jsonl") == [whole]
    assert whole.sequences == 300 * 32


def test_a_row_of_the_table_says_what_each_seed_came_to():
    row = replace(TINY[0], lag=1_000, seeds=(0, 1, 2))
    runs = [run(row, 2, bridged=False, error=0.712), run(row, 1, updates=500), run(row, 0)]
    assert long_lags_page.outcomes(runs, row)[5:] == ["2 of 3", "300, 500; error 0.712", "12,800"]
    failed = [run(row, 0, bridged=False, error=None)]
    assert long_lags_page.outcomes(failed, row)[5:] == ["0 of 1", "error diverged", "–"]


def test_published_figures_stand_beside_the_median_of_the_seeds_of_the_same_task_and_lag(monkeypatch):
    row = Row("adding", 100, "gru", "chrono", 400)
    monkeypatch.setattr(long_lags_page, "PLAN", (row,))
    (published,) = [p for p in long_lags_page.PUBLISHED if p.here == ("adding", 100)]
    runs = [run(row, seed, updates=updates) for seed, updates in enumerate((100, 300, 400))]
    shown = ["adding", "100", "LSTM", "74,000", "table 7", "GRU 9,600"]
    assert long_lags_page.compared(runs, published) == shown
    assert long_lags_page.compared([], published)[-1] == "–"


def test_a_curve_is_the_median_of_the_seeds_and_an_ended_run_keeps_its_last_error(monkeypatch):
    row = Row("temporal-order", 1_000, "gru", "chrono", 400)
    curves = [((100, 0.75), (200, 0.0)), ((100, 0.6), (200, 0.3), (300, 0.15)), ((100, 0.75), (300, 0.75))]
    runs = [run(row, seed, curve=curve) for seed, curve in enumerate(curves)]
    updates, shares = long_lags_page.curve(runs)
    assert updates == [100, 200, 300]
    assert shares == pytest.approx([1.0, 0.4, 0.2])
    monkeypatch.setattr(long_lags_page, "PLAN", (row,))
    assert png(long_lags_page.picture(runs))[:4] == b"\x89PNG"


def test_the_peak_of_a_call_is_what_it_allocates_and_frees():
    if not (long_memory.PROC / "clear_refs").exists():
        pytest.skip("the peak is read from /proc")
    held = long_memory.peak(lambda: torch.ones(25_000_000))
    assert 95e6 < held < 130e6
    assert long_memory.peak(lambda: None) < 20e6


def test_a_training_step_is_measured_in_both_ways():
    if not (long_memory.PROC / "clear_refs").exists():
        pytest.skip("the peak is read from /proc")
    units, held, seconds = long_memory.measure_here("gru", 200, "sqrt", 1)
    assert units == 38 and held >= 0 and min(seconds) > 0
    assert long_memory.measure_here("gru", 50, None, 0)[2] == (0.0, 0.0)


def test_memory_is_measured_in_processes_whose_errors_are_told(monkeypatch, capsys):
    monkeypatch.setattr(long_memory, "CELLS", ("gru",))
    monkeypatch.setattr(long_memory, "STEPS", (10,))
    found = {None: (4, 3_000_000, (1.0, 2.0)), "sqrt": (4, 1_500_000, (0.0, 0.0))}
    monkeypatch.setattr(long_memory, "_process", lambda cell, steps, checkpoint, turns: found[checkpoint])
    table = long_memory.table(long_memory.measure())
    assert "| GRU, 4 units, batch 32 | 10 | 3 MB | 2 MB | 0.50 | 1.00 s | 2.00 s | 2.00 |" in table and "torch" in table
    assert "GRU, 4 units" in capsys.readouterr().out
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="(?s)long_memory: a measured process failed. .*no-cell"):
        long_memory._process("no-cell", 10, None, 0)


def test_other_systems_and_files_without_the_line_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(long_memory, "PROC", tmp_path)
    with pytest.raises(SystemExit, match="read from /proc, which this system does not have"):
        long_memory.measure()
    (tmp_path / "status").write_text("VmRSS:\t 2 kB\n", encoding="ascii")
    assert long_memory._status("VmRSS") == 2048
    with pytest.raises(SystemExit, match="has no line VmHWM"):
        long_memory._status("VmHWM")


def test_one_network_is_measured_by_the_script_itself(monkeypatch, capsys):
    monkeypatch.setattr(long_memory, "measure_here", lambda *given: given)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert long_memory.main([json.dumps(["gru", 10, None, 0])]) == 0
    assert json.loads(capsys.readouterr().out) == ["gru", 10, None, 0]
