"""What users of nn.Module rely on: copies, files, weights that change, compile, export, samples, devices."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from layers.pairs import BATCH, FEATURES, HIDDEN, PAIRS, STEPS, named, pair, parts
from ostinato.layers import stack_call, torch_layers
from tolerance import check


@pytest.mark.parametrize("change", ["load", "assign", "double", "deepcopy", "tie", "pickle", "functional"])
def test_flat_weights_follow_the_parameters(change):
    theirs, ours = pair("LSTM", num_layers=2)
    other = ostinato.LSTM(FEATURES, HIDDEN, 2)
    if change == "load":
        ours.load_state_dict(other.state_dict())
    elif change == "assign":
        ours.load_state_dict(other.state_dict(), assign=True)
    elif change == "double":
        ours = ours.double()
    elif change == "deepcopy":
        ours = copy.deepcopy(ours)
    elif change == "pickle":
        ours = pickle.loads(pickle.dumps(ours))
    elif change == "functional":
        x = torch.zeros(STEPS, BATCH, FEATURES)
        torch.func.functional_call(ours, dict(other.named_parameters()), (x,))
    else:
        ours.weight_hh_l1 = ours.weight_hh_l0
        assert len(list(ours.parameters())) == 7
    ours.flatten_parameters()
    held = [w for group in ours.all_weights for w in group]
    assert len(held) == 8
    for a, b, name in zip(ours._flat_weights, held, ours._flat_weights_names, strict=True):
        assert a is b and b is getattr(ours, name)


def test_parametrizations_and_tied_weights_are_used():
    theirs, ours = pair("GRU", num_layers=2)
    x = torch.randn(STEPS, BATCH, FEATURES)
    for layer in (theirs, ours):
        layer.bias_ih_l1 = layer.bias_ih_l0
        torch.manual_seed(0)
        orthogonal(layer, "weight_hh_l0")
    for layer in (theirs, ours):
        with torch.no_grad():
            layer.parametrizations.weight_hh_l0.original.mul_(1.5)
    output, state = ours(x)
    check("outputs", named(output, state), named(*theirs(x)))
    output.sum().backward()
    assert ours.parametrizations.weight_hh_l0.original.grad.abs().sum() > 0
    twin = copy.deepcopy(ours)
    assert torch.equal(twin(x)[0], output)


@pytest.mark.parametrize(
    "make", [lambda: ostinato.LSTM(FEATURES, HIDDEN, 2), lambda: ostinato.Recurrent("mgu", 4, 6, 2)]
)
def test_saving_and_moving_a_whole_model(make, tmp_path):
    model = nn.Sequential(make())
    x = torch.randn(STEPS, BATCH, FEATURES)
    expected = model(x)[0]
    torch.save(model, tmp_path / "model.pt")
    restored = torch.load(tmp_path / "model.pt", weights_only=False)
    for twin in (restored, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(x)[0], expected)
    wide = model.double()(x.double())[0]
    assert wide.dtype == torch.float64
    check("outputs", {"y": wide.float()}, {"y": expected})
    half = model.to(torch.bfloat16)(x.bfloat16())[0]
    assert half.dtype == torch.bfloat16 and (half.float() - expected).abs().max() < 0.05


def test_loading_a_whole_layer_with_weights_only(tmp_path):
    """As with torch.nn's: refused in torch's words, until the classes are allowed by name."""
    layer, x = ostinato.LSTM(FEATURES, HIDDEN), torch.randn(STEPS, BATCH, FEATURES)
    torch.save(layer, tmp_path / "layer.pt")
    with pytest.raises(pickle.UnpicklingError, match="add_safe_globals"):
        torch.load(tmp_path / "layer.pt", weights_only=True)
    with torch.serialization.safe_globals([ostinato.LSTM]):
        assert torch.equal(torch.load(tmp_path / "layer.pt", weights_only=True)(x)[0], layer(x)[0])
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    twin = ostinato.LSTM(FEATURES, HIDDEN)
    twin.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(twin(x)[0], layer(x)[0])


@pytest.mark.parametrize("make", [lambda: ostinato.RNN(4, 6), lambda: ostinato.Recurrent("mgu", 4, 6, 2)])
def test_flatten_parameters_changes_nothing(make):
    layer, x = make(), torch.randn(STEPS, BATCH, FEATURES)
    expected, addresses = layer(x)[0], [p.data_ptr() for p in layer.parameters()]
    assert layer.flatten_parameters() is None
    assert [p.data_ptr() for p in layer.parameters()] == addresses and torch.equal(layer(x)[0], expected)


def test_frozen_weights_and_inference():
    layer = ostinato.GRU(FEATURES, HIDDEN)
    x = torch.randn(STEPS, BATCH, FEATURES)
    expected = layer(x)[0]
    with torch.no_grad():
        assert not layer(x)[0].requires_grad
    with torch.inference_mode():
        assert torch.equal(layer(x)[0], expected)
    layer.weight_hh_l0.requires_grad_(False)
    layer(x)[0].sum().backward()
    assert layer.weight_hh_l0.grad is None and layer.weight_ih_l0.grad is not None
    layer.requires_grad_(False)
    assert not layer(x)[0].requires_grad
    assert layer(x.requires_grad_())[0].requires_grad


def test_new_weights_are_used_at_once():
    layer = ostinato.LSTM(FEATURES, HIDDEN)
    x = torch.randn(STEPS, BATCH, FEATURES)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
    before = layer(x)[0]
    before.sum().backward()
    optimiser.step()
    theirs = nn.LSTM(FEATURES, HIDDEN)
    theirs.load_state_dict(layer.state_dict())
    after = layer(x)[0]
    assert not torch.equal(after, before)
    check("outputs", {"y": after}, {"y": theirs(x)[0]})
    layer.weight_ih_l0.data.zero_()
    theirs.load_state_dict(layer.state_dict())
    check("outputs", {"y": layer(x)[0]}, {"y": theirs(x)[0]})


def test_nan_reaches_the_steps_after_it_and_its_own_row_only():
    layer = ostinato.GRU(FEATURES, HIDDEN)
    x = torch.randn(STEPS, BATCH, FEATURES)
    clean = layer(x)[0]
    x[2, 1, 0] = float("nan")
    output = layer(x)[0]
    assert output[2:, 1].isnan().all()
    assert torch.equal(output[:2], clean[:2]) and torch.equal(output[:, ::2], clean[:, ::2])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ostinato.LSTM(FEATURES, HIDDEN, 2, bidirectional=True, batch_first=True),
        lambda: ostinato.GRU(FEATURES, HIDDEN, bias=False),
        lambda: ostinato.Recurrent("slstm", FEATURES, HIDDEN, 2),
        lambda: pickle.loads(pickle.dumps(ostinato.Recurrent("janet", FEATURES, HIDDEN))),
    ],
)
def test_compile_without_a_graph_break(make):
    torch._dynamo.reset()
    layer = make()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(STEPS, BATCH, FEATURES)
    results = []
    for call in (layer, compiled):
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        output, state, states = call(leaf, return_states=True)
        (output.square().sum() + sum(s.sum() for s in parts(states))).backward()
        gradients = {"x": leaf.grad, **{n: w.grad for n, w in layer.named_parameters()}}
        results.append((named(output, state, states), gradients))
    check("outputs", results[1][0], results[0][0])
    check("gradients", results[1][1], results[0][1])


def test_lengths_in_any_form_stay_in_the_graph():
    torch._dynamo.reset()
    layer = ostinato.GRU(FEATURES, HIDDEN, batch_first=True)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(BATCH, STEPS, FEATURES)
    for lengths in ([1, 5, 0], torch.tensor([4, 4, 2], dtype=torch.int32), np.array([3, 0, 1])):
        found, expected = (call(x, lengths=lengths, return_states=True) for call in (compiled, layer))
        check("outputs", named(*found), named(*expected))
    one = compiled(x[0], lengths=3, resets=torch.arange(STEPS) == 1)
    check("outputs", named(*one), named(*layer(x[0], lengths=3, resets=torch.arange(STEPS) == 1)))


def test_a_traced_layer_leaves_spare_lines_to_our_own_operator(monkeypatch):
    """On a device where torch's layers would run, which know no lines that nobody has."""
    torch._dynamo.reset()
    layer, x, lengths = ostinato.LSTM(FEATURES, HIDDEN), torch.randn(STEPS, BATCH, FEATURES), torch.tensor([1, 4, 2])
    expected = layer(x, lengths=lengths)
    monkeypatch.setattr(torch_layers, "_runs_here", lambda x: False)
    found = torch.compile(layer, backend="aot_eager", fullgraph=True)(x, lengths=lengths)
    check("outputs", named(*found), named(*expected))


