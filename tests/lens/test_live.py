"""The lens beside a training run: what the logs hold, and where a run that breaks says it broke."""

import builtins
import json
import math
import types

import pytest
import torch
from torch import nn
from torch.optim import optimizer

import ostinato
from ostinato.errors import InputError, NotFiniteError
from ostinato.lens import Live
from ostinato.lens.live import measures


@ostinato.cell
def doubling(W, U, b, x, h):
    return W.h @ x + U.h @ h + b.h


class Model(nn.Module):
    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = layer
        self.head = nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 1)

    def forward(self, x, state=None, **options):
        return self.head(self.rnn(x, state, **options)[0])


def trained(live, model, steps=5, x=None, **options):
    x = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(1)) if x is None else x
    optimiser = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        with live.step():
            optimiser.zero_grad()
            model(x, **options).square().mean().backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            optimiser.step()


def test_json_lines_are_read_back(tmp_path):
    model, path = Model(ostinato.LSTM(4, 6)), tmp_path / "new" / "lens.jsonl"
    with Live(model, path, every=2) as live:
        trained(live, model)
        last = live.report
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4] and live.steps == 5
    assert lines[-1]["verdict"] == [finding.sentence for finding in last.verdict] and lines[-1]["verdict"]
    scalars = lines[-1]["scalars"]
    assert scalars == json.loads(json.dumps(measures(last).scalars))
    (layer,) = last.layers
    assert scalars["rnn_layer0/mean_step_gain"] == layer.probe.mean_step_gain.sort().values[1].item()
    assert scalars["rnn_layer0/gate_f_mean"] == layer.gates[1].mean_per_unit.mean().item()
    assert scalars["gradients/norm_after_clip"] == pytest.approx(1e-3, rel=1e-3)
    assert scalars["gradients/norm_before_clip"] > 1e-2
    assert {"rnn_layer0/reach_1_percent_steps", "rnn_layer0/c_carry_half_life_steps"} <= set(scalars)
    assert scalars["rnn.weight_hh_l0/f_relative_update"] > 0
    histogram = lines[0]["histograms"]["rnn_layer0/gate_f"]
    assert len(histogram["edges"]) == len(histogram["shares"]) + 1 and sum(histogram["shares"]) == pytest.approx(1)


