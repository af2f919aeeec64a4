"""The grid: what it counts, what a second run skips, what its tables say, and what it refuses."""

import itertools
import json
import math
from dataclasses import replace

import full
import measure
import peers
import picture
import pytest
import report
import torch
from measure import Timing, Unequal, job, pair
from peak import copied, module, peak
from record import Point, Record, Run, code_digest
from shapes import DEEPER, GRID, SHAPES, Shape, important_first

from ostinato.kernels.system import compiler
from ostinato.kernels.system.target import host, target_by_name
from test_bench import torch_twice

TINY = (Shape("GRU", False, 4, 2, 3, 5), Shape("GRU", True, 4, 2, 3, 5, from_state=True))
RUN = Run(1, "2020-01-01", {"cpu": "one"}, {"float32": 1e9, "float64": 5e8}, "abc")


def point(shape, ours, torchs=1.0, **more):
    return Point(shape, RUN, Timing(ours, torchs, ours, torchs, 9), **more)


def test_the_grid_is_whole_and_every_name_its_own():
    every = full.selected("", "")
    assert set(every) == {*SHAPES, *DEEPER, *GRID}
    assert len(GRID) == 4 * 4 * 5 * 4 * 2 == 640
    assert len({shape.name for shape in every}) == len(every)
    assert {(s.layers, s.directions) for s in DEEPER} == {(2, 1), (2, 2), (1, 1)}
    assert max(s.steps for s in DEEPER) == 1000


def test_multiply_adds_of_the_products_are_counted():
    one = Shape("LSTM", False, 7, 3, 5, 11)
    assert one.flops == 2 * 7 * 3 * (5 + 11) * 4 * 11
    assert replace(one, training=True).flops == 3 * one.flops
    deep = replace(one, kind="GRU", layers=2, directions=2)
    assert deep.flops == 2 * 7 * 3 * 2 * (3 * 11 * (5 + 11) + 3 * 11 * (22 + 11))
    layer = pair(deep)[1]
    matrices = sum(w.numel() for name, w in layer.named_parameters() if name.startswith("weight"))
    assert deep.flops == 2 * 7 * 3 * matrices


@pytest.mark.parametrize(
    ("size", "regime"),
    [
        ((20, 4, 256), "small"),
        ((1, 4, 256), ""),
        ((20, 4, 512), ""),
        ((1, 32, 128), "middle"),
        ((40, 32, 256), "large"),
        ((20, 32, 256), ""),
    ],
)
def test_regimes(size, regime):
    assert Shape("GRU", True, size[0], size[1], 8, size[2]).regime == regime


def test_a_part_of_the_order_holds_every_regime_kind_and_mode():
    every = full.selected("", "")
    order = important_first(every)
    assert len(order) == len(every)
    assert set(order) == set(every)
    first = [s for s in order[:40] if s in set(GRID)]
    assert {(s.regime, s.kind, s.training) for s in first} == {(s.regime, s.kind, s.training) for s in GRID if s.regime}
    assert order == important_first(every)


def test_gradients_of_initial_states_are_checked():
    found = job(torch_twice(TINY[1])[0], TINY[1])()
    assert found["gradient start 0"].shape == (1, 2, 5)
    assert found["gradient start 0"].abs().max() > 0


def test_deeper_layers_are_equal():
    shape = Shape("LSTM", True, 3, 2, 4, 5, 2, 2, True)
    ours, theirs = (job(layer, shape)() for layer in pair(shape))
    assert ours["output"].shape == (3, 2, 10)
    assert measure.check(shape, ours, theirs) <= 1


@pytest.mark.parametrize(("target", "chains"), [("avx512", 24), ("avx2", 12)])
def test_no_chain_of_the_peak_is_taken_for_another(target, chains):
    chosen = target_by_name(target)
    text = compiler.emit_assembly(module("float32", chosen.lanes("float32"), chains), chosen)
    assert text.count("vfmadd") == chains


@pytest.fixture
def one_second_apart(monkeypatch):
    """A clock in place of time.perf_counter: each reading is one second after the last."""
    monkeypatch.setattr("time.perf_counter", map(float, itertools.count()).__next__)


