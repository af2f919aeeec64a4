"""Each rule speaks where it should, on networks made to have the fault, and is silent on one that is well."""

import dataclasses
import math
import re

import pytest
import torch
from torch import nn

import ostinato
from lens.example_reports import example_probe, example_report, powers
from ostinato import lens
from ostinato.errors import InputError
from ostinato.lens.report.diagnosis import SHARE_BELOW, diagnose, layers_named, share_at

STEPS = 40


def step(layer, x=None, learning_rate=1e-3, clip=1e9, read=lambda output: output[-1]):
    """The report of one training step."""
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(layer.parameters(), lr=learning_rate)
    with lens.watch(layer) as looking:
        read(layer(torch.randn(STEPS, 4, 3) if x is None else x)[0]).square().sum().backward()
        nn.utils.clip_grad_norm_(layer.parameters(), clip)
        optimiser.step()
    return looking.report()


def rules(report):
    return [finding.rule for finding in report.verdict]


def well():
    """Gates that keep, a state that moves."""
    torch.manual_seed(0)
    return ostinato.LSTM(3, 16, forget_bias=3.0)


def test_all_rules_are_silent_about_a_network_that_is_well():
    report = step(well())
    assert report.verdict == () and str(report) == report.table()


def test_a_layer_that_forgets():
    torch.manual_seed(0)
    report = step(ostinato.LSTM(3, 16))
    (finding,) = report.verdict
    reach = int(report.layers[0].probe.reach_steps().median())
    assert finding.rule == "vanishing" and finding.measured == reach < finding.threshold
    assert finding.sentence.startswith(
        f"LSTM layer 0 forgets: gradients above 1 % reach {reach} of 40 steps; what c carries halves"
    )
    assert finding.sentence.endswith('try forget_bias=1 or init="chrono(40)"') and "Pascanu" in finding.source
    assert finding.sentence in str(report) and report.to_dict()["verdict"][0]["rule"] == "vanishing"


def test_forgetting_is_no_matter_in_short_rows_nor_where_nothing_arrives():
    torch.manual_seed(0)
    assert rules(step(ostinato.LSTM(3, 16), torch.randn(10, 4, 3))) == []
    report = step(ostinato.LSTM(3, 16), read=lambda output: output[0])
    assert rules(report) == []


@ostinato.cell
def keeping(W, U, x, h):
    return W.h @ x + U.h @ h


@pytest.mark.parametrize(("a", "arrives"), [(0.9, True), (0.4, False)])
def test_a_dependency_that_the_gradient_does_not_reach(a, arrives):
    """h_t = a·h_{t-1} + x_t: lag k has a^k of the gradient at lag 0."""
    layer = ostinato.Recurrent(keeping, 3, 3)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(a * torch.eye(3))
    with lens.watch(layer, lag=15) as looking:
        layer(torch.ones(STEPS, 4, 3))[0][-1].sum().backward()
    report = looking.report()
    share = a**15 / sum(a**k for k in range(STEPS))
    assert report.lag == 15 == report.to_dict()["lag"]
    assert share_at(report.layers[0], 15) == pytest.approx(share, rel=1e-4)
    found = [finding for finding in report.verdict if finding.rule == "out of reach"]
    assert (found == []) == arrives == (share > SHARE_BELOW)
    if not arrives:
        assert found[0].measured == pytest.approx(share, rel=1e-4) and found[0].threshold == SHARE_BELOW
        assert found[0].sentence.startswith(
            "Recurrent layer 0: the state 15 steps before the last gets 6.44e-05 % of the "
        )
        assert found[0].sentence.endswith('try init="orthogonal", or a cell with gates such as "lstm" or "gru"')
    with lens.watch(layer) as looking:
        layer(torch.ones(STEPS, 4, 3))[0][-1].sum().backward()
    assert looking.report().lag is None and "out of reach" not in rules(looking.report())


def test_a_lag_is_looked_for_in_the_layer_that_has_most_of_it_and_not_in_a_second_direction():
    weak = example_report(example_probe(powers(0.3))).layers
    strong = example_report(example_probe(powers(0.99))).layers
    reverse = example_report(example_probe(powers(0.99)), reverse=True).layers

    def found(*layers):
        report = lens.Report(layers, (), lens.Clipping((), ()), lag=30)
        return [finding for finding in report.verdict if finding.rule == "out of reach"]

    assert found(*weak, *strong) == []
    assert len(found(*weak, *reverse)) == 1 and found(*reverse) == []


def test_a_lag_that_no_sequence_has_is_refused():
    layer = ostinato.GRU(3, 4)
    with lens.watch(layer, lag=STEPS) as looking:
        layer(torch.ones(STEPS, 4, 3))[0][-1].sum().backward()
    with pytest.raises(
        InputError, match="lens.watch: lag must be less than the longest sequence, 40, got 40. A lag of"
    ):
        looking.report()
    for lag in (-1, 1.5, True):
        with pytest.raises(InputError, match="lens.watch: lag must be a number of steps, 0 or more, got"):
            lens.watch(layer, lag=lag)


