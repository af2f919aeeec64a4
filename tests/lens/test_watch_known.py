"""What a watch reports where the answer is known: by hand, by plain loops, or by another way through the same call."""

import math

import pytest
import torch
from torch import nn, sigmoid

import ostinato
from ostinato import lens
from tolerance import check

DOUBLE = {"dtype": torch.float64}


def watched(layer, x, **given):
    """The reports of a call whose loss reads every output, with weights that differ everywhere."""
    with lens.watch(layer) as looking:
        output = layer(x, **given)[0]
        made = torch.Generator().manual_seed(5)
        (output * torch.randn(output.shape, generator=made, dtype=output.dtype)).sum().backward()
    return looking.report().layers


@ostinato.cell
def leaky(W, p, x, h):
    return p.a * h + W.h @ x


@ostinato.cell
def forgetting(W, b, x, h):
    f = sigmoid(b.f)
    return f * h + W.h @ x


@pytest.mark.parametrize("a", [0.5, 0.9, 1.0, -0.8])
def test_a_state_that_is_multiplied_by_a_has_a_probe_of_a_to_the_k(a):
    layer = ostinato.Recurrent(leaky, 3, 4, **DOUBLE)
    nn.init.constant_(layer.p_a_l0, a)
    (found,) = watched(layer, torch.randn(30, 5, 3, **DOUBLE))
    expected = abs(a) ** found.probe.lags.double()[:, None].expand(-1, 5)
    assert (found.probe.ratio_by_lag - expected).abs().max() < 1e-6
    whole, additive = (
        found.probe.norms,
        found.probe.additive_norms,
    )
    check("gradients", {"additive": additive}, {"additive": whole})
    reach = 29 if abs(a) == 1 else min(29, math.floor(math.log(0.01) / math.log(abs(a)) + 1e-9))
    assert found.probe.reach_steps(0.01).tolist() == [reach] * 5
    assert found.carries[0].formula == "p.a"
    assert (found.carries[0].retention_by_lag_per_unit - expected[:, :4]).abs().max() < 1e-6
    assert found.carries[0].mean_per_unit.tolist() == pytest.approx([a] * 4)


@pytest.mark.parametrize("f", [0.3, 0.9])
def test_a_constant_forget_gate_retains_f_to_the_k(f):
    layer = ostinato.Recurrent(forgetting, 3, 4, **DOUBLE)
    nn.init.constant_(layer.bias_ih_l0, math.log(f / (1 - f)))
    (found,) = watched(layer, torch.randn(30, 5, 3, **DOUBLE))
    expected = f ** torch.arange(30).double()[:, None].expand(-1, 4)
    assert (found.carries[0].retention_by_lag_per_unit - expected).abs().max() < 1e-6
    assert found.carries[0].time_constant_steps_per_unit.tolist() == pytest.approx([-1 / math.log(f)] * 4)


def test_runs_that_end_early_have_probes_of_their_own():
    layer = ostinato.GRU(3, 6, **DOUBLE)
    x, lengths = torch.randn(12, 4, 3, **DOUBLE), [12, 5, 0, 7]
    (found,) = watched(layer, x, lengths=lengths)
    assert found.lengths_steps.tolist() == [12, 7, 5] and found.steps == 12 and found.rows == 4
    past = torch.arange(12)[:, None] >= torch.tensor(lengths)
    assert torch.equal(found.gradient.norms[0].isnan(), past)
    norms = found.probe.norms[0]
    assert norms.isfinite().sum(0).tolist() == [12, 7, 5]
    for run, row in enumerate([0, 3, 1]):
        alone = ostinato.GRU(3, 6, **DOUBLE)
        alone.load_state_dict(layer.state_dict())
        made = torch.Generator().manual_seed(5)
        weights = torch.randn(12, 4, 6, generator=made, **DOUBLE)
        n = lengths[row]
        with lens.watch(alone) as looking:
            (alone(x[:n, [row]])[0] * weights[:n, [row]]).sum().backward()
        (only,) = looking.report().layers
        check("gradients", {"": norms[:n, run]}, {"": only.probe.norms[0][:, 0]})


def test_a_second_direction_counts_lag_from_the_first_step():
    layer = ostinato.LSTM(3, 6, bidirectional=True, **DOUBLE)
    x = torch.randn(9, 4, 3, **DOUBLE)
    ahead, back = watched(layer, x)
    assert (ahead.reverse, back.reverse) == (False, True)
    curve = back.gradient.norms
    norms = back.probe.norms
    check("gradients", {"lag 0": norms[:, 0]}, {"lag 0": curve[:, 0]})
    assert (norms[:, -1] < curve[:, -1]).all()


RESETS = torch.zeros(40, 20, dtype=torch.bool)
RESETS[7, 3] = RESETS[21, 3] = RESETS[30, 11] = True


