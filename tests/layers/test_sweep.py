"""Features of torch × kinds of call, on whole layers, by values.

A built-in cell, one of the user's own text, and one with options, whose masks are pinned.
"""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import functional_call, grad, jvp, vmap
from torch.nn.utils import parametrizations

import ostinato
from layers.small import agree, loss
from ostinato.cells import Cell, catalogue
from ostinato.errors import InputError
from ostinato.layers.dropout import pinned

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


OPTIONS = {
    "recurrent_dropout": 0.3,
    "zoneout": 0.2,
    "layer_norm": True,
    "weight_dropout": 0.4,
    "input_dropout": 0.3,
    "clip_state": 2.0,
}


@pytest.fixture(params=["gru", "own", "options"])
def layer(request):
    torch.manual_seed(0)
    options = {"bidirectional": True, "dtype": torch.float64}
    if request.param == "options":
        layer = ostinato.GRU(4, 6, 2, **options, **OPTIONS)
        with pinned(layer, 7):
            yield layer
    else:
        cell = OWN if request.param == "own" else catalogue()["gru"]
        yield ostinato.Recurrent(cell, 4, 6, 2, learn_initial_state=True, **options)


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
    expected = (slope(x() + 1e-6 * direction) - slope(x() - 1e-6 * direction)) / 2e-6
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
    plain = copy.deepcopy(layer)
    kind(layer, "weight_hh_l0")
    layer.parametrizations.eval()
    with torch.no_grad():
        plain.weight_hh_l0.copy_(layer.weight_hh_l0)
    agree([layer(x(), **call)[0]], [plain(x(), **call)[0]])
    loss([layer(x(), **call)[0]]).backward()
    held = layer.parametrizations.weight_hh_l0
    source = held.original1 if kind is parametrizations.weight_norm else held.original
    names = [name for name, _ in plain.named_parameters()]
    arrived = dict(zip(names, gradients(plain, x(), call), strict=True))["weight_hh_l0"]
    (expected,) = torch.autograd.grad(layer.weight_hh_l0, source, arrived)
    agree([source.grad], [expected], gradients=True)


def batch(steps, rows, kinds):
    """x and the arguments of a call of the same kinds, of other sizes."""
    made = torch.Generator().manual_seed(steps)
    lengths = torch.randint(0, steps + 1, (rows,), generator=made)
    resets = torch.rand(steps, rows, generator=made) < 0.3
    return torch.randn(steps, rows, 4, dtype=torch.float64, generator=made), {
        name: {"lengths": lengths, "resets": resets}[name] for name in kinds
    }


GRAPHS = [("own", "dense"), ("own", "lengths"), ("own", "resets"), ("options", "both")]


@pytest.mark.slow
@pytest.mark.parametrize("layer, call", GRAPHS, indirect=True)
def test_one_graph_for_all_sizes_and_lengths(layer, call):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=counter)
    graphs = set()
    for given, told in ((x(), call), batch(7, 4, call), batch(4, 2, call), batch(6, 9, call)):
        found, expected = compiled(given, **told), layer(given, **told)
        agree([found[0], found[1]], [expected[0], expected[1]])
        leaves = list(layer.parameters())
        found, expected = (torch.autograd.grad(loss([y[0]]), leaves) for y in (found, expected))
        agree(found, expected, gradients=True)
        graphs.add(counter.frame_count)
    assert len(graphs) == 1
    if "lengths" in call:
        with pytest.raises(InputError, match=r": lengths\[1\] must be between 0 and T = 5, got 6. x has no more steps"):
            compiled(x(), **{**call, "lengths": torch.tensor([5, 6, 0])})


@pytest.mark.parametrize("layer, call", GRAPHS, indirect=True)
def test_export_for_all_sizes_and_lengths(layer, call):
    auto = torch.export.Dim.AUTO
    sizes = {"lengths": {0: auto}, "resets": {0: auto, 1: auto}}
    name = "input" if isinstance(layer, ostinato.GRU) else "x"
    dynamic = {name: {0: auto, 1: auto}, **{k: sizes[k] for k in call}}
    program = torch.export.export(layer, (x(),), call, dynamic_shapes=dynamic, strict=False).module()
    for given, told in ((x(), call), batch(7, 4, call), batch(4, 2, call)):
        found, expected = program(given, **told), layer(given, **told)
        agree([found[0], found[1]], [expected[0], expected[1]])


def test_a_layer_that_is_not_used_has_no_gradient():
    model = nn.ModuleList([ostinato.GRU(4, 6), ostinato.GRU(4, 6)])
    loss([model[0](x().float(), lengths=LENGTHS)[0]]).backward()
    assert all(p.grad is not None for p in model[0].parameters())
    assert all(p.grad is None for p in model[1].parameters())
