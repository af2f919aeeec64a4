"""Features of torch × kinds of call, on whole layers, by values: a built-in cell and one of the user's own text.

torch.compile and torch.export are here for dense calls alone: with lengths or resets they do not trace yet.
"""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations

import ostinato
from layers.small import agree, loss
from ostinato.cells import Cell, catalogue

LENGTHS = torch.tensor([5, 0, 3])
RESETS = torch.zeros(5, 3, dtype=torch.bool)
RESETS[2, 0] = RESETS[0, 1] = RESETS[1, 2] = True
CALLS = {
    "dense": {},
    "lengths": {"lengths": LENGTHS},
    "resets": {"resets": RESETS},
    "both": {"lengths": LENGTHS, "resets": RESETS},
}
OWN = Cell.from_text(
    "def own(W, U, b, x, h):\n    g = sigmoid(W.g @ x + b.g)\n    return g * h + tanh(U.n @ (g * h))\n"
)


@pytest.fixture(params=list(CALLS))
def call(request):
    return CALLS[request.param]


@pytest.fixture(params=["gru", "own"])
def layer(request):
    torch.manual_seed(0)
    cell = OWN if request.param == "own" else catalogue()["gru"]
    options = {"bidirectional": True, "learn_initial_state": True, "dtype": torch.float64}
    return ostinato.Recurrent(cell, 4, 6, 2, **options)


def x():
    return torch.randn(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def gradients(layer, x, call):
    return torch.autograd.grad(loss([layer(x, **call)[0]]), list(layer.parameters()))


def test_vmap(layer, call):
    several = torch.stack([x(), 2 * x()])
    found = vmap(lambda a: layer(a, **call)[0])(several)
    agree(list(found.detach()), [layer(a, **call)[0].detach() for a in several])


def test_jvp(layer, call):
    direction = torch.randn_like(x())
    _, slope = jvp(lambda a: layer(a, **call)[0], (x(),), (direction,))
    ahead, behind = (layer(x() + e * direction, **call)[0] for e in (1e-6, -1e-6))
    torch.testing.assert_close(slope, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-8)


def test_gradients_of_each_sample(layer, call):
    names = dict(layer.named_parameters())
    several = torch.stack([x(), -x()])

    def total(parameters, one):
        return loss([functional_call(layer, parameters, (one,), call)[0]])

    found = vmap(grad(total), in_dims=(None, 0))(names, several)
    for k, one in enumerate(several):
        agree([g[k] for g in found.values()], gradients(layer, one, call), gradients=True)


def test_double_backward(layer, call):
    given = x().requires_grad_()
    (first,) = torch.autograd.grad(loss([layer(given, **call)[0]]), given, create_graph=True)
    (second,) = torch.autograd.grad(loss([first]), given)

    def slope(at):
        at = at.requires_grad_()
        return loss([torch.autograd.grad(loss([layer(at, **call)[0]]), at)[0]])

    direction = torch.randn_like(x())
    expected = (slope(x() + 1e-5 * direction) - slope(x() - 1e-5 * direction)) / 2e-5
    torch.testing.assert_close((second * direction).sum(), expected, rtol=1e-6, atol=1e-8)


def test_autocast(layer, call):
    layer, given = layer.float(), x().float()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(given, **call)[0]
    torch.testing.assert_close(found.float(), layer(given, **call)[0], rtol=0, atol=2e-2)


def test_a_weight_shared_by_two_layers(layer, call):
    names = [name for name, _ in layer.named_parameters()]
    both = ("weight_hh_l0", "weight_hh_l1")
    with torch.no_grad():
        layer.weight_hh_l1.copy_(layer.weight_hh_l0)
    apart = dict(zip(names, gradients(layer, x(), call), strict=True))
    layer.weight_hh_l1 = layer.weight_hh_l0
    loss([layer(x(), **call)[0]]).backward()
    agree([layer.weight_hh_l0.grad], [sum(apart[name] for name in both)], gradients=True)


@pytest.mark.parametrize("kind", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrizations(layer, call, kind):
    kind(layer.eval(), "weight_hh_l0")
    layer.eval()
    plain = ostinato.Recurrent(layer.cell, 4, 6, 2, bidirectional=True, learn_initial_state=True, dtype=torch.float64)
    own = {name: p for name, p in layer.state_dict().items() if "parametrizations" not in name}
    plain.load_state_dict({**own, "weight_hh_l0": layer.weight_hh_l0.detach()})
    agree([layer(x(), **call)[0]], [plain(x(), **call)[0]])
    loss([layer(x(), **call)[0]]).backward()
    held = layer.parametrizations.weight_hh_l0
    source = held.original1 if kind is parametrizations.weight_norm else held.original
    names = [name for name, _ in plain.named_parameters()]
    arrived = dict(zip(names, gradients(plain, x(), call), strict=True))["weight_hh_l0"]
    (expected,) = torch.autograd.grad(layer.weight_hh_l0, source, arrived)
    agree([source.grad], [expected], gradients=True)


@pytest.mark.parametrize("layer", ["own"], indirect=True)
def test_compile_and_export_of_dense_calls(layer):
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    auto = torch.export.Dim.AUTO
    program = torch.export.export(layer, (x(),), dynamic_shapes={"x": {0: auto, 1: auto}}, strict=False).module()
    for given in (x(), x()[:3, :2]):
        agree([compiled(given)[0], program(given)[0]], [layer(given)[0]] * 2)


def test_a_layer_that_is_not_used_has_no_gradient():
    model = nn.ModuleList([ostinato.GRU(4, 6), ostinato.GRU(4, 6)])
    loss([model[0](x().float(), lengths=LENGTHS)[0]]).backward()
    assert all(p.grad is not None for p in model[0].parameters())
    assert all(p.grad is None for p in model[1].parameters())