@pytest.mark.parametrize("given", [{}, {"lengths": [40 - 2 * k for k in range(20)]}, {"resets": RESETS}], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru_reset_before"])
def test_segments_of_a_checkpointed_call_report_what_the_whole_call_reports(cell, given):
    torch.manual_seed(0)
    x, layers = torch.randn(40, 20, 3, **DOUBLE), []
    for option in ({}, {"checkpoint": "sqrt"}):
        torch.manual_seed(1)
        layers.append(ostinato.Recurrent(cell, 3, 6, num_layers=2, bidirectional=True, **option, **DOUBLE))
    for whole, cut in zip(*[watched(layer, x, **given) for layer in layers]):
        assert (whole.gradient.backward_passes, cut.gradient.backward_passes) == (1, 1)
        pairs = {
            "curve": (cut.gradient.norms, whole.gradient.norms),
            "probe": (cut.probe.norms, whole.probe.norms),
            "additive": (
                cut.probe.additive_norms,
                whole.probe.additive_norms,
            ),
        }
        if "resets" not in given:
            for a, b in zip(cut.weight_gradients, whole.weight_gradients, strict=True):
                pairs[a.parameter] = a.norms, b.norms
        else:
            assert len(whole.weight_gradients) == 2 and cut.weight_gradients == ()
        for a, b in zip((*cut.gates, *cut.carries), (*whole.gates, *whole.carries), strict=True):
            pairs[f"mean {id(a)}"] = a.mean_per_unit, b.mean_per_unit
        for a, b in zip(cut.health, whole.health):
            pairs["rms " + a.state] = a.rms_per_step, b.rms_per_step
        found, expected = ({k: v[i].nan_to_num(-1.0) for k, v in pairs.items()} for i in (0, 1))
        check("gradients", found, expected)


@pytest.mark.parametrize("batch", [3, 70])
@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "lstm_projected"])
def test_norms_of_weight_gradients_are_those_of_each_steps_own(name, batch):
    torch.manual_seed(0)
    width = {"proj_size": 4} if name == "lstm_projected" else {}
    layer = ostinato.Recurrent(name, 3, 6, **width, **DOUBLE)
    x = torch.randn(7, batch, 3, **DOUBLE)
    (found,) = watched(layer, x)
    # Every step with weights of its own, of equal value.
    names = layer._weight_names()[0]
    each = [[getattr(layer, n).detach().clone().requires_grad_() for n in names] for _ in x]
    now = [x.new_zeros(batch, layer.cell.width(w, 3, 6, layer.proj_size)) for w in layer.cell.state_widths]
    outputs = []
    for x_t, weights in zip(x, each):
        output, now = layer.cell.step(weights, x_t, now)
        outputs.append(output)
    made = torch.Generator().manual_seed(5)
    output = torch.stack(outputs)
    (output * torch.randn(output.shape, generator=made, **DOUBLE)).sum().backward()
    assert [w.parameter for w in found.weight_gradients] == [n for n in names if n.startswith("weight")]
    expected = {n: torch.stack([w[k].grad.norm() for w in each]) for k, n in enumerate(names) if n.startswith("weight")}
    check("gradients", {w.parameter: w.norms for w in found.weight_gradients}, expected)


def test_weight_gradients_of_rows_with_resets_go_by_the_steps_of_x():
    torch.manual_seed(0)
    layer = ostinato.GRU(3, 6, **DOUBLE)
    x = torch.randn(12, 4, 3, **DOUBLE)
    resets = torch.zeros(12, 4, dtype=torch.bool)
    resets[4, 1] = True
    with lens.watch(layer) as looking:
        output = layer(x, resets=resets)[0]
        output[3].sum().backward()  # steps after 3 send nothing
    (found,) = looking.report().layers
    norms = found.weight_gradients[0].norms
    assert (norms[:4] > 0).all() and (norms[4:] == 0).all()


def test_gates_and_health_of_a_call():
    torch.manual_seed(0)
    layer = ostinato.LSTM(3, 6, **DOUBLE)
    x = torch.randn(9, 4, 3, **DOUBLE)
    (found,) = watched(layer, x)
    _, _, (h, c) = layer(x, return_states=True)
    before = [torch.cat([torch.zeros(1, 4, 6, **DOUBLE), s[0, :-1]]) for s in (h, c)]
    names = [getattr(layer, n) for n in layer._weight_names()[0]]
    nodes = lens.named_values(layer.cell)
    values = lens.evaluate(layer.cell, names, x, before, list(nodes.gates.values()))
    assert [g.name for g in found.gates] == list(nodes.gates) == ["i", "f", "g", "o"]
    for gate, v in zip(found.gates, values):
        check(
            "outputs",
            {"unit": gate.mean_per_unit, "step": gate.mean_per_step},
            {"unit": v.mean((0, 1)).detach(), "step": v.mean((1, 2)).detach()},
        )
        low, high = (-0.9, 0.9) if gate.activation == "tanh" else (0.1, 0.9)
        assert torch.equal(gate.low_share_per_unit, (v < low).double().mean((0, 1)))
        assert torch.equal(gate.high_share_per_unit, (v > high).double().mean((0, 1)))
        slope = (v * (1 - v)) if gate.activation == "sigmoid" else 1 - v * v
        assert gate.mean_square_slope == pytest.approx(slope.square().mean().item())
        assert gate.histogram_shares.sum().item() == pytest.approx(1)
        assert gate.quantiles_per_step.shape == (3, 9) and (gate.quantiles_per_step.diff(dim=0) >= 0).all()
    for health, s in zip(found.health, (h, c)):
        check("outputs", {"": health.rms_per_step}, {"": s[0].square().mean((1, 2)).sqrt().detach()})
        assert not health.dead_units.any() and health.denormal_share == 0 and health.first_step_not_finite is None