def test_tensorboard_files_are_read_back(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model = Model(ostinato.GRU(4, 6, num_layers=2, bidirectional=True))
    with Live(model, tmp_path / "runs", every=2) as live:
        trained(live, model)
    read = events.EventAccumulator(str(tmp_path / "runs"))
    read.Reload()
    expected = measures(live.report)
    (text,) = read.Tensors("verdict/text_summary")[-1].tensor_proto.string_val
    assert text.decode() == "\n".join(f"- {sentence}" for sentence in expected.verdict) and expected.verdict
    assert set(read.Tags()["scalars"]) == set(expected.scalars)
    assert set(read.Tags()["histograms"]) == set(expected.histograms)
    assert "rnn_layer1_reversed/gate_z" in expected.histograms
    for name, value in expected.scalars.items():
        found = read.Scalars(name)
        assert [e.step for e in found] == [0, 2, 4]
        assert found[-1].value == pytest.approx(value, rel=1e-5)
    for name, (edges, shares) in expected.histograms.items():
        last = read.Histograms(name)[-1]
        assert last.step == 4
        by_limit = dict(zip(last.histogram_value.bucket_limit, last.histogram_value.bucket))
        assert sum(by_limit.values()) == pytest.approx(1)
        assert by_limit[edges[1:][shares.argmax()].item()] == pytest.approx(shares.max().item())


def test_a_writer_of_the_callers_own_is_left_open(tmp_path):
    class Writer:
        def __init__(self):
            self.scalars, self.texts, self.closed = [], [], False

        def add_scalar(self, *args):
            self.scalars.append(args)

        def add_histogram_raw(self, *args):
            pass

        def add_text(self, *args):
            self.texts.append(args)

        def flush(self):
            pass

    writer, model = Writer(), Model(ostinato.RNN(4, 6))
    with Live(model, writer) as live:
        trained(live, model, steps=1)
    assert (
        "rnn_layer0/mean_step_gain",
        measures(live.report).scalars["rnn_layer0/mean_step_gain"],
        0,
    ) in writer.scalars


def test_training_is_the_same_and_nothing_is_left_behind(tmp_path):
    found = []
    earlier = dict(optimizer._global_optimizer_pre_hooks)
    for every in (None, 1, 3):
        torch.manual_seed(1)  # of the layer, which is made before the model sets its own
        model = Model(ostinato.LSTM(4, 6))
        live = types.SimpleNamespace(step=lambda: torch.enable_grad()) if every is None else Live(model, every=every)
        trained(live, model)
        found.append(model.state_dict())
        assert not model.rnn._forward_hooks and not any(p._post_accumulate_grad_hooks for p in model.parameters())
    for other in found[1:]:
        assert all(torch.equal(other[k], v) for k, v in found[0].items())
    assert optimizer._global_optimizer_pre_hooks == earlier


def broken(live, model, **options):
    with pytest.raises(NotFiniteError) as stopped:
        trained(live, model, **options)
    assert not live._inside and not model.rnn._forward_hooks
    return str(stopped.value)


def test_a_forward_pass_that_overflows_stops_before_the_update():
    model = Model(ostinato.Recurrent(doubling, 4, 6))
    nn.init.eye_(model.rnn.weight_hh_l0).data.mul_(1e15)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    message = broken(Live(model), model)
    assert message.startswith(
        "lens.Live: training step 0 stopped before the update of the weights. forward, rnn (Recurrent), "
    )
    assert "becomes infinite at step 3, row 0, from finite" in message or "at step 2, row 0, from finite" in message
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_step_of_an_overflow_is_the_one_at_which_a_loop_meets_it():
    model = Model(ostinato.Recurrent(doubling, 4, 6, num_layers=2, bidirectional=True))
    nn.init.eye_(model.rnn.weight_hh_l1_reverse).data.mul_(3e9)
    x = torch.randn(9, 3, 4, generator=torch.Generator().manual_seed(1))
    message = broken(Live(model), model, x=x, lengths=[9, 7, 8])
    states = model.rnn(x, lengths=[9, 7, 8], return_states=True)[2][3]
    bad = (~states.isfinite().all(-1)).nonzero().tolist()
    assert "rnn (Recurrent), layer 1, second direction: " in message
    assert f"becomes infinite at step {bad[-1][0]}, row" in message


def test_an_explosion_on_the_way_back():
    """Forward passes of zeros are finite for ever; the gradient on the way back doubles."""
    model = Model(ostinato.Recurrent(doubling, 4, 6, bias=False))
    nn.init.eye_(model.rnn.weight_hh_l0).data.mul_(1e4)
    x = torch.zeros(20, 2, 4)
    x[-1] = 1.0
    message = broken(Live(model), model, x=x)
    assert (
        "backward, rnn (Recurrent), layer 0, first direction: the gradient of the state h becomes infinite" in message
    )
    step = int(message.split("at step ")[1].split(",")[0])
    leaf = model.rnn(x)[0].detach().requires_grad_()
    (d,) = torch.autograd.grad(model.head(leaf).square().mean(), leaf)
    arriving, expected = torch.zeros_like(d[0]), None
    for t in reversed(range(20)):
        arriving = (d[t] + arriving) @ model.rnn.weight_hh_l0.detach()
        if expected is None and not arriving.isfinite().all():
            expected = t - 1  # sent by step t to the state before it
    assert step == expected


def test_causes_outside_of_the_layer():
    model = Model(ostinato.GRU(4, 6))
    x = torch.ones(5, 2, 4)
    x[3, 1, 0] = math.nan
    assert "forward, rnn (GRU), layer 0, first direction: x is NaN at step 3, row 1. " in broken(
        Live(model), model, x=x
    )
    nn.init.constant_(model.head.weight, 1e30)
    message = broken(Live(model), model)
    assert "the gradient that arrives at the output is " in message
    model = Model(ostinato.GRU(4, 6))
    with torch.no_grad():
        model.rnn.weight_hh_l0[2, 1] = math.inf
    assert "first direction: weight_hh of gate r (infinite) is not finite" in broken(Live(model), model)
    model = Model(ostinato.LSTM(4, 6))
    state = (torch.zeros(1, 3, 6), torch.full((1, 3, 6), math.nan))
    assert "the state c is NaN before its first step, at step 0, row 0" in broken(Live(model), model, state=state)
    model = Model(ostinato.GRU(4, 6))
    model.head.bias.register_hook(lambda g: g * math.nan)
    message = broken(Live(model), model)
    assert (
        "every gradient is NaN, as after clipping by a norm that is NaN; what its recurrent layers compute" in message
    )
    model.zero_grad()
    with pytest.raises(NotFiniteError, match="the gradient of head.bias is NaN; what its recurrent layers compute"):
        with Live(model).step():
            model(torch.ones(5, 2, 4)).sum().backward()
            torch.optim.SGD(model.parameters(), 0.1).step()


def test_updates_by_hand_are_looked_at_afterwards():
    model = Model(ostinato.GRU(4, 6))
    live = Live(model)
    with (
        pytest.raises(
            NotFiniteError, match="step 0 stopped after the update of the weights.*weight_ih of gate r .NaN. is not"
        ),
        live.step(),
    ):
        model(torch.ones(5, 2, 4)).sum().backward()
        with torch.no_grad():
            model.rnn.weight_ih_l0.fill_(math.nan)
    quiet = Live(model, stop=False)
    trained(quiet, model, steps=1)
    assert quiet.steps == 1


def test_begin_and_end_by_hand():
    model = Model(ostinato.GRU(4, 6))
    live = Live(model)
    live.begin()
    with pytest.raises(InputError, match="lens.Live: begin must be called between training steps, got a call inside"):
        live.begin()
    model(torch.ones(5, 2, 4)).sum().backward()
    live.end()
    assert live.report.layers[0].probe is not None
    with pytest.raises(InputError, match=r"lens.Live: end must be called after begin\(\), got a call without one"):
        live.end()
    live.begin()
    live.close()
    assert not model.rnn._forward_hooks


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_every_is_a_number_of_steps(every):
    with pytest.raises(InputError, match="lens.Live: every must be a number of steps, 1 or more, got"):
        Live(Model(ostinato.GRU(4, 6)), every=every)


def test_logs_that_cannot_be(tmp_path, monkeypatch):
    model = Model(ostinato.GRU(4, 6))
    with pytest.raises(InputError, match="lens.Live: log must be a folder for TensorBoard, .* got int"):
        Live(model, 3)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="lens.Live: log must be a file that can be written, got "):
        Live(model, tmp_path / "file" / "lens.jsonl")
    with pytest.raises(InputError, match="lens.watch: model must be a module that holds a recurrent layer"):
        Live(nn.Linear(2, 2))
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        InputError, match="without the package tensorboard. pip install tensorboard, or write JSON lines"
    ):
        Live(model, tmp_path / "runs")