def test_export_has_one_node_a_layer_and_direction():
    layer = ostinato.LSTM(FEATURES, HIDDEN, 2, bidirectional=True)
    steps = torch.export.Dim("T", min=2, max=64)
    program = torch.export.export(layer, (torch.randn(STEPS, BATCH, FEATURES),), dynamic_shapes={"input": {0: steps}})
    calls = [n for n in program.graph.nodes if n.target == torch.ops.ostinato.sequence.default]
    assert len(calls) == 4
    x = torch.randn(STEPS + 4, BATCH, FEATURES)
    check("outputs", named(*program.module()(x)), named(*layer(x)))


def test_gradients_of_each_sample():
    layer = ostinato.LSTM(FEATURES, HIDDEN, 2, dtype=torch.float64)
    parameters = dict(layer.named_parameters())
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=torch.float64)

    def loss(parameters, one):
        return torch.func.functional_call(layer, parameters, (one,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 1))(parameters, x)
    for row in range(BATCH):
        expected = torch.autograd.grad(layer(x[:, row])[0].square().sum(), list(parameters.values()))
        check("gradients", {n: g[row] for n, g in found.items()}, dict(zip(found, expected, strict=True)))


@pytest.mark.parametrize("kind, options", PAIRS)
def test_a_device_without_kernels_runs_torchs_own(kind, options, monkeypatch):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3, **options)
    monkeypatch.setattr(torch_layers, "_machine_has_kernels", lambda: False)
    monkeypatch.setattr(torch_layers.backends, "compiled", lambda x: False)
    monkeypatch.setattr(torch_layers.Layer, "_layers", None)
    x = torch.randn(BATCH, STEPS, FEATURES)
    results = []
    for layer in (theirs, ours):
        torch.manual_seed(0)
        output, state = layer(x)
        packed, last = layer(pack_padded_sequence(x, [3, 5, 1], True, enforce_sorted=False))
        results.append(named(output, state, packed.data, last))
    check("outputs", results[1], results[0])
    ours.eval()
    output, state = ours(x, lengths=[3, 0, 5])
    monkeypatch.undo()
    check("outputs", named(output, state), named(*ours(x, lengths=[3, 0, 5])))


