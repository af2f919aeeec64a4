"""convert(model): what is swapped, what is kept, what is left and why."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal, spectral_norm

import ostinato
from ostinato.errors import InputError
from tolerance import check


class Tagger(nn.Module):
    """A model with recurrent layers at several depths, one of them used under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.LSTM(4, 6, bidirectional=True, batch_first=True)
        self.rest = nn.ModuleList([nn.GRU(12, 5, 2, batch_first=True, dropout=0.1), nn.Linear(5, 4)])
        self.again = self.first
        self.plain = nn.RNN(4, 3, nonlinearity="relu", batch_first=True)

    def forward(self, x):
        x = self.rest[1](self.rest[0](self.first(x)[0])[0])
        return self.plain(x + self.again(x)[0][..., :4])[0]


def test_a_model_computes_the_same_after_it():
    torch.manual_seed(0)
    model = Tagger().eval()
    x = torch.randn(3, 5, 4)
    expected = model(x)
    expected.square().sum().backward()
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    held, modules = dict(model.named_parameters()), dict(model.named_modules())
    report = ostinato.convert(model)
    assert report.swapped == {"first": "nn.LSTM", "rest.0": "nn.GRU", "plain": "nn.RNN"} and not report.left
    assert str(report) == (
        "first: nn.LSTM → ostinato.LSTM\nrest.0: nn.GRU → ostinato.GRU\nplain: nn.RNN → ostinato.RNN"
    )
    assert type(model.first) is ostinato.LSTM and type(model.rest[0]) is ostinato.GRU
    assert type(model.plain) is ostinato.RNN and model.again is model.first
    assert all(model.get_submodule(n) is m for n, m in modules.items())
    assert all(p is held[n] for n, p in model.named_parameters()) and not model.first.training
    model.zero_grad()
    found = model(x)
    found.square().sum().backward()
    check("outputs", {"y": found}, {"y": expected})
    check("gradients", {name: p.grad for name, p in model.named_parameters()}, before)
    assert torch.equal(model(x), found)


def test_an_optimiser_goes_on():
    model = nn.Sequential(nn.GRU(4, 6))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    ostinato.convert(model)
    before = model[0].weight_hh_l0.clone()
    model(torch.randn(5, 3, 4))[0].sum().backward()
    optimiser.step()
    assert not torch.equal(model[0].weight_hh_l0, before)


def test_the_model_itself_may_be_a_layer():
    layer = nn.LSTM(4, 6)
    elsewhere = {"same": layer}
    report = ostinato.convert(layer)
    assert type(layer) is ostinato.LSTM and elsewhere["same"] is layer
    assert str(report) == "the model itself: nn.LSTM → ostinato.LSTM"


def test_hooks_training_mode_and_number_type_stay():
    layer = nn.GRU(4, 6, dtype=torch.float64).eval()
    calls = []
    layer.register_forward_hook(lambda *_: calls.append("forward"))
    layer.register_forward_pre_hook(lambda *_: calls.append("before"))
    layer.weight_hh_l0.register_hook(lambda g: calls.append("gradient"))
    ostinato.convert(layer)
    output, _ = layer(torch.randn(5, 3, 4, dtype=torch.float64))
    output.sum().backward()
    assert calls == ["before", "forward", "gradient"]
    assert output.dtype == torch.float64 and not layer.training


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_what_is_converted_is_like_one_built_here(kind):
    layer = getattr(nn, kind)(4, 6, 2)
    ostinato.convert(layer)
    built = getattr(ostinato, kind)(4, 6, 2)
    assert vars(layer).keys() == vars(built).keys() and repr(layer) == repr(built)
    x = torch.randn(5, 3, 4)
    expected = layer(x)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.double().float()):
        assert type(twin) is type(built) and torch.equal(twin(x)[0], expected)


@pytest.mark.parametrize("wrap", [orthogonal, spectral_norm])
def test_parametrizations_stay(wrap):
    torch.manual_seed(0)
    layer = wrap(nn.GRU(4, 6), "weight_hh_l0").eval()
    x = torch.randn(5, 3, 4)
    with torch.no_grad():  # nn.GRU keeps the weights of its last call, with their graph, which no deepcopy passes
        expected = layer(x)[0]
    original = layer.parametrizations.weight_hh_l0.original
    report = ostinato.convert(layer)
    assert report.swapped == {"": "nn.GRU"} and isinstance(layer, ostinato.GRU)
    check("outputs", {"y": layer(x)[0]}, {"y": expected})
    assert layer.parametrizations.weight_hh_l0.original is original
    layer(x)[0].sum().backward()
    assert original.grad.abs().sum() > 0
    check("outputs", {"y": copy.deepcopy(layer)(x)[0]}, {"y": expected})
    parametrize.remove_parametrizations(layer, "weight_hh_l0")
    assert type(layer) is ostinato.GRU
    check("outputs", {"y": layer(x)[0]}, {"y": expected})


class Noisy(nn.GRU):
    """A subclass of torch's layer."""


class Own(nn.RNNBase):
    """A layer built straight on torch's base class."""


def test_what_is_left_is_reported_with_the_reason():
    patched = nn.GRU(4, 6)
    patched.forward = patched.forward
    model = nn.ModuleDict(
        {
            "noisy": Noisy(4, 6),
            "own": Own("GRU", 4, 6),
            "wrapped": orthogonal(Noisy(4, 6), "weight_hh_l0"),
            "scripted": torch.jit.script(nn.LSTM(4, 6)),
            "patched": patched,
            "cell": nn.LSTMCell(4, 6),
            "linear": nn.Linear(2, 2),
            "ours": ostinato.GRU(4, 6),
            "good": nn.RNN(4, 6),
        }
    )
    kinds = {name: type(module) for name, module in model.items()}
    report = ostinato.convert(model)
    assert report.swapped == {"good": "nn.RNN"}
    assert set(report.left) == {"noisy", "own", "wrapped", "scripted", "patched", "cell"}
    assert {n for n, m in model.items() if type(m) is not kinds[n]} == {"good"}
    text = str(report)
    for line in (
        "noisy: left, a subclass of nn.GRU, Noisy, may compute something else; derive it from ostinato.GRU",
        "own: left, a subclass of nn.RNNBase, Own, may compute something else; derive it from one of ostinato's layers",
        "wrapped: left, a subclass of nn.GRU, Noisy, may",
        "scripted: left, a scripted LSTM: scripts are compiled already",
        "patched: left, an nn.GRU whose forward was replaced on the instance",
        "cell: left, an nn.LSTMCell is one step; write the loop over steps as one ostinato.Recurrent",
    ):
        assert line in text
    assert "linear" not in text and "ours" not in text


def test_a_model_without_recurrent_layers():
    assert str(ostinato.convert(nn.Linear(2, 2))) == "no recurrent layer of torch.nn in this model"


def test_only_models_are_converted():
    with pytest.raises(InputError, match="convert: model must be a torch.nn.Module, got dict. "):
        ostinato.convert({})
