"""Recurrent, RNN, GRU and LSTM: parameters, layers and directions, dropout, single steps, states after every step."""

import copy
import pickle

import pytest
import torch
from torch import nn, tanh
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from layers.pairs import BATCH, FEATURES, HIDDEN, PAIRS, STEPS, named, pair, parts
from ostinato.cells import catalogue
from ostinato.cells.reference import sequence
from ostinato.errors import InputError
from tolerance import check


@pytest.mark.parametrize("kind, options", PAIRS)
def test_the_same_seed_gives_torchs_parameters(kind, options):
    for more in ({}, {"num_layers": 2, "bidirectional": True, "bias": False}):
        torch.manual_seed(5)
        theirs = getattr(nn, kind)(FEATURES, HIDDEN, **options, **more)
        torch.manual_seed(5)
        ours = getattr(ostinato, kind)(FEATURES, HIDDEN, **options, **more)
        torch.manual_seed(5)
        cell = {"tanh": "elman", "relu": "elman_relu"}[options.get("nonlinearity", "tanh")] if kind == "RNN" else kind
        name = "lstm_projected" if "proj_size" in options else cell.lower()
        general = ostinato.Recurrent(name, FEATURES, HIDDEN, proj_size=options.get("proj_size", 0), **more)
        for layer in (ours, general):
            assert [n for n, _ in layer.named_parameters()] == [n for n, _ in theirs.named_parameters()]
            for a, b in zip(layer.parameters(), theirs.parameters(), strict=True):
                assert torch.equal(a, b)
        assert repr(ours) == repr(theirs) and isinstance(ours, nn.RNNBase)
        assert repr(general) == f"Recurrent({name}, {theirs.extra_repr()})"


def test_positional_arguments_stand_where_torch_has_them():
    assert repr(ostinato.RNN(3, 5, 2, "relu", False, True, 0.5, True)) == repr(
        nn.RNN(3, 5, 2, "relu", False, True, 0.5, True)
    )
    assert ostinato.RNN(3, 5, 2, "relu").nonlinearity == "relu"
    assert repr(ostinato.GRU(3, 5, 2, False, True, 0.5, True)) == repr(nn.GRU(3, 5, 2, False, True, 0.5, True))
    assert repr(ostinato.LSTM(3, 5, 2, False, True, 0.5, True, 2)) == repr(nn.LSTM(3, 5, 2, False, True, 0.5, True, 2))
    layer = ostinato.LSTM(3, 5, 1, True, False, 0.0, False, 0, "meta", torch.float64)
    assert layer.weight_ih_l0.device.type == "meta" and layer.weight_ih_l0.dtype == torch.float64


def test_hx_and_state_are_one_argument():
    h = torch.randn(1, BATCH, HIDDEN)
    x = torch.randn(STEPS, BATCH, FEATURES)
    for layer in (ostinato.GRU(FEATURES, HIDDEN), ostinato.Recurrent("gru", FEATURES, HIDDEN)):
        expected = layer(x, h)[0]
        assert torch.equal(layer(x, hx=h)[0], expected) and torch.equal(layer(x, state=h)[0], expected)
        assert not torch.equal(layer(x)[0], expected)
        with pytest.raises(InputError, match="state must be given once, got state and hx. hx is torch's name"):
            layer(x, state=h, hx=h)
    assert ostinato.GRU(FEATURES, HIDDEN)(input=x, hx=h)[0].shape == (STEPS, BATCH, HIDDEN)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_an_empty_batch(kind):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True)
    x = torch.zeros(STEPS, 0, FEATURES)
    check("outputs", named(*ours(x)), named(*theirs(x)))


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_layers_and_directions_of_every_cell_are_put_together_by_hand(name):
    torch.manual_seed(2)
    cell = catalogue()[name]
    layer = ostinato.Recurrent(
        cell, FEATURES, HIDDEN, num_layers=2, bidirectional=True, proj_size=2 * cell.projected, dtype=torch.float64
    )
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=torch.float64)
    start = [s.detach().abs() + 0.5 for s in parts(layer(x)[1])]
    found = named(*layer(x, tuple(start) if len(start) > 1 else start[0], return_states=True))
    y, finals, every = x, [], []
    for level in range(2):
        sides = []
        for k, suffix in ((2 * level, ""), (2 * level + 1, "_reverse")):
            names = cell.parameters(1, 1)
            weights = [getattr(layer, f"{n}_l{level}{suffix}") for n in names]
            output, final, histories = sequence(cell, y, [s[k] for s in start], weights, reverse=bool(suffix))
            sides.append(output)
            finals.append(final)
            every.append(histories)
        y = torch.cat(sides, -1)
    join = [tuple(torch.stack(s) for s in zip(*group, strict=True)) for group in (finals, every)]
    check("outputs", found, named(y, *join))


