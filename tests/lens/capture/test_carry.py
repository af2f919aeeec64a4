"""What a state carries over: the text that the graph gives, and the number against autograd with products held."""

import pytest
import torch
from torch import relu, sigmoid, tanh

import ostinato
from layers.small import draw
from ostinato.cells import catalogue
from ostinato.cells.tensors import TensorLetter
from ostinato.errors import InputError
from ostinato.lens import carry, evaluate, named_values

EXPECTED = {
    "elman": {"h": "0"},
    "lstm": {"h": "0", "c": "f"},
    "lstm_1997": {"h": "0", "c": "1"},
    "lstm_coupled": {"h": "0", "c": "f"},
    "lstm_projected": {"h": "0", "c": "f"},
    "gru": {"h": "z"},
    "gru_reset_before": {"h": "z"},
    "mgu": {"h": "1 - f"},
    "ugrnn": {"h": "g"},
    "janet": {"h": "f"},
    "indrnn": {"h": "where(relu(a.h) <= 0, 0, 1) * p.u"},
    "mingru": {"h": "1 - z"},
    "minlstm": {"h": "sigmoid(softplus(-a.i) - softplus(-a.f))"},
}


@pytest.mark.parametrize(("name", "text"), EXPECTED.items(), ids=EXPECTED.keys())
def test_the_carry_as_text(name, text):
    assert carry(name) == text
    cell = catalogue()[name]
    assert carry(type(cell).from_text(cell.text)) == text


class Still(TensorLetter):
    """A letter whose products are constants: no gradient passes a weight."""

    def __getattr__(self, name):
        weight = super().__getattr__(name)

        class Product:
            def __matmul__(self, v):
                return (weight @ v).detach()

        return Product()


@pytest.mark.parametrize("name", list(catalogue()))
def test_the_carry_is_autograd_with_products_held_still(name):
    cell, x, states, weights = draw(name, steps=1, dtype=torch.float64)
    old = [s.clone().requires_grad_() for s in states]
    letters = {k: (Still(v, True) if k in "WUV" else TensorLetter(v, False)) for k, v in cell.split(weights).items()}
    given = {**letters, "x": x[0], **dict(zip(cell.states, old))}
    values = cell.fn(*[given[k] for k in cell.arguments])
    new = list(values if isinstance(values, tuple) else (values,))[-len(old) :]
    found = evaluate(cell, weights, x[0], states, list(named_values(cell).carries.values()))
    for s, (before, after) in enumerate(zip(old, new)):
        expected = torch.zeros_like(before)
        if after.requires_grad:
            (gradient,) = torch.autograd.grad(after.sum(), before, retain_graph=True, allow_unused=True)
            expected = expected if gradient is None else gradient
        torch.testing.assert_close(found[s].expand(before.shape), expected, rtol=1e-12, atol=1e-14)


def test_it_knows_no_names():
    @ostinato.cell
    def mine(W, U, b, x, memory):
        keep = sigmoid(W.q @ x + U.q @ memory + b.q)
        return keep * memory * 0.5 + relu(W.v @ x + b.v)

    assert carry(mine) == {"memory": "0.5 * q"}
    assert carry(mine.without_bias()) == {"memory": "0.5 * q"}


def test_means_over_units_are_cut_like_products():
    @ostinato.cell
    def centred(W, x, h):
        return tanh(W.g @ x) + 0.25 * h - ostinato.mean(h)

    assert carry(centred) == {"h": "0.25"}


def test_kernels_follow_from_a_graph_that_the_lens_left_alone():
    cell = ostinato.cells.Cell.from_text(catalogue()["lstm"].text.replace("def lstm", "def untouched"))
    count = len(cell.trace.graph.nodes)
    named_values(cell)
    assert len(cell.trace.graph.nodes) == count


def test_refusal():
    with pytest.raises(InputError, match="lens.carry: cell must be a cell or one of"):
        carry("no such cell")