@pytest.mark.parametrize(("scalar", "bits"), [("float32", 32), ("float64", 64)])
def test_peak_is_multiply_adds_of_the_threads_that_came_over_time(one_second_apart, scalar, bits):
    target = host()
    lanes = target.vector_bits // bits
    of_a_thread = 2 * lanes * (target.registers * 3 // 4) * 2000
    assert peak(scalar, 0.0, rounds=2000) in [n * of_a_thread for n in range(1, torch.get_num_threads() + 1)]


def test_a_copy_counts_what_it_reads_and_writes(one_second_apart):
    assert copied(megabytes=3, repeats=2) == 2 * 3 * 2**20


def test_turns_are_taken_and_bounded():
    calls = []
    spent = measure.in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 60.0, 2, most=3)
    assert calls == ["a", "b"] + ["a", "b"] * 3
    assert [len(times) for times in spent] == [3, 3]


@pytest.fixture
def quick(monkeypatch):
    """Two shapes, made-up times, no peers; returns what was timed."""
    timed = []

    def pretend(shape, seconds, least, most):
        timed.append(shape.name)
        return Timing(0.002, 0.006, 0.001, 0.005, 9)

    monkeypatch.setattr(full, "time_pair", pretend)
    monkeypatch.setattr(full, "SHAPES", ())
    monkeypatch.setattr(full, "DEEPER", ())
    monkeypatch.setattr(full, "GRID", TINY)
    monkeypatch.setattr(full, "peak", lambda scalar, seconds: 1e9)
    monkeypatch.setattr(full, "_peak", lambda: {"float32": 1e9, "float64": 5e8})
    monkeypatch.setattr(full, "draw", lambda points, folder: None)
    monkeypatch.setattr(full, "code_digest", lambda: "first")
    return timed