def test_a_function_of_ones_own_is_a_layer():
    def own(W, U, b, p, x, h):
        return tanh(W.h @ x + U.h @ h + b.h) * p.s

    layer = ostinato.Recurrent(own, FEATURES, HIDDEN, bias=False)
    assert {n: tuple(w.shape) for n, w in layer.named_parameters()} == {
        "weight_ih_l0": (6, 4),
        "weight_hh_l0": (6, 6),
        "p_s_l0": (6,),
    }
    x = torch.randn(STEPS, BATCH, FEATURES)
    output, state = layer(x)
    h = torch.zeros(BATCH, HIDDEN)
    for t in range(STEPS):
        h = tanh(x[t] @ layer.weight_ih_l0.T + h @ layer.weight_hh_l0.T) * layer.p_s_l0
    check("outputs", {"last": output[-1], "state": state[0]}, {"last": h, "state": h})
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert torch.equal(twin(x)[0], output) and repr(twin) == "Recurrent(own, 4, 6, bias=False)"


def test_first_values():
    torch.manual_seed(0)
    layer = ostinato.Recurrent("elman_prelu", FEATURES, 64, num_layers=2, bidirectional=True)
    for name, parameter in layer.named_parameters():
        if name.startswith("p_a"):
            assert (parameter == 0.25).all()
        else:
            assert 0.1 < parameter.abs().max() <= 1 / 8 and parameter.unique().numel() > 50
    with torch.no_grad():
        layer.p_a_l1_reverse.zero_()
    layer.reset_parameters()
    assert (layer.p_a_l1_reverse == 0.25).all()


def test_a_projection_is_as_wide_as_the_layer_unless_said_otherwise():
    layer = ostinato.Recurrent("lstm_projected", FEATURES, HIDDEN)
    assert layer.weight_hr_l0.shape == (HIDDEN, HIDDEN)
    assert layer(torch.zeros(STEPS, BATCH, FEATURES))[0].shape == (STEPS, BATCH, HIDDEN)


@pytest.mark.parametrize("kind, options", PAIRS)
def test_dropout_between_layers_is_torchs_draw_for_draw(kind, options):
    theirs, ours = pair(kind, num_layers=3, dropout=0.4, **options)
    x = torch.randn(STEPS, BATCH, FEATURES)
    for packed in (False, True):
        given = pack_padded_sequence(x, [5, 4, 2]) if packed else x
        results = []
        for layer in (theirs, ours):
            torch.manual_seed(9)
            output, state = layer(given)
            results.append(named(output.data if packed else output, state))
        check("outputs", results[1], results[0])
    torch.manual_seed(9)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval(), theirs.eval()
    check("outputs", named(*ours(x)), named(*theirs(x)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ostinato.LSTM(FEATURES, HIDDEN, 2, proj_size=2),
        lambda: ostinato.GRU(FEATURES, HIDDEN, 2, batch_first=True),
        lambda: ostinato.RNN(FEATURES, HIDDEN),
        lambda: ostinato.Recurrent("slstm", FEATURES, HIDDEN, 2),
        lambda: ostinato.Recurrent("mingru", FEATURES, HIDDEN, 2, batch_first=True),
    ],
)
def test_steps_in_a_row_have_the_bits_of_the_sequence(make):
    torch.manual_seed(0)
    layer = make()
    time = int(layer.batch_first)
    x = torch.randn(STEPS, BATCH, FEATURES)
    output, last = layer(x.transpose(0, time))
    state, outputs, single = None, [], None
    for t in range(STEPS):
        y, state = layer.step(x[t], state)
        outputs.append(y)
        y, single = layer.step(x[t, 1], single)
        assert torch.equal(y, outputs[-1][1])
    assert torch.equal(torch.stack(outputs, time), output)
    for a, b, c in zip(parts(state), parts(last), parts(single), strict=True):
        assert torch.equal(a, b) and torch.equal(a[:, 1], c)


def test_a_step_has_gradients():
    layer = ostinato.GRU(FEATURES, HIDDEN, dtype=torch.float64)
    x = torch.randn(BATCH, FEATURES, dtype=torch.float64, requires_grad=True)
    h = torch.randn(1, BATCH, HIDDEN, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *a: layer.step(*a), (x, h))


@pytest.mark.parametrize("batch_first", [False, True])
def test_states_after_every_step(batch_first):
    layer = ostinato.LSTM(FEATURES, HIDDEN, 2, bidirectional=True, batch_first=batch_first, proj_size=2)
    x = torch.randn(STEPS, BATCH, FEATURES)
    output, (h, c), (all_h, all_c) = layer(x.transpose(0, int(batch_first)), return_states=True)
    output = output.transpose(0, int(batch_first))
    assert all_h.shape == (4, STEPS, BATCH, 2) and all_c.shape == (4, STEPS, BATCH, HIDDEN)
    assert torch.equal(torch.cat([all_h[2], all_h[3]], -1), output)
    for every, final in ((all_h, h), (all_c, c)):
        assert torch.equal(every[::2, -1], final[::2]) and torch.equal(every[1::2, 0], final[1::2])
    _, _, (alone, _) = layer(x[:, 0], return_states=True)
    assert torch.equal(alone, all_h[:, :, 0])


def test_states_after_every_step_have_gradients():
    layer = ostinato.Recurrent("lstm", 2, 3, 2, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x, return_states=True)[2], x)
