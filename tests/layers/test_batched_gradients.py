"""Several upstream gradients at once: each gives what it gives alone, in every way a call can go."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.autograd.functional import hessian, jacobian
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import ostinato
from layers.pairs import PAIRS, pair
from layers.small import CELLS, agree, draw, flat, run
from ostinato import cells
from ostinato.execution import dispatch, routing
from ostinato.execution.checkpoint import Checkpoint
from ostinato.execution.interception import observed
from tolerance import check

SIZES = torch.tensor([3, 3, 2, 1, 1])


def one_by_one(outputs, inputs, several):
    found = [torch.autograd.grad(outputs, inputs, ds, retain_graph=True) for ds in zip(*several)]
    return [torch.stack(g) for g in zip(*found)]


def together(outputs, inputs, several):
    return torch.autograd.grad(outputs, inputs, several, retain_graph=True, is_grads_batched=True)


def mapped(outputs, inputs, several):
    def one(*ds):
        return torch.autograd.grad(outputs, inputs, ds, retain_graph=True)

    return torch.vmap(one)(*several)


BATCHED = pytest.mark.parametrize("batched", [together, mapped])


def same(batched, outputs, inputs):
    torch.manual_seed(7)
    several = [torch.randn(3, *y.shape, dtype=y.dtype) for y in outputs]
    found, expected = batched(outputs, inputs, several), one_by_one(outputs, inputs, several)
    agree(found, expected, gradients=True)
    assert all(g.abs().sum() > 0 for g in expected)


@BATCHED
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["padded", "packed"])
@pytest.mark.parametrize("way", [routing.KERNELS, routing.OPERATOR])
@pytest.mark.parametrize("name", CELLS)
def test_each_way(name, way, sizes, reverse, batched, monkeypatch):
    monkeypatch.setattr(dispatch, "choose_backend", lambda *_: way)
    cell, x, states, weights = draw(name, dtype=torch.float64, gradients=True)
    if sizes is not None:
        x = torch.cat([x_t[:n] for x_t, n in zip(x, sizes.tolist())])
    same(batched, flat(run(cell, x, states, weights, sizes, reverse, histories=True)), [x, *states, *weights])


@BATCHED
@pytest.mark.parametrize("name", sorted(cells.catalogue()))
def test_each_cell_of_the_catalogue(name, batched):
    torch.manual_seed(0)
    layer = ostinato.Recurrent(name, 3, 4, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    several = torch.randn(3, 4, 2, 4, dtype=torch.float64)
    output = layer(x)[0]
    weights = [w for w in layer.parameters() if w.requires_grad]
    found, expected = (way([output], [x, *weights], [several]) for way in (batched, one_by_one))
    agree(found, expected, gradients=True)


CALLS = {
    "one layer": ({}, {}),
    "two layers, two directions": ({"num_layers": 2, "bidirectional": True, "batch_first": True}, {}),
    "lengths": ({}, {"lengths": [2, 5, 0]}),
    "lengths, two directions": ({"num_layers": 2, "bidirectional": True}, {"lengths": [2, 5, 3]}),
    "resets": ({"batch_first": True}, {"resets": torch.arange(15).view(3, 5) % 4 == 2}),
    "states": ({"bidirectional": True}, {"lengths": [2, 5, 3], "return_states": True}),
    "checkpoint": ({"checkpoint": 2}, {}),
    "checkpoint, lengths": ({"checkpoint": 2, "bidirectional": True}, {"lengths": [2, 5, 3]}),
    "learned start": ({"learn_initial_state": True, "num_layers": 2}, {}),
    "masks": ({"recurrent_dropout": 0.3, "zoneout": 0.2, "weight_dropout": 0.2, "input_dropout": 0.2}, {}),
    "masks, lengths": ({"recurrent_dropout": 0.3, "dropout": 0.3, "num_layers": 2}, {"lengths": [2, 5, 3]}),
    "norm and clips": ({"layer_norm": True, "clip_gradient": 0.5, "clip_state": 0.3}, {}),
}


@BATCHED
@pytest.mark.parametrize("options, given", CALLS.values(), ids=CALLS)
def test_each_kind_of_call(options, given, batched):
    torch.manual_seed(0)
    layer = ostinato.LSTM(4, 6, dtype=torch.float64, **options)
    x = torch.randn((3, 5, 4) if layer.batch_first else (5, 3, 4), dtype=torch.float64, requires_grad=True)
    outputs = [t for r in layer(x, **given) for t in (r if isinstance(r, tuple) else (r,))]
    same(batched, outputs, [x, *layer.parameters()])


@BATCHED
def test_segments_of_a_checkpoint(batched):
    """More than one, which `checkpoint=2` of a short sequence is not."""
    cell, x, states, weights = draw("gru", steps=600, dtype=torch.float64, gradients=True)
    outputs = flat(run(cell, x, states, weights, checkpoint=Checkpoint(0, 0, 1), histories=True))
    same(batched, outputs, [x, *states, *weights])


@BATCHED
def test_bfloat16(batched):
    torch.manual_seed(0)
    layer = ostinato.GRU(4, 6, dtype=torch.bfloat16)
    x = torch.randn(5, 3, 4, dtype=torch.bfloat16, requires_grad=True)
    output = layer(x)[0]
    several = torch.randn(3, *output.shape).bfloat16()
    found, expected = (way([output], [x], [several])[0] for way in (batched, one_by_one))
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected.float()).abs().max() <= 0.01 * expected.float().abs().max()


@BATCHED
@pytest.mark.filterwarnings("ignore:There is a performance drop")  # of torch.nn's layers and of packing
@pytest.mark.parametrize("kind, options", PAIRS)
def test_torch_nn_says_the_same(kind, options, batched):
    found = []
    for layer in pair(kind, **options):
        torch.manual_seed(3)
        x = torch.randn(5, 3, 4, requires_grad=True)
        packed, _ = layer(pack_padded_sequence(x, [5, 3, 1]))
        output = layer(x)[0]
        several = [torch.randn(3, *t.shape) for t in (packed.data, output)]
        names, weights = zip(*layer.named_parameters())
        found.append(dict(zip(("x", *names), batched([packed.data, output], [x, *weights], several))))
    check("gradients", found[1], found[0])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_jacobians_and_hessians(kind):
    theirs, ours = (layer.double() for layer in pair(kind))
    x = torch.randn(5, 3, 4, dtype=torch.float64)

    def found(layer, **how):
        return {
            "jacobian": jacobian(lambda x: layer(x)[0].sum(1), x, **how),
            "hessian": hessian(lambda x: layer(x)[0].square().sum(), x, **how),
        }

    expected = found(theirs)
    check("gradients", found(ours, vectorize=True), expected)
    check("gradients", found(ours), expected)
    ahead = hessian(lambda x: ours(x)[0].square().sum(), x, vectorize=True, outer_jacobian_strategy="forward-mode")
    check("gradients", {"hessian": ahead}, {"hessian": expected["hessian"]})


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_mixture_with_torch_func(kind, create_graph):
    """A graph that was made outside of the transforms, and gradients of it inside."""
    theirs, ours = (layer.double() for layer in pair(kind))
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    d, tangent, *several = torch.randn(8, 5, 3, 6, dtype=torch.float64)
    found = []
    for layer in (theirs, ours):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)[0]

        def one(d, leaf=leaf, y=y):
            return torch.autograd.grad(y, leaf, d, retain_graph=True, create_graph=create_graph)[0]

        found.append(
            {
                "twice": torch.vmap(torch.vmap(one))(torch.stack(several).unflatten(0, (2, 3))),
                "grad": torch.func.grad(lambda d, one=one: (one(d) * d.sum()).sum())(d),
                "each": torch.vmap(torch.func.grad(lambda d, one=one: one(d).square().sum() + d.sum()))(
                    torch.stack(several)
                ),
                "jvp": torch.func.jvp(one, (d,), (tangent,))[1],
            }
        )
    check("gradients", found[1], found[0])
    assert all(g.abs().sum() > 0 for g in found[0].values())


def test_a_tangent_of_an_upstream_gradient_goes_on():
    theirs, ours = (layer.double() for layer in pair("GRU"))
    x, (d, tangent) = torch.randn(5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 3, 6, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    y = ours(leaf)[0]
    with forward_ad.dual_level():
        (found,) = torch.autograd.grad(y, leaf, forward_ad.make_dual(d, tangent), retain_graph=True)
        _, slope = forward_ad.unpack_dual(found)
    (expected,) = torch.autograd.grad(y, leaf, tangent)  # a gradient is linear in its upstream gradient
    assert slope is not None
    check("gradients", {"slope": slope}, {"slope": expected})


class Quiet(TorchDispatchMode):
    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return operator(*args, **(kwargs or {}))


class Observer:
    """An observer, which is not called for a backward pass over several gradients."""

    active = True

    def observe(self, layer, batch):
        return lambda depth, direction: self

    def forward(self, record):
        pass

    def backward(self, *shown):
        raise AssertionError("there is no single gradient to show")


@BATCHED
def test_an_observed_call(batched):
    layer = ostinato.LSTM(4, 6, num_layers=2, dtype=torch.float64)
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    with observed(Observer().observe):
        output = layer(x, lengths=[5, 2, 3])[0]
    several = torch.randn(3, *output.shape, dtype=torch.float64)
    found = batched([output], [x], [several])
    expected = one_by_one([layer(x, lengths=[5, 2, 3])[0]], [x], [several])
    agree(found, expected, gradients=True)


def test_a_layer_inside_a_model_with_others():
    model = nn.ModuleList([nn.Linear(4, 4), ostinato.GRU(4, 6), nn.Linear(6, 2)]).double()
    x = torch.randn(5, 3, 4, dtype=torch.float64)

    def call(x):
        return model[2](model[1](model[0](x).tanh())[0]).sum(1)

    check("gradients", {"j": jacobian(call, x, vectorize=True)}, {"j": jacobian(call, x)})
    with Quiet():
        check("gradients", {"j": jacobian(call, x, vectorize=True)}, {"j": jacobian(call, x)})
