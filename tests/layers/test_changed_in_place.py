"""An output that is changed in place before backward, as torch.nn's may be: the gradients are those of the change."""

import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import ostinato
from layers.small import agree, draw, loss, run
from ostinato.execution import dispatch, routing
from ostinato.execution.interception import observed
from tolerance import check

WAYS = (routing.KERNELS, routing.OPERATOR)
FORMS = {
    "one layer": {},
    "batch_first": {"batch_first": True},
    "two layers": {"num_layers": 2},
    "two directions": {"bidirectional": True},
}


def zero_some(y):
    y[y > 0.1] = 0.0


CHANGES = {
    "add": lambda y: y.add_(1.5),
    "mul": lambda y: y.mul_(y.detach().cos()),
    "mask": zero_some,
    "relu": nn.ReLU(inplace=True),
    "first step": lambda y: y[0].mul_(3),
    "without a record": lambda y: y.detach().mul_(3),
}


def both(kind, dtype=torch.float64, **options):
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(4, 6, dtype=dtype, **options)
    ours = getattr(ostinato, kind)(4, 6, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def gradients(layer, call, dtype=torch.float64):
    torch.manual_seed(2)
    x = torch.randn(5, 3, 4, dtype=dtype, requires_grad=True)
    names, weights = zip(*layer.named_parameters())
    return dict(zip(("x", *names), torch.autograd.grad(loss(call(layer, x)), [x, *weights])))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_outputs_and_final_states(kind, form, change):
    def call(layer, x):
        y, state = layer(x)
        for t in (y, *(state if kind == "LSTM" else (state,))):
            change(t)
        return [y, *(state if kind == "LSTM" else (state,))]

    ours, theirs = both(kind, **form)
    check("gradients", gradients(ours, call), gradients(theirs, call))


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_float32(kind):
    """torch.nn.LSTM refuses, because it keeps its output in float32; so the truth is a change out of place."""

    def call(layer, x, change=lambda y: y.add_(1.5)):
        return [change(layer(x)[0])]

    ours, theirs = both(kind, torch.float32)
    expected = gradients(theirs, lambda layer, x: call(layer, x, lambda y: y + 1.5), torch.float32)
    check("gradients", gradients(ours, call, torch.float32), expected)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_packed_and_ragged_rows(kind):
    def packed(layer, x):
        y, _ = layer(pack_padded_sequence(x, [5, 3, 1]))
        return [y.data.mul_(2)]

    ours, theirs = both(kind)
    check("gradients", gradients(ours, packed), gradients(theirs, packed))

    def ragged(change):
        return lambda layer, x: [change(layer(x, lengths=[2, 5, 3])[0])]

    check("gradients", gradients(ours, ragged(lambda y: y.mul_(2))), gradients(ours, ragged(lambda y: y * 2)))


@pytest.mark.parametrize("name", ["elman", "lstm", "slstm", "lstm_projected"])
@pytest.mark.parametrize("way", WAYS)
def test_histories(way, name, monkeypatch):
    """Some of which are what backward reads."""
    monkeypatch.setattr(dispatch, "choose_backend", lambda *_: way)
    cell, x, states, weights = draw(name, dtype=torch.float64, gradients=True)
    inputs = [x, *states, *weights]
    found = []
    for change in (lambda t: t.mul_(2), lambda t: t * 2):
        output, _, histories = run(cell, x, states, weights, histories=True)
        found.append(torch.autograd.grad(loss([change(t) for t in (output, *histories)]), inputs))
    agree(*found, gradients=True)


def test_options_and_masks_run_again_as_they_were():
    torch.manual_seed(0)
    layer = ostinato.GRU(4, 6, layer_norm=True, recurrent_dropout=0.4, zoneout=0.2, learn_initial_state=True)
    found = []
    for change in (lambda y: y.mul_(2), lambda y: y * 2):
        torch.manual_seed(3)
        found.append(gradients(layer.double(), lambda layer, x, change=change: [change(layer(x)[0])]))
    assert all(torch.equal(a, b) for a, b in zip(found[0].values(), found[1].values()))


def test_twice_over_one_graph_and_twice_differentiated():
    ours, theirs = both("GRU")
    found = []
    for layer in (ours, theirs):
        torch.manual_seed(2)
        x, weights = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True), list(layer.parameters())
        y = layer(x)[0]
        y += x.sum()
        total = loss([y]).tanh()
        first = torch.autograd.grad(total, [x, *weights], retain_graph=True)
        again = torch.autograd.grad(total, [x, *weights], retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(first, again))
        third = torch.autograd.grad(total, [x, *weights], create_graph=True)
        found.append([*first, *torch.autograd.grad(loss(third), [x, *weights])])
    agree(*found, gradients=True)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_under_checkpointing(use_reentrant):
    """torch.utils.checkpoint saves through hooks, and torch then checks no versions."""

    def call(layer, x):
        def residual(x):
            y = layer(x)[0]
            y += x.sum()
            return y.sigmoid()

        return [checkpoint(residual, x, use_reentrant=use_reentrant)]

    ours, theirs = both("GRU")
    check("gradients", of_backward(ours, call), of_backward(theirs, call))


def of_backward(layer, call):
    torch.manual_seed(2)
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    loss(call(layer, x)).backward()
    return {"x": x.grad, **{n: w.grad for n, w in layer.named_parameters()}}


def test_hooks_that_keep_the_tensor_itself():
    def call(layer, x):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            y = layer(x)[0]
        y += x.sum()
        return [y]

    ours, theirs = both("LSTM")
    check("gradients", gradients(ours, call), gradients(theirs, call))


class Counting:
    """The only observer of a call."""

    active = True

    def __init__(self):
        self.records = []

    def observe(self, layer, batch):
        return lambda depth, direction: self

    def forward(self, record):
        self.records.append(("forward", record.output.clone()))

    def probe(self, record, upstream):
        return None

    def on_block(self, record):
        return None

    def backward(self, record, upstream, recorded):
        self.records.append(("backward", record.output.clone()))


def test_an_observer_is_called_in_forward_once_and_the_output_as_it_was():
    def call(layer, x):
        y = layer(x)[0]
        y *= 2
        return [y]

    ours, theirs = both("GRU")
    observer = Counting()
    with observed(observer.observe):
        found = gradients(ours, call)
    check("gradients", found, gradients(theirs, call))
    (first, there), (second, back) = observer.records
    assert (first, second) == ("forward", "backward") and torch.equal(there, back)


@pytest.mark.parametrize("changed", ["x", "state", "weight"])
def test_a_changed_input_is_torchs_error_also_beside_a_changed_output(changed):
    layer, x, state = ostinato.GRU(4, 6), torch.randn(5, 3, 4), torch.zeros(1, 3, 6)
    y, _ = layer(x, state)
    y += 1
    with torch.no_grad():
        {"x": x, "state": state, "weight": layer.weight_hh_l0}[changed].add_(1)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_a_changed_output_is_not_kept_for_backward():
    layer = ostinato.GRU(4, 6)
    y, _ = layer(torch.randn(5, 3, 4))
    graph = y.grad_fn
    y += 1
    storage = weakref.ref(y.untyped_storage())
    y.sum().backward(retain_graph=True)
    del y
    gc.collect()
    assert graph is not None and storage() is None
