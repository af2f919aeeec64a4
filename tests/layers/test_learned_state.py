"""Initial states that are learned: values and gradients against the plain reference, and everything a layer can do."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from layers.pairs import BATCH, FEATURES, HIDDEN, STEPS, named, parts
from ostinato.cells.reference import sequence
from ostinato.layers import torch_layers
from ostinato.lens import replay
from tolerance import check

CASES = [("gru", 0), ("lstm", 0), ("lstm_projected", 2), ("minlstm", 0)]


def build(cell="lstm", dtype=torch.float64, learn=True, **options):
    """A layer with random initial states, none of them the same."""
    torch.manual_seed(4)
    kind = getattr(ostinato, cell[3:]) if cell.startswith("nn.") else None
    given = {"dtype": dtype, "learn_initial_state": learn, **options}
    layer = kind(FEATURES, HIDDEN, **given) if kind else ostinato.Recurrent(cell, FEATURES, HIDDEN, **given)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if name.startswith("initial"):
                p.normal_()
    return layer


def draw(dtype=torch.float64, batch_first=False):
    shape = (BATCH, STEPS, FEATURES) if batch_first else (STEPS, BATCH, FEATURES)
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(6))


def weighted(tensors):
    return sum((t * torch.linspace(-1, 1.4, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in tensors)


def by_reference(layer, x, lengths):
    """Layers and directions put together by hand, each row alone, in plain torch: (output, final states)."""
    cell, directions = layer.cell, 1 + layer.bidirectional
    rows, ends = [], []
    for b, n in enumerate(lengths):
        y, finals = x[:n, b : b + 1], []
        for level in range(layer.num_layers):
            sides = []
            for suffix in ("", "_reverse")[:directions]:
                end = f"_l{level}{suffix}"
                start = [getattr(layer, f"initial_{s}{end}").unsqueeze(0) for s in cell.states]
                weights = [getattr(layer, name + end) for name in cell.parameters(1, 1)]
                output, final, _ = sequence(cell, y, start, weights, reverse=bool(suffix))
                sides.append(output)
                finals.append(final)
            y = torch.cat(sides, -1)
        rows.append(torch.cat([y, y.new_zeros(len(x) - n, 1, y.shape[-1])]))
        ends.append([torch.stack(s) for s in zip(*finals, strict=True)])
    states = tuple(torch.cat(s, 1) for s in zip(*ends, strict=True))
    return torch.cat(rows, 1), states if len(states) > 1 else states[0]


def results(call, layer, x):
    """(outputs by name, gradients by name) of a call of the layer that returns (output, state)."""
    layer.zero_grad()
    leaf = x.clone().requires_grad_()
    output, state = call(leaf)
    weighted([output, *parts(state)]).backward()
    return named(output, state), {"x": leaf.grad, **{n: p.grad for n, p in layer.named_parameters()}}


@pytest.mark.parametrize("lengths", [None, [3, 5, 0]])
@pytest.mark.parametrize("cell, proj", CASES)
def test_values_and_gradients_are_the_references(cell, proj, lengths):
    layer = build(cell, num_layers=2, bidirectional=True, proj_size=proj)
    x, known = draw(), lengths or [STEPS] * BATCH
    found = results(lambda x: layer(x, lengths=lengths), layer, x)
    expected = results(lambda x: by_reference(layer, x, known), layer, x)
    check("outputs", found[0], expected[0])
    check("gradients", found[1], expected[1])
    starts = [g for n, g in found[1].items() if n.startswith("initial")]
    assert len(starts) == 4 * len(layer.cell.states) and all(g.abs().min() > 0 for g in starts)


@pytest.mark.parametrize("cell", ["nn.LSTM", "gru"])
def test_every_layout_starts_there(cell):
    layer = build(cell, num_layers=2, bidirectional=True)
    twin = copy.deepcopy(layer)
    twin.batch_first = True
    x, lengths = draw(), [2, 5, 4]
    output, state = by_reference(layer, x, lengths)
    found, last = twin(x.transpose(0, 1), lengths=lengths)
    check("outputs", named(found.transpose(0, 1), last), named(output, state))
    packed, last = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    expected = pack_padded_sequence(output, lengths, enforce_sorted=False).data
    check("outputs", named(packed.data, last), named(expected, state))
    alone, last = layer(x[:2, 0])
    expected = tuple(s[:, 0] for s in parts(state))
    check("outputs", named(alone, last), named(output[:2, 0], expected if len(expected) > 1 else expected[0]))
    assert layer(x[:, :0])[0].shape[:2] == (STEPS, 0)


@pytest.mark.parametrize("cell", ["nn.GRU", "lstm"])
def test_steps_in_a_row_are_the_sequence(cell):
    layer, x = build(cell, num_layers=2), draw()

    def stepped(x):
        state, outputs = None, []
        for x_t in x:
            y, state = layer.step(x_t, state)
            outputs.append(y)
        return torch.stack(outputs), state

    found, expected = (results(call, layer, x) for call in (stepped, lambda x: by_reference(layer, x, [STEPS] * BATCH)))
    check("outputs", found[0], expected[0])
    check("gradients", found[1], expected[1])


@pytest.mark.parametrize("cell", ["nn.LSTM", "gru"])
def test_a_given_state_comes_before_the_learned_one(cell):
    layer, plain, x = build(cell), build(cell, learn=False), draw()
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if not k.startswith("initial")})
    state = tuple(torch.randn(1, BATCH, HIDDEN, dtype=x.dtype) for _ in layer.cell.states)
    state = state if len(state) > 1 else state[0]
    assert torch.equal(layer(x, state)[0], plain(x, state)[0])
    assert not torch.equal(layer(x)[0], plain(x)[0])
    layer(x, state)[0].sum().backward()
    assert layer.initial_h_l0.grad is None


@pytest.mark.parametrize("cell", ["nn.LSTM", "gru"])
def test_without_gradients_the_same_numbers_and_direct_calls_where_they_serve(cell, monkeypatch):
    layer, plain, x = build(cell), build(cell, learn=False), draw()
    output, state = layer(x)
    with torch.no_grad():
        found, last = layer(x)
        assert torch.equal(found, output) and all(map(torch.equal, parts(last), parts(state)))
        assert torch.equal(layer.step(x[0])[0], output[0])
        monkeypatch.setattr(ostinato.layers.base.Layer, "_checked", None)  # only direct calls are left
        assert plain(x)[0].shape == output.shape and layer(x, state)[0].shape == output.shape
        assert plain.step(x[0])[0].shape == output[0].shape


def test_first_values_names_and_shapes():
    layer = ostinato.LSTM(FEATURES, HIDDEN, 2, bidirectional=True, proj_size=2, learn_initial_state=True)
    own = {n: tuple(p.shape) for n, p in layer.named_parameters() if n.startswith("initial")}
    ends = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert own == {f"initial_h{e}": (2,) for e in ends} | {f"initial_c{e}": (HIDDEN,) for e in ends}
    assert not any(layer.get_parameter(name).any() for name in own)
    assert list(dict(layer.named_parameters()))[: -len(own)] == list(
        dict(nn.LSTM(4, 6, 2, bidirectional=True, proj_size=2).named_parameters())
    )
    layer.flatten_parameters()
    assert len(layer.all_weights) == 4 and all(len(group) == 5 for group in layer.all_weights)


def test_state_dicts_are_strict_about_them():
    learned, plain = build("nn.LSTM"), build("lstm", learn=False)
    with pytest.raises(RuntimeError, match='Unexpected key.*"initial_h_l0", "initial_c_l0"'):
        plain.load_state_dict(learned.state_dict())
    with pytest.raises(RuntimeError, match='Missing key.*"initial_h_l0", "initial_c_l0"'):
        learned.load_state_dict(nn.LSTM(FEATURES, HIDDEN).state_dict())
    before = learned.initial_c_l0.clone()
    learned.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(learned.initial_c_l0, before) and torch.equal(learned.weight_hh_l0, plain.weight_hh_l0)
    other = ostinato.Recurrent("lstm", FEATURES, HIDDEN, dtype=torch.float64, learn_initial_state=True)
    other.load_state_dict(learned.state_dict())
    assert torch.equal(other(draw())[0], learned(draw())[0])


@pytest.mark.parametrize("cell", ["nn.GRU", "lstm"])
def test_copies_files_and_number_types(cell):
    layer, x = build(cell, torch.float32, num_layers=2), draw(torch.float32)
    output = layer(x)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], output)
    with torch.autocast("cpu", torch.bfloat16):
        assert (layer(x)[0].float() - output).abs().max() < 0.05
    assert (layer.to(torch.bfloat16)(x.bfloat16())[0].float() - output).abs().max() < 0.05
    wide = layer.double()(x.double())[0]
    assert wide.dtype == torch.float64


@pytest.mark.parametrize("cell", ["nn.LSTM", "gru"])
def test_compile_and_export_in_one_graph(cell):
    torch._dynamo.reset()
    layer, x = build(cell, bidirectional=True), draw()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found, expected = results(compiled, layer, x), results(layer, layer, x)
    check("outputs", found[0], expected[0])
    check("gradients", found[1], expected[1])
    program = torch.export.export(layer, (x,))
    check("outputs", named(*program.module()(x)), named(*layer(x)))


def test_gradients_of_each_sample_and_of_gradients():
    layer, x = build("gru"), draw()
    parameters = {n: p.detach() for n, p in layer.named_parameters()}

    def loss(parameters, one):
        return torch.func.functional_call(layer, parameters, (one,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 1))(parameters, x)
    for row in range(BATCH):
        expected = torch.autograd.grad(layer(x[:, row])[0].square().sum(), list(layer.parameters()))
        check("gradients", {n: g[row] for n, g in found.items()}, dict(zip(found, expected, strict=True)))

    def started(h):
        return torch.func.functional_call(layer, {"initial_h_l0": h}, (x[:2],))

    h = torch.randn(HIDDEN, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(started, h) and torch.autograd.gradgradcheck(started, h)


@pytest.mark.parametrize("cell", ["nn.LSTM", "nn.GRU", "nn.RNN"])
def test_torchs_own_implementation_starts_there_too(cell, monkeypatch):
    layer, x = build(cell, num_layers=2, bidirectional=True), draw()
    expected = [results(lambda x, n=n: layer(x, lengths=n), layer, x) for n in (None, [3, 0, 5])]
    monkeypatch.setattr(torch_layers, "_machine_has_kernels", lambda: False)
    monkeypatch.setattr(torch_layers.backends, "compiled", lambda x: False)
    monkeypatch.setattr(torch_layers.Layer, "_layers", None)
    found = [results(lambda x, n=n: layer(x, lengths=n), layer, x) for n in (None, [3, 0, 5])]
    for a, b in zip(found, expected, strict=True):
        check("outputs", a[0], b[0])
        check("gradients", a[1], b[1])


def test_frozen_ones_get_no_gradient_and_the_optimiser_moves_the_others():
    layer, x = build("nn.GRU"), draw()
    layer.requires_grad_(False)
    layer.initial_h_l0.requires_grad_()
    optimiser = torch.optim.SGD([layer.initial_h_l0], lr=0.05)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = layer(x)[0][0].square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0] and layer.weight_hh_l0.grad is None


@pytest.mark.parametrize("cell", ["nn.LSTM", "gru"])
def test_the_lens_sees_the_same_start(cell):
    layer, x = build(cell, num_layers=2, bidirectional=True), draw()
    for given in (x, x[:, 0]):
        found = replay(layer, given)
        for run, end in zip(found, ["_l0", "_l0_reverse", "_l1", "_l1_reverse"], strict=True):
            for name, start in zip(layer.cell.states, run.initial_states, strict=True):
                expected = getattr(layer, f"initial_{name}{end}").detach().expand(start.shape)
                assert torch.equal(start, expected) and start.abs().min() > 0
