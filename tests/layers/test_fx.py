"""Layers under torch.fx: one node each, as torch.nn's are."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import ostinato
from ostinato.errors import InputError


class Model(nn.Module):
    """A layer with two directions and lengths, one with a state in a list, and single steps of one in a submodule."""

    def __init__(self):
        super().__init__()
        self.encoder = ostinato.LSTM(3, 4, bidirectional=True)
        self.listed = nn.ModuleList([ostinato.GRU(8, 4, batch_first=True)])
        self.deep = nn.ModuleDict({"steps": ostinato.Recurrent("mgu", 4, 5)})
        parametrizations.weight_norm(self.deep["steps"], "weight_hh_l0")

    def forward(self, x, lengths, state):
        y = self.encoder(x, lengths=lengths)[0]
        found = self.listed[0](y.transpose(0, 1), state, return_states=True)
        first = self.deep["steps"].step(found[0][:, 0])
        second = self.deep["steps"].step(found[0][:, 1], first[1])
        return found[2], second[0], second[1]


def arguments(steps=5, rows=2):
    return torch.randn(steps, rows, 3), torch.tensor([steps, 2] * (rows // 2)), torch.randn(1, rows, 4)


def test_a_traced_model_computes_the_same_with_the_same_parameters():
    torch.manual_seed(0)
    model = Model()
    traced = torch.fx.symbolic_trace(model)
    traced.graph.lint()
    kinds = [(node.op, node.target) for node in traced.graph.nodes if node.op in ("call_module", "call_method")]
    assert kinds == [
        ("call_module", "encoder"),
        ("call_method", "transpose"),
        ("call_module", "listed.0"),
        ("call_method", "step"),
        ("call_method", "step"),
    ]
    assert traced.state_dict().keys() == model.state_dict().keys()
    assert {id(p) for p in traced.parameters()} == {id(p) for p in model.parameters()}
    for given in (arguments(), arguments(9, 4)):
        for module in (traced, torch.fx.symbolic_trace(traced), copy.deepcopy(traced)):
            assert all(torch.equal(a, b) for a, b in zip(module(*given), model(*given), strict=True))
    sum(t.sum() for t in traced(*arguments())).backward()
    assert all(p.grad is not None for p in model.encoder.parameters())


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_converted_model_has_the_graph_of_torch_nn(kind):
    class Old(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = kind(3, 4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    torch.manual_seed(0)
    model, x = Old(), torch.randn(2, 5, 3)
    graph = str(torch.fx.symbolic_trace(model).graph)
    ostinato.convert(model)
    traced = torch.fx.symbolic_trace(model)
    assert str(traced.graph) == graph
    assert torch.equal(traced(x), model(x))


def test_hooks_run_with_the_layer_and_not_with_the_trace():
    model, x = nn.Sequential(ostinato.GRU(3, 4)), torch.randn(5, 2, 3)
    model[0].register_forward_hook(lambda layer, args, result: (2 * result[0], result[1]))
    traced = torch.fx.symbolic_trace(model)
    assert torch.equal(traced(x)[0], model(x)[0])


def test_results_are_unpacked():
    class Unpacking(nn.Module):
        def __init__(self, rnn):
            super().__init__()
            self.rnn = rnn

        def forward(self, x):
            y, (h, c) = self.rnn(x)
            return y, h, c

    torch.manual_seed(0)
    model, x = Unpacking(ostinato.LSTM(3, 4)), torch.randn(5, 2, 3)
    traced = torch.fx.symbolic_trace(model)
    assert str(traced.graph) == str(torch.fx.symbolic_trace(Unpacking(nn.LSTM(3, 4))).graph)
    assert all(torch.equal(a, b) for a, b in zip(traced(x), model(x), strict=True))


@pytest.mark.parametrize("layer", [ostinato.LSTM(3, 4), ostinato.Recurrent("mgu", 3, 4)])
def test_a_layer_by_itself_is_refused(layer):
    message = (
        rf"{type(layer).__name__}: torch.fx's trace must be of a model, got the layer by itself. "
        r"Trace a model that holds the layer, of which it becomes one node."
    )
    with pytest.raises(InputError, match=message):
        torch.fx.symbolic_trace(layer)


def test_leaves_are_what_torch_takes_for_them():
    """torch.fx.Tracer.is_leaf_module asks the instance for the name of its module. The class keeps its own."""
    tracer = torch.fx.Tracer()
    layer = ostinato.LSTM(3, 4)
    for own in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert tracer.is_leaf_module(own, "own"), "layers would be traced into, and fail"
        assert type(own).__module__ == "ostinato.layers.torch_layers"