def test_a_second_run_skips_what_is_finished(quick, tmp_path, monkeypatch):
    arguments = ["--results", str(tmp_path)]
    assert full.main(arguments) == full.main(arguments) == 0
    assert sorted(quick) == sorted(shape.name for shape in TINY)
    lines = [json.loads(line) for line in (tmp_path / "grid.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [("environment" in line) for line in lines] == [True, False, False]
    assert f"| {TINY[0].name} | 2.000 | 6.000 | 3.00 |" in (tmp_path / "grid.md").read_text(encoding="utf-8")
    monkeypatch.setattr(full, "code_digest", lambda: "changed")
    assert full.main([*arguments, "--older"]) == 0
    assert len(quick) == 2
    assert full.main(arguments) == 0
    assert len(quick) == 4


def test_no_time_left_times_nothing(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(full.time, "monotonic", iter([0.0, 1e9]).__next__)
    assert full.main(["--results", str(tmp_path)]) == 0
    assert quick == []
    assert full.main(["--results", str(tmp_path), "--minutes", "0"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_interrupting_keeps_what_is_finished(quick, tmp_path, monkeypatch):
    pretend = full.time_pair

    def interrupted(shape, *rest):
        if quick:
            raise KeyboardInterrupt
        return pretend(shape, *rest)

    monkeypatch.setattr(full, "time_pair", interrupted)
    assert full.main(["--results", str(tmp_path)]) == 0
    assert len(Record(tmp_path / "grid.jsonl").points) == 1


def test_a_line_cut_in_half_is_dropped(tmp_path):
    record = Record(tmp_path / "grid.jsonl")
    record.add(point(TINY[0], 0.5))
    with record.path.open("a", encoding="utf-8") as file:
        file.write('{"run": 1, "sha')
    again = Record(record.path)
    again.add(point(TINY[1], 0.25))
    assert {name: p.ratio for name, p in Record(record.path).points.items()} == {TINY[0].name: 2, TINY[1].name: 4}
    assert Record(record.path).runs == {1: RUN}


def test_a_faster_burst_raises_the_peak_of_the_whole_run(tmp_path):
    record = Record(tmp_path / "grid.jsonl")
    record.add(point(TINY[0], 0.5))
    assert record.raise_peak(RUN, "float32", 0.9e9) is RUN
    run = record.raise_peak(RUN, "float32", 2e9)
    record.add(replace(point(TINY[1], 0.5), run=run))
    for found in (record, Record(record.path)):
        assert [p.run.peak for p in found.timed()] == [{"float32": 2e9, "float64": 5e8}] * 2
        assert found.points[TINY[0].name].share == TINY[0].flops / 0.5 / 2e9


def test_what_is_not_equal_is_refused_and_timed_again_next_time(quick, tmp_path, monkeypatch, capsys):
    def unequal(shape):
        first, second = torch_twice(shape)
        with torch.no_grad():
            first.bias_hh_l0 += 1e-2
        return first, second

    pretend = full.time_pair
    monkeypatch.setattr(full, "time_pair", measure.time_pair)
    monkeypatch.setattr(measure, "pair", unequal)
    assert full.main(["--results", str(tmp_path)]) == 1
    assert "refused, not timed" in capsys.readouterr().out
    assert Record(tmp_path / "grid.jsonl").timed() == []
    monkeypatch.setattr(full, "time_pair", pretend)
    assert full.main(["--results", str(tmp_path)]) == 0
    assert len(quick) == 2


def test_cells_that_do_not_exist_are_refused():
    with pytest.raises(SystemExit, match="--cells must be out of LSTM, GRU, RNN tanh, RNN relu, got QRNN"):
        full.selected("LSTM, QRNN", "")
    assert {shape.kind for shape in full.selected("GRU, RNN tanh", "T400")} == {"GRU", "RNN tanh"}


def timed(regime, training, family, ours):
    shapes = [s for s in GRID if (s.regime, s.training) == (regime, training) and s.kind.startswith(family)]
    return [point(shape, ours) for shape in shapes]


def row(points, what):
    found = [row for row in report.targets(points) if row[0].startswith(what)]
    assert found, what
    return found[0]


def test_targets_say_what_was_measured():
    points = timed("small", True, "GRU", 0.1)
    points[0] = replace(points[0], timing=Timing(0.4, 1.0, 0.4, 1.0, 9))
    expected = math.exp((23 * math.log(10) + math.log(2.5)) / 24)
    assert row(points, "small, GRU, training")[1:] == ("≥ 8", f"{expected:.2f}", "yes", "24 of 24")
    assert row(points[:3], "small, GRU, training")[1:] == ("≥ 8", "6.30", "no, so far", "3 of 24")
    assert row(points, "middle, GRU, training")[2:] == ("not timed", "", "0 of 12")
    assert row(points, "nowhere slower")[2:4] == (f"2.50 at {points[0].shape.name}; 0 below", "yes")
    slow = [*points, point(SHAPES[0], 1.1)]
    assert row(slow, "nowhere slower")[2:4] == (f"0.91 at {SHAPES[0].name}; 1 below", "no")


def test_the_large_regime_is_judged_by_its_lowest_share():
    shapes = [s for s in GRID if s.regime == "large" and not s.training]
    points = [point(s, s.flops / (0.85 * RUN.peak["float32"])) for s in shapes]
    assert row(points, "large, inference: share of peak")[1:4:2] == ("≥ 80%", "yes")
    points[3] = point(shapes[3], shapes[3].flops / (0.5 * RUN.peak["float32"]))
    found = row(points, "large, inference: share of peak")
    assert found[2].startswith(f"50% at {shapes[3].name}; mean 8")
    assert found[3] == "no"


def test_peers_are_told_by_their_least_lead():
    points = [point(SHAPES[0], 0.5, peers={"jax": 1.0}), point(SHAPES[1], 0.5, peers={"jax": 0.4})]
    assert row(points, "times JAX")[2:4] == (f"0.80 at {SHAPES[1].name}; mean 1.26", "no")
    assert row(points, "times ONNX")[2] == "not timed"


@pytest.mark.skipif(not peers.find_spec("onnxruntime"), reason="ONNX Runtime is not installed")
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN tanh", "RNN relu"])
def test_onnx_runtime_is_checked_before_it_is_timed(kind, monkeypatch):
    shape = Shape(kind, False, 4, 2, 3, 5)
    assert peers.time_peers(shape, 0.0)["onnxruntime"] > 0
    right = peers.gate_layouts.write

    def swapped(name, cell, weights):
        found = right(name, cell, weights)
        return {**found, "B": -found["B"]}

    monkeypatch.setattr(peers.gate_layouts, "write", swapped)
    monkeypatch.setattr(peers, "installed", lambda: {"onnxruntime": "0"})
    with pytest.raises(Unequal, match="ONNX Runtime: .* output differs"):
        peers.time_peers(shape, 0.0)


def test_pictures_are_drawn_from_a_part_of_the_grid(tmp_path):
    files = picture.draw([point(GRID[0], 0.1), point(GRID[-1], 1.5), point(SHAPES[0], 1.0)], tmp_path)
    assert [file.name for file in files] == ["grid-ratio.png", "grid-share.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_the_digest_names_the_code():
    assert len(code_digest()) == 12
    assert code_digest() == code_digest()
