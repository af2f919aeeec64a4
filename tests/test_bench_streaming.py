"""The benchmark of single steps: what it checks before it times, what it judges, and what it writes."""

import json

import pytest
import streaming_calls
import streaming_loop
import streaming_memory
import streaming_page
import streaming_steps
import torch
from measure import Unequal

import ostinato
from ostinato.streaming.runner import ReferenceRunner
from source_files import ROOT

PAGE = ROOT / "docs" / "streaming.md"


def size(kind, hidden, ratio=0.25, share=1.0):
    """A measured size in which every ratio and every share is the same."""
    ways = [*streaming_calls.OURS, "compiled", *streaming_calls.PEERS]
    single = {"bound": [1.0, 2.0, 3.0], "binding": [4.0, 5.0, 6.0]}
    ratios = {way: dict.fromkeys(streaming_calls.PEERS, ratio) for way in streaming_calls.OURS}
    shares = dict.fromkeys(streaming_calls.OURS, share)
    return streaming_steps.Size(
        kind, hidden, {way: float(k) for k, way in enumerate(ways)}, ratios, shares, single, 1000
    )


def record(*sizes):
    environment = {"vector unit": "AVX2", "cores": 2}
    shown = [streaming_steps.asdict(one) for one in sizes]
    return {"date": "2026-01-02", "environment": environment, "load": 0.5, "clock": 0.04, "sizes": shown}


@pytest.mark.parametrize("kind", streaming_steps.KINDS)
def test_every_way_computes_the_same_steps(kind):
    ways = streaming_calls.ways(kind, 16)
    assert list(ways) == [*streaming_calls.OURS, "compiled", *streaming_calls.PEERS]
    for way in ways.values():
        way.many(4)  # a state that is left over changes nothing
    streaming_calls.check(kind, 16, ways)


@pytest.mark.parametrize("kind", streaming_steps.KINDS)
def test_what_computes_something_else_is_not_timed(kind):
    ways = streaming_calls.ways(kind, 16)
    right = ways["run"].outputs
    wrong = {**ways, "run": streaming_calls.Way(ways["run"].many, lambda xs: right(xs) + 1e-4)}
    with pytest.raises(Unequal, match=f"{kind} 16, run: differs from torch.nn in float64 by"):
        streaming_calls.check(kind, 16, wrong)
    other = streaming_calls.Way(ways["out"].many, lambda xs: torch.nextafter(right(xs), torch.tensor(2.0)))
    with pytest.raises(Unequal, match=f"{kind} 16, out: has other bits than the layer's own call"):
        streaming_calls.check(kind, 16, {"out": other})


@pytest.mark.parametrize("kind", streaming_steps.KINDS)
def test_every_way_carries_its_state_from_step_to_step(kind):
    """A way that began anew at every step would compute the same first step only."""
    xs = torch.randn(1, 16).expand(3, 16)
    for name, way in streaming_calls.ways(kind, 16).items():
        first, second, third = way.outputs(xs)
        assert not torch.allclose(first, second) and not torch.allclose(second, third), name


def test_a_quick_run_measures_all_ways_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(streaming_steps, "RESULTS", tmp_path)
    monkeypatch.setattr(streaming_steps, "SIZES", (16, 64))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert streaming_steps.main(["--quick"]) == 0
    out = capsys.readouterr().out
    assert "| LSTM 16 |" in out and "| GRU 64 |" in out and "of io-binding's time, up to 64 units | ≤ 0.33 |" in out
    assert not list(tmp_path.iterdir())


def test_targets_are_judged_by_the_size_that_is_nearest_to_its_bound():
    found = {row[0]: row[1:] for row in streaming_page.targets(record(size("LSTM", 64), size("GRU", 128, 0.45, 2.5)))}
    assert found["bound buffers: of io-binding's time, up to 64 units"] == ("≤ 0.33", "0.25 at LSTM 64", "yes")
    assert found["bound buffers: of io-binding's time, 128 units"] == ("≤ 0.50", "0.45 at GRU 128", "yes")
    assert found["Python's share up to 128 units, tensor, out="] == ("≤ 2.0 µs", "2.5 µs at GRU 128", "no")
    assert found["Python's share up to 128 units, NumPy array, new result"] == ("≤ 6.0 µs", "2.5 µs at GRU 128", "yes")
    assert found["a step of LSTM 64, aim"] == ("≤ 4.0 µs", "0.0 µs at LSTM 64", "yes")
    slower = {row[0]: row[1:] for row in streaming_page.targets(record(size("GRU", 512, 1.2)))}
    assert slower["tensor, out=: of io-binding's time, from 256 units on"] == ("≤ 1.00", "1.20 at GRU 512", "no")
    assert slower["bound buffers: of any other's time"][2] == "no"