def test_without_a_backward_pass_gradients_are_absent_and_the_rest_is_there():
    layer = ostinato.LSTM(3, 6).eval()
    with lens.watch(layer) as looking, torch.no_grad():
        layer(torch.randn(9, 4, 3))
    (found,) = looking.report().layers
    assert found.gradient is None and "no backward pass" in found.gradient_absent and found.probe is None
    assert len(found.gates) == 4 and not found.training and found.weight_gradients == ()
    assert "layer 0" in looking.report().table() and looking.report().to_json()


def test_several_calls_of_a_layer_in_one_step():
    layer = ostinato.LSTM(3, 6)
    with lens.watch(layer) as looking:
        _, state = layer(torch.randn(5, 4, 3))
        output, _ = layer(torch.randn(7, 4, 3), state)
        output[-1].sum().backward()
    first, second = looking.report().layers
    assert (first.call, second.call) == (0, 1) and (first.steps, second.steps) == (5, 7)
    # What leaves the second call at its start arrives at the end of the first.
    assert first.gradient.norms[:, -1].min() > 0
    assert first.probe.reach_steps(0.0).tolist() == [4] * 4


def test_where_something_is_no_longer_finite():
    layer = ostinato.GRU(3, 6)
    x = torch.randn(9, 4, 3)
    x[5, 2, 1] = math.nan
    with lens.watch(layer) as looking:
        layer(x)[0].sum().backward()
    (found,) = looking.report().layers
    assert found.health[0].first_step_not_finite == 5
    assert found.gradient.step_not_finite == 7  # at the last step stands what the loss sends, and no more


def test_updates_are_told_gate_by_gate():
    torch.manual_seed(0)
    layer = ostinato.LSTM(3, 6)
    before = layer.weight_hh_l0.detach().clone()
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.5)
    with lens.watch(layer) as looking:
        layer(torch.randn(9, 4, 3))[0].sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    report = looking.report()
    weights = {(w.parameter, w.gate): w for w in report.weights}
    part = weights["weight_hh_l0", "f"]
    assert part.norm == pytest.approx(before[6:12].norm().item())
    moved = (layer.weight_hh_l0.detach() - before)[6:12].norm().item()
    assert part.update_norm == pytest.approx(moved)
    assert part.gradient_norm == pytest.approx(moved / 0.5, rel=1e-4)
    assert report.clipping.rate == 0 and report.clipping.steps == 1


def test_what_cannot_be_watched_is_refused_or_said():
    with pytest.raises(ostinato.errors.InputError, match="model must be a torch module, got int"):
        lens.watch(3)
    with pytest.raises(ostinato.errors.InputError, match="holds a recurrent layer of ostinato, got Linear without one"):
        lens.watch(nn.Linear(2, 2))
    layer = ostinato.LSTM(3, 6)
    with lens.watch(layer) as looking:
        pass
    with pytest.raises(ostinato.errors.InputError, match="left after a call of a recurrent layer, got none"):
        looking.report()
    with lens.watch(layer) as looking:
        layer(torch.randn(2, 1, 3))
    with pytest.raises(ostinato.errors.InputError, match="entered once, got a second time"), looking:
        pass
    with lens.watch(layer) as looking:
        torch.func.functional_call(layer, dict(layer.named_parameters()), torch.randn(2, 1, 3))
        torch.func.vmap(lambda x: layer(x)[0], in_dims=1)(torch.randn(2, 1, 3))
    assert "torch.func" in looking.report().layers[1].gradient_absent


def test_a_watch_inside_a_watch_of_another_model():
    outer, inner = ostinato.LSTM(3, 6), ostinato.GRU(3, 6)
    with lens.watch(outer) as first, lens.watch(inner) as second:
        outer(torch.randn(2, 1, 3))
        inner(torch.randn(2, 1, 3))
    assert first.report().layers[0].cell == "lstm" and second.report().layers[0].cell == "gru"