@pytest.mark.parametrize("kind, options", PAIRS)
def test_autocast_gives_torchs_number_types(kind, options):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, **options)
    x = torch.randn(STEPS, BATCH, FEATURES)
    with torch.autocast("cpu", torch.bfloat16):
        found = named(*ours(x))
        try:
            expected = named(*theirs(x))
        except RuntimeError as error:
            assert kind == "LSTM" and "primitive" in str(error)
            pytest.skip("torch.nn.LSTM has no bfloat16 on this processor")
    for name, b in expected.items():
        assert found[name].dtype == b.dtype, name
        assert (found[name].float() - b.float()).abs().max() < 0.05


def test_what_torch_jit_traces_leaves_nothing_in_caches():
    layer = ostinato.GRU(FEATURES, HIDDEN, dtype=torch.float64)
    x, t = torch.randn(2, STEPS, 3, FEATURES, dtype=torch.float64).unbind(0)
    before = stack_call._zeros.cache_info().currsize
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(layer, (x,), check_trace=False)
    assert stack_call._zeros.cache_info().currsize == before
    layer(x.new_zeros(STEPS, 5, FEATURES))
    torch.func.jvp(lambda x: layer(x)[0], (x,), (t,))


def test_forward_mode_through_layers_and_lengths():
    layer = ostinato.GRU(FEATURES, HIDDEN, 2, bidirectional=True, dtype=torch.float64)
    x, t = torch.randn(2, STEPS, BATCH, FEATURES, dtype=torch.float64).unbind(0)
    for lengths in (None, [2, 5, 0]):
        value, slope = torch.func.jvp(lambda x, n=lengths: layer(x, lengths=n)[0], (x,), (t,))
        near, far = (layer(x + e * t, lengths=lengths)[0] for e in (-1e-6, 1e-6))
        assert (slope - (far - near) / 2e-6).abs().max() < 1e-7 < slope.abs().max()
        check("outputs", {"y": value}, {"y": layer(x, lengths=lengths)[0]})


@pytest.mark.parametrize("rows", [4, 40, 70])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}], ids=["one direction", "both directions"])
def test_training_follows_a_call_of_the_same_sizes_in_inference_mode(rows, options):
    """Initial states of zeros are kept for the next call of their sizes; 40 rows of 600 units are more than 64 KiB."""
    layer = ostinato.LSTM(3, 600, **options)
    x = torch.randn(2, rows, 3)
    with torch.inference_mode():
        output = layer(x)[0].clone()
    trained = layer(x)[0]
    trained.sum().backward()
    assert torch.equal(trained.detach(), output)
    assert layer.weight_hh_l0.grad.abs().max() > 0