def test_results_of_each_vector_unit_have_a_file_and_a_section_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(streaming_steps, "RESULTS", tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(streaming_steps, "measure", lambda kind, hidden, *_: size(kind, hidden))
    held = streaming_memory.Memory(1_000_000, [200.0, 200.5], 0, 0, 48, 0)
    monkeypatch.setattr(streaming_memory, "measure", lambda *_: held)
    (tmp_path / "streaming-avx2.json").write_text(json.dumps(record(size("LSTM", 16))), encoding="utf-8")
    monkeypatch.setattr(streaming_steps, "environment", lambda: {"vector unit": "AVX512", "cores": 2})
    source = PAGE.read_text(encoding="utf-8")
    page = tmp_path / "streaming.md"
    page.write_text(source, encoding="utf-8")
    assert streaming_steps.main(["--million", "--write", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.index("### AVX2") < text.index("### AVX512") and text.count("| LSTM 512 |") == 2
    assert "1,000,000 steps: memory of the process | +1 %, nothing left by a step | +0.25% | yes |" in text
    assert text.split("-->")[0] == source.split("-->")[0] and text.endswith(source.split("end -->")[1])
    written = json.loads((tmp_path / "streaming-avx512.json").read_text(encoding="utf-8"))
    assert len(written["sizes"]) == 12 and written["memory"]["transient"] == 48
    assert "48 bytes" in capsys.readouterr().out


def test_a_run_whose_memory_grows_ends_with_status_1(monkeypatch, capsys):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(streaming_steps, "measure", lambda kind, hidden, *_: size(kind, hidden))
    held = streaming_memory.Memory(1_000_000, [200.0, 300.0], 0, 0, 48, 0)
    monkeypatch.setattr(streaming_memory, "measure", lambda *_: held)
    assert streaming_steps.main(["--quick", "--million"]) == 1
    assert "nothing left by a step | +50.00% | no |" in capsys.readouterr().out


def test_without_kernels_there_is_no_compiled_step_to_time():
    stream = ostinato.stream(ostinato.GRU(2, 3))
    stream._runner = ReferenceRunner(stream.network, 1)
    with pytest.raises(SystemExit, match="no compiled step to time"):
        streaming_loop.many_steps(stream)


def test_the_loop_runs_as_many_steps_as_it_is_asked_for():
    stream = ostinato.stream(ostinato.GRU(2, 3))
    stream.input.fill_(0.5)
    beside = stream.fork()
    streaming_loop.many_steps(stream)(7)
    assert torch.equal(stream.output, beside.push(torch.full((7, 1, 2), 0.5))[-1])


def test_memory_that_grows_is_found():
    held = streaming_memory.Memory(10, [100.0, 100.9], 0, 0, 48, 0)
    assert held.flat and held.growth == pytest.approx(0.009)
    assert not streaming_memory.Memory(10, [100.0, 101.1], 0, 0, 48, 0).flat
    assert not streaming_memory.Memory(10, [100.0, 100.0], 1, 0, 48, 0).flat
    assert not streaming_memory.Memory(10, [100.0, 100.0], 0, 32, 48, 0).flat
    assert not streaming_memory.Memory(10, [100.0, 100.0], 0, 0, 48, 1).flat


def test_steps_that_keep_something_are_counted(monkeypatch):
    class Keeping:
        def __init__(self):
            self.kept = []

        def step(self):
            self.kept.append(torch.zeros(3) + 1.0)

    monkeypatch.setattr(streaming_memory.ostinato, "stream", lambda model: Keeping())
    monkeypatch.setattr(streaming_memory, "COUNTED", 500)
    held = streaming_memory.measure("LSTM", 16, 500)
    assert held.blocks >= 499 and held.traced >= 500 * 16 and held.operations >= 1000


def test_a_step_with_bound_buffers_leaves_nothing():
    held = streaming_memory.measure("LSTM", 16, 10_000)
    # A few blocks are the interpreter's own; one a step would be ten thousand.
    assert held.blocks <= 10 and held.traced <= 0 and held.operations == 0, held