def test_gradients_that_explode():
    torch.manual_seed(0)
    layer = ostinato.RNN(3, 16, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(1.3 * torch.eye(16))
        layer.weight_ih_l0.abs_()
    report = step(layer, torch.rand(STEPS, 4, 3))
    (finding,) = [f for f in report.verdict if f.rule == "exploding"]
    assert finding.measured == pytest.approx(1.3, rel=0.02) and "clip_grad_norm_" in finding.sentence


def test_gates_that_are_saturated_but_for_one_that_keeps():
    torch.manual_seed(0)
    layer = well()
    with torch.no_grad():
        layer.bias_ih_l0[16:32] = 9.0  # f stays open: it is meant to
    assert "saturated" not in rules(step(layer))
    with torch.no_grad():
        layer.bias_ih_l0[:16] = -9.0  # i stays shut
    (finding,) = [f for f in step(layer).verdict if f.rule == "saturated"]
    assert "100 % of gate i" in finding.sentence and "Glorot" in finding.source


def test_units_that_never_move():
    torch.manual_seed(0)
    layer = ostinato.RNN(3, 16, nonlinearity="relu")
    with torch.no_grad():
        layer.bias_ih_l0[:4] = -50.0
    (finding,) = [f for f in step(layer).verdict if f.rule == "dead units"]
    assert "4 of 16 units of h never move" in finding.sentence and finding.measured == 0.25
    assert str(finding) == finding.sentence


def exploding(dtype=torch.float32, clip=1.0, zero=False):
    """One step of a network that multiplies gradients by 3, and the norm as clip_grad_norm_ has it."""
    torch.manual_seed(0)
    layer = ostinato.RNN(3, 16, dtype=dtype)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(3 * torch.eye(16))
    optimiser = torch.optim.SGD(layer.parameters(), lr=1e-3)
    with lens.watch(layer) as looking:
        layer(torch.zeros(STEPS, 4, 3, dtype=dtype))[0][-1].sum().backward()
        norm = nn.utils.clip_grad_norm_(layer.parameters(), clip)
        if zero:
            optimiser.zero_grad(set_to_none=False)
        optimiser.step()
    return looking.report(), norm


def test_a_norm_that_overflows_makes_every_gradient_0(monkeypatch):
    monkeypatch.setattr(nn.init, "uniform_", lambda p, *_: nn.init.zeros_(p))
    report, norm = exploding()
    assert norm == math.inf and report.clipping.norms_after == (0.0,)
    (finding,) = [f for f in report.verdict if f.where == "optimiser"]
    (size,) = report.clipping.norms_before
    assert finding.rule == "gradient set to 0" and finding.measured == size > 1.8e19
    assert re.fullmatch(
        r"optimiser: at a step the gradient's norm, \S+, overflowed to inf in clip_grad_norm_, which then multiplied "
        r"every gradient by 0; look for the layer whose gradient explodes, and set error_if_nonfinite=True to stop "
        r"there",
        finding.sentence,
    )
    report, norm = exploding(torch.float64, zero=True)
    assert 1.8e19 < norm < math.inf
    (finding,) = [f for f in report.verdict if f.where == "optimiser"]
    assert "was 0 when the optimiser read it; look at what is done to gradients between backward" in finding.sentence


def test_clipping_that_decides_everything():
    assert "clipped" in rules(step(well(), clip=1e-4))
    assert "clipped" not in rules(step(well(), clip=1e9))


@pytest.mark.parametrize(("rate", "rule"), [(1.0, "update too large"), (1e-10, "update too small")])
def test_updates_out_of_proportion(rate, rule):
    assert rule in rules(step(well(), learning_rate=rate))


def test_numbers_that_are_not_finite():
    x = torch.randn(STEPS, 4, 3)
    x[7, 1, 0] = math.nan
    assert "states h and c are inf or NaN from step 7 on" in str(step(well(), x))
    layer = well()
    with lens.watch(layer) as looking:
        output = layer(torch.randn(STEPS, 4, 3))[0]
        (output[-1].sum() * torch.tensor(math.inf)).backward()
    (finding,) = [f for f in looking.report().verdict if f.rule == "not finite"]
    assert "gradients are inf or NaN at step 39" in finding.sentence


def test_what_holds_for_several_layers_is_said_once():
    torch.manual_seed(0)
    layer = ostinato.LSTM(3, 16, num_layers=2, bidirectional=True)
    report = step(layer, read=lambda output: output)
    (finding,) = report.verdict
    reaches = [int(found.probe.reach_steps().median()) for found in report.layers]
    least, most = min(reaches), max(reaches)
    assert len(reaches) == 4 and finding.measured == least < most
    who = "LSTM layers 0 and 1 in both directions"
    assert finding.where == who
    assert finding.sentence.startswith(f"{who} forget: gradients above 1 % reach {least} to {most} of 40 steps; what c")


def test_findings_that_differ_in_more_than_numbers_are_apart():
    changed = {"probe": example_probe(powers(0.3)), "lengths_steps": torch.tensor([40])}
    layers = [
        example_report(**changed).layers[0],
        example_report(**changed, module="a{0}", cell="elman", call=1).layers[0],
    ]
    found = diagnose(lens.Report(tuple(layers), (), lens.Clipping((), ())))
    assert [f.where for f in found] == ["rnn layer 0", "a{0} layer 0, call 1"]
    assert found[1].sentence.startswith("a{0} layer 0, call 1 forgets: gradients above 1 % reach 3 of 40 steps")


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([("rnn", 0, True, 0)], "rnn layer 0, reversed"),
        ([("rnn", 0, False, 0), ("rnn", 1, False, 0), ("rnn", 2, False, 0)], "rnn layers 0, 1 and 2"),
        ([("rnn", 0, True, 0), ("rnn", 2, True, 0)], "rnn layers 0 and 2 reversed"),
        (
            [("a", 0, False, 0), ("a", 0, True, 0), ("a", 1, True, 0)],
            "a layer 0 in both directions and a layer 1 reversed",
        ),
        (
            [("a", 0, False, 0), ("a", 0, False, 1), ("b.layer", 0, False, 0)],
            "a layer 0, a layer 0 of call 1 and b.layer 0",
        ),
    ],
)
def test_layers_are_named_together(layers, expected):
    made = example_report().layers[0]
    names = ("module", "depth", "reverse", "call")
    assert layers_named([dataclasses.replace(made, **dict(zip(names, layer))) for layer in layers]) == expected
