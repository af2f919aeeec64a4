"""The benchmark refuses to time what is not equal, and counts what it says it counts."""

import json
import sys

import bench
import measure
import pytest
import torch
from measure import Timing, Unequal, check, job, pair, time_pair, turned
from shapes import SHAPES, Shape
from torch import nn

TINY = [
    Shape(kind, training, 5, 2, 3, 4) for kind in ("LSTM", "GRU", "RNN tanh", "RNN relu") for training in (False, True)
]


def torch_twice(shape):
    """Stands in for the pair: both from torch.nn, the first with weights of its own that the test may change."""
    family, _, nonlinearity = shape.kind.partition(" ")
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    torch.manual_seed(0)
    first, second = (getattr(nn, family)(shape.features, shape.hidden, **options) for _ in range(2))
    second.load_state_dict(first.state_dict())
    return first, second


def test_sixteen_shapes_each_with_a_name_of_its_own():
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) == 16
    assert {shape.kind for shape in SHAPES} == {"LSTM", "GRU", "RNN tanh", "RNN relu"}
    assert SHAPES[3].name == "LSTM train T100 B32 C128 H128"


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_our_layers_are_equal_and_timed(shape):
    timing = time_pair(shape, seconds=0.0, least=2)
    assert timing.calls == 2
    assert 0 < timing.ours_best <= timing.ours
    assert timing.ratio == timing.torchs / timing.ours


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_a_difference_is_refused(shape, monkeypatch):
    def unequal(shape):
        first, second = torch_twice(shape)
        with torch.no_grad():
            first.bias_hh_l0 += 1e-2
        return first, second

    monkeypatch.setattr(measure, "pair", unequal)
    with pytest.raises(Unequal, match=f"{shape.name}: output differs from torch.nn by .*, more than 1e-05"):
        time_pair(shape, seconds=0.0)


def test_a_wrong_gradient_is_refused_even_where_the_output_is_right():
    shape = TINY[1]
    ours, theirs = (job(layer, shape)() for layer in torch_twice(shape))
    assert check(shape, ours, theirs) == 0
    ours["gradient weight_hh_l0"] = ours["gradient weight_hh_l0"] * (1 + 1e-3)
    with pytest.raises(Unequal, match="gradient weight_hh_l0 differs"):
        check(shape, ours, theirs)


def test_a_row_whose_relu_rounds_to_the_other_side_is_left_out_of_the_gradients_alone():
    shape = Shape("RNN relu", True, 3, 4, 2, 5, from_state=True)
    ours, theirs = (job(layer, shape)() for layer in pair(shape))
    assert turned(shape, ours, theirs) == []
    on = ours["output"] > 0
    t, b, u = on.nonzero()[0].tolist()
    ours["output"][t, b, u] = 0.0
    assert turned(shape, ours, theirs) == [b]
    assert turned(shape, {"output": -ours["output"]}, theirs) == []  # all rows: not rounding
    left_out = job(pair(shape)[0], shape, unseen=[b])()
    assert not left_out["gradient x"][:, b].any() and left_out["gradient x"].any()
    assert left_out["output"][:, b].any()


def test_nan_is_refused():
    shape = TINY[0]
    ours, theirs = (job(layer, shape)() for layer in torch_twice(shape))
    with pytest.raises(Unequal):
        check(shape, {name: value * float("nan") for name, value in ours.items()}, theirs)


def test_training_returns_every_gradient_and_inference_none():
    training, inference = (job(torch_twice(shape)[0], shape)() for shape in (TINY[1], TINY[0]))
    weights = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert list(inference) == ["output", "output state 0", "output state 1"]
    assert list(training) == [*inference, *(f"gradient {name}" for name in ["x", *weights])]


def test_results_are_written_beside_earlier_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench, "SHAPES", TINY[:2])
    monkeypatch.setattr(bench, "time_pair", lambda shape, seconds: Timing(0.002, 0.003, 0.001, 0.002, 9))
    monkeypatch.setattr(bench, "time_peers", lambda shape, seconds: {"onnxruntime": 0.001} if shape is TINY[0] else {})
    monkeypatch.setattr(sys, "argv", ["bench.py"])
    assert bench.main() == bench.main() == 0
    files = sorted(tmp_path.rglob("bench-*"))
    assert [file.suffix for file in files].count(".json") == [file.suffix for file in files].count(".md") == 2
    content = json.loads(next(file for file in files if file.suffix == ".json").read_text(encoding="utf-8"))
    assert content["timings"][TINY[0].name]["ours"] == 0.002
    assert {"cpu", "cores", "torch"} <= set(content["environment"])
    page = next(file for file in files if file.suffix == ".md").read_text(encoding="utf-8")
    assert f"| {TINY[0].name} | 2.000 | 3.000 | 1.50 | 9 | 0.50 |" in page
    assert f"| {TINY[1].name} | 2.000 | 3.000 | 1.50 | 9 |  |" in page
    assert "geometric mean 1.50" in page
    assert "geometric mean" in capsys.readouterr().out


def test_a_refusal_is_told_and_the_status_says_so(monkeypatch, capsys):
    def refuse(shape, seconds):
        raise Unequal(f"{shape.name}: output differs")

    monkeypatch.setattr(bench, "SHAPES", TINY[:1])
    monkeypatch.setattr(bench, "time_pair", refuse)
    monkeypatch.setattr(sys, "argv", ["bench.py", "--quick"])
    assert bench.main() == 1
    assert f"refused, not timed: {TINY[0].name}: output differs" in capsys.readouterr().out
