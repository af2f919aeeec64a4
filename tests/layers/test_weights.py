"""state_dicts: both ways between torch.nn and ours, through files, and between orders of gates."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn, sigmoid, tanh
from torch.nn.utils.parametrizations import weight_norm

import ostinato
from ostinato.layers.parameters import gate_record
from tolerance import check

X = (5, 3, 4)
OPTIONS = [
    ("RNN", "elman", {}),
    ("GRU", "gru", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", "lstm", {"bias": False, "num_layers": 2}),
    ("LSTM", "lstm_projected", {"proj_size": 2, "bidirectional": True}),
]


@ostinato.cell(gates="o c f i", name="lstm")
def turned(W, U, b, d, x, h, m):
    """The LSTM with its gates stacked in another order, and c for torch's g."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    c = tanh(W.c @ x + b.c + U.c @ h + d.c)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    m = f * m + i * c
    return o * tanh(m), m


@ostinato.cell(gates="g i f o")
def lstm_gifo(W, U, b, d, x, h, c):
    """The LSTM with its gates stacked in another order."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = f * c + i * g
    return o * tanh(c), c


@pytest.mark.parametrize("kind, cell, options", OPTIONS)
def test_weights_move_between_all_three(kind, cell, options):
    x = torch.randn(*X)

    def made():
        return [
            getattr(nn, kind)(4, 6, **options),
            getattr(ostinato, kind)(4, 6, **options),
            ostinato.Recurrent(cell, 4, 6, **options),
        ]

    for giver in made():
        for taker in made():
            assert not torch.equal(taker.weight_ih_l0, giver.weight_ih_l0)
            taker.load_state_dict(giver.state_dict(), strict=True)
            check("outputs", {"y": taker(x)[0]}, {"y": giver(x)[0]})


@pytest.mark.parametrize("kind, cell, options", OPTIONS)
def test_the_keys_are_torchs_and_nothing_else(kind, cell, options):
    theirs = getattr(nn, kind)(4, 6, **options).state_dict()
    for layer in (getattr(ostinato, kind)(4, 6, **options), ostinato.Recurrent(cell, 4, 6, **options)):
        ours = layer.state_dict()
        assert [(k, v.shape) for k, v in ours.items()] == [(k, v.shape) for k, v in theirs.items()]


def test_missing_and_unexpected_keys_are_torchs_message():
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias_ih_l0", "bias_hh_l0"'):
        ostinato.GRU(4, 6).load_state_dict(ostinato.GRU(4, 6, bias=False).state_dict())
    with pytest.raises(RuntimeError, match=r"size mismatch for weight_hh_l0: copying a param with shape"):
        ostinato.GRU(4, 6).load_state_dict(ostinato.GRU(4, 7).state_dict())


def test_the_order_of_gates_is_in_the_metadata():
    model = nn.ModuleDict({"a": ostinato.LSTM(4, 6), "b": nn.Sequential(ostinato.Recurrent("lstm_peephole", 4, 6))})
    metadata = model.state_dict()._metadata
    order = ["i", "f", "g", "o"]
    assert metadata["a"]["gates"] == {"W": order, "U": order, "b": order, "d": order}
    assert metadata["b.0"]["gates"] == {"W": order, "U": order, "b": order}
    assert metadata["a"]["version"] == nn.LSTM(4, 6).state_dict()._metadata[""]["version"]


@pytest.mark.parametrize("weights_only", [True, False])
def test_gates_are_permuted_by_name_through_a_file(weights_only, tmp_path):
    giver = nn.Sequential(ostinato.LSTM(4, 6, 2, bidirectional=True))
    torch.save(giver.state_dict(), tmp_path / "weights.pt")
    saved = torch.load(tmp_path / "weights.pt", weights_only=weights_only)
    taker = nn.Sequential(ostinato.Recurrent(lstm_gifo, 4, 6, 2, bidirectional=True))
    before = {k: v.clone() for k, v in saved.items()}
    taker.load_state_dict(saved)
    x = torch.randn(*X)
    check("outputs", {"y": taker(x)[0]}, {"y": giver(x)[0]})
    assert not torch.equal(taker[0].weight_ih_l0, giver[0].weight_ih_l0)
    assert all(torch.equal(saved[k], v) for k, v in before.items())
    back = nn.Sequential(ostinato.Recurrent("lstm", 4, 6, 2, bidirectional=True))
    back.load_state_dict(taker.state_dict())
    assert all(torch.equal(v, before[k]) for k, v in back.state_dict().items())


def test_a_size_that_does_not_fit_is_torchs_message_also_in_another_order():
    with pytest.raises(RuntimeError, match="size mismatch for weight_ih_l0"):
        ostinato.Recurrent(lstm_gifo, 4, 6).load_state_dict(ostinato.LSTM(4, 7).state_dict())


def test_other_gates_are_refused_with_the_way_out():
    giver, taker = ostinato.Recurrent(turned, 4, 6), ostinato.Recurrent("lstm", 4, 6)
    before = taker.weight_ih_l0.clone()
    message = (
        r"Recurrent.load_state_dict: state_dict must be weights of the gates i f g o for W, as in the cell lstm, "
        r"got o c f i. Load into a layer whose equations name the same gates. .* a dict\(state_dict\) without "
        r"the entry gate_order._extra_state"
    )
    with pytest.raises(RuntimeError, match=message):
        taker.load_state_dict(giver.state_dict())
    assert torch.equal(taker.weight_ih_l0, before)
    with pytest.raises(RuntimeError, match=message):
        taker.load_state_dict(dict(giver.state_dict()))
    taker.load_state_dict({k: v for k, v in giver.state_dict().items() if k != "gate_order._extra_state"})
    assert torch.equal(taker.weight_ih_l0, giver.weight_ih_l0)


def test_parametrized_weights_in_another_order_are_refused():
    giver, taker = ostinato.Recurrent("lstm", 4, 6), ostinato.Recurrent(lstm_gifo, 4, 6)
    for layer in (giver, taker):
        weight_norm(layer, "weight_hh_l0")
    message = r"state_dict must be weights with the gates in this cell's order \(g i f o\), got parametrizations"
    with pytest.raises(RuntimeError, match=message):
        taker.load_state_dict(giver.state_dict())


def test_a_file_without_metadata_is_taken_in_the_cells_own_order(tmp_path):
    giver, taker = ostinato.LSTM(4, 6), nn.LSTM(4, 6)
    save_file(giver.state_dict(), tmp_path / "weights.safetensors")
    taker.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    ostinato.Recurrent("lstm", 4, 6).load_state_dict(load_file(tmp_path / "weights.safetensors"))
    x = torch.randn(*X)
    check("outputs", {"y": giver(x)[0]}, {"y": taker(x)[0]})


def test_vectors_travel_by_their_own_names():
    giver, taker = ostinato.Recurrent("lstm_peephole", 4, 6), ostinato.Recurrent("lstm_peephole", 4, 6)
    assert [k for k in giver.state_dict() if k.startswith("p_")] == ["p_i_l0", "p_f_l0", "p_o_l0"]
    taker.load_state_dict(giver.state_dict())
    x = torch.randn(*X)
    assert torch.equal(taker(x)[0], giver(x)[0])


def test_the_record_names_the_gates_of_each_stacked_parameter():
    cells = ostinato.cells
    assert gate_record(cells.mingru) == {"W": ["z", "n"], "b": ["z", "n"]}
    assert gate_record(cells.lstm_projected.without_bias()) == {
        "W": ["i", "f", "g", "o"],
        "U": ["i", "f", "g", "o"],
        "V": ["h"],
    }
