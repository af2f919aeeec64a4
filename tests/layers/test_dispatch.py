"""Direct calls, and the same calls with all arguments checked and laid out: the same bits, the same random numbers."""

import pytest
import torch

import ostinato
from ostinato.layers import base as layers
from ostinato.layers.dropout import pinned

DRAWN = {
    "lstm": {"recurrent_dropout": 0.3},
    "gru": {"recurrent_dropout": {"n": 0.3}},
    "elman": {"zoneout": 0.2},
    "gru_reset_before": {"weight_dropout": 0.5},
    "elman_relu": {"input_dropout": 0.4},
    "lstm_projected": {"zoneout": {"c": 0.3}, "weight_dropout": 0.3, "input_dropout": 0.3, "recurrent_dropout": 0.2},
}
"""Each drawing option alone, and several at once. 18 lines of U are no multiple of the four that are drawn at once."""


def made(name, **more):
    torch.manual_seed(0)
    projected = {"proj_size": 3} if name == "lstm_projected" else {}
    return ostinato.Recurrent(name, 4, 6, **projected, **DRAWN[name], **more)


def call(layer, x, state=None, learning=True):
    """Output, final states, all gradients, and torch's generator afterwards; twice in a row from one seed."""
    torch.manual_seed(7)
    found = []
    for _ in range(2):
        leaves = [x.detach().requires_grad_(learning), *layer.parameters()]
        with torch.set_grad_enabled(learning):
            output, final = layer(leaves[0], state)
        results = [output, *(final if isinstance(final, tuple) else (final,))]
        found += results
        if learning:
            loss = sum((t * torch.linspace(-1, 1.3, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in results)
            found += torch.autograd.grad(loss, leaves)
    return [*found, torch.get_rng_state()]


def both(monkeypatch, layer, run, direct=True):
    """What `run` returns as a direct call, where nothing else is left to run it, and what the checked call returns."""
    with monkeypatch.context() as patch:
        if direct:
            patch.setattr(type(layer), "_checked", None)
        found = run()
    with monkeypatch.context() as patch:
        patch.setattr(layers, "direct_call", lambda *_: None)
        return found, run()


def same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert torch.equal(a, b) and a.stride() == b.stride()


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_direct_and_checked_calls_have_the_same_bits(name, monkeypatch):
    for more, learning in (({}, True), ({"batch_first": True, "dtype": torch.float64}, True), ({}, False)):
        layer = made(name, **more)
        x = torch.randn(5, 3, 4, dtype=more.get("dtype"))
        same(*both(monkeypatch, layer, lambda: call(layer, x, learning=learning)))  # noqa: B023
    layer, state = (
        made(name),
        [torch.rand(1, 3, s) + 0.5 for s in [3 if w == "P" else 6 for w in layer.cell.state_widths]],
    )
    state = tuple(state) if len(state) > 1 else state[0]
    with pinned(layer, torch.tensor(-5), 3):
        same(*both(monkeypatch, layer, lambda: call(layer, x.float(), state)))


@pytest.mark.parametrize("more", [{"num_layers": 2, "dropout": 0.3}, {"bidirectional": True}])
@pytest.mark.parametrize("learning", [False, True])
def test_stacks_are_direct_too(more, learning, monkeypatch):
    for name, plain in (("lstm_projected", False), ("elman", False), ("gru", True)):
        layer = ostinato.GRU(4, 6, **more) if plain else made(name, **more)
        x = torch.randn(5, 3, 4)
        same(*both(monkeypatch, layer, lambda: call(layer, x, learning=learning)))  # noqa: B023


@pytest.mark.parametrize("more", [{"num_layers": 2, "dropout": 0.3}, {"bidirectional": True}, {"checkpoint": 2}])
def test_a_call_draws_its_seed_once(more, monkeypatch):
    for name in ("lstm_projected", "elman"):
        layer, x = made(name, **more), torch.randn(5, 3, 4)
        same(*both(monkeypatch, layer, lambda: call(layer, x), direct=False))  # noqa: B023


@pytest.mark.parametrize("name", ["lstm", "elman", "gru_reset_before", "elman_relu"])
def test_second_derivatives_are_the_same(name, monkeypatch):
    layer, x = made(name, dtype=torch.float64), torch.randn(4, 2, 4, dtype=torch.float64, requires_grad=True)

    def twice():
        torch.manual_seed(3)
        leaves = [x, *layer.parameters()]
        first = torch.autograd.grad(layer(x)[0].square().sum(), leaves, create_graph=True)
        return [*first, *torch.autograd.grad(sum(g.square().sum() for g in first), leaves, materialize_grads=True)]

    same(*both(monkeypatch, layer, twice))


def test_inference_mode_draws_too_and_evaluation_does_not(monkeypatch):
    layer, x = made("lstm_projected"), torch.randn(5, 2, 4)
    with torch.inference_mode():
        same(*both(monkeypatch, layer, lambda: call(layer, x, learning=False)))
    found = call(layer, x)  # what the calls above have kept is no tensor of inference mode
    assert not torch.equal(found[0], call(layer.eval(), x)[0])
    before = torch.get_rng_state()
    layer(x)
    assert torch.equal(before, torch.get_rng_state())
