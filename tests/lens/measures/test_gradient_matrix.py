"""The gradient of every step's loss in every step's state, against powers, autograd and the sum of a watched loss."""

import re

import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError
from ostinato.lens import gate_values, gradient_by_lag, gradient_matrix
from tolerance import check


@ostinato.cell
def decay(W, p, x, h):
    return W.h @ x + p.a * h


def loss(output):
    return output.square().sum(-1)


def layer_of(cell, **options):
    torch.manual_seed(5)
    made = ostinato.Recurrent(cell, 3, 4, **options).double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn_like(p) * 0.7)
    return made.train()


@pytest.mark.parametrize("a", [0.5, -0.9, 1.1])
def test_a_decay_gives_powers(a):
    layer = ostinato.Recurrent(decay, 2, 2).double()
    nn.init.constant_(layer.p_a_l0, a)
    x = torch.randn(20, 3, 2, dtype=torch.float64)
    found = gradient_matrix(layer, x, lambda o: o.sum(-1)).of()
    lag = torch.arange(20)[:, None] - torch.arange(20)
    expected = torch.where(lag >= 0, 2**0.5 * abs(a) ** lag.clamp(min=0).double(), 0.0)
    torch.testing.assert_close(found, expected[..., None].expand(20, 20, 3), rtol=1e-12, atol=0)


def by_hand(layer, x, lengths=None):
    """∂L_t/∂s_k by `retain_grad` semantics in a plain loop over the reference, [L·D, S, T, T, B]."""
    steps, rows = x.shape[:2]
    lengths = torch.tensor(lengths or [steps] * rows)
    directions = 2 if layer.bidirectional else 1
    every, below = [], list(x.unbind())
    for depth in range(layer.num_layers):
        outputs = []
        for direction in range(directions):
            weights = [getattr(layer, n).detach() for n in layer._weight_names()[depth * directions + direction]]
            states = [torch.zeros(rows, 4, dtype=x.dtype, requires_grad=True) for _ in layer.cell.states]
            kept, given = [None] * steps, [None] * steps
            for k in reversed(range(steps)) if direction else range(steps):
                output, new = layer.cell.step(weights, below[k], states)
                there = (k < lengths)[:, None]
                kept[k] = new
                states = [torch.where(there, n, s) for n, s in zip(new, states)]
                given[k] = torch.where(there, output, 0.0)
            every.append(kept)
            outputs.append(given)
        below = [torch.cat(parts, -1) for parts in zip(*outputs)]
    found = torch.zeros(len(every), len(layer.cell.states), steps, steps, rows, dtype=x.dtype)
    for t in range(steps):
        for run, kept in enumerate(every):
            flat = [s for new in kept for s in new]
            gradients = torch.autograd.grad(
                loss(below[t]).sum(), flat, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for k in range(steps):
                for s in range(len(layer.cell.states)):
                    found[run, s, t, k] = gradients[k * len(layer.cell.states) + s].norm(dim=-1)
    past = torch.arange(steps)[:, None] >= lengths
    return found.masked_fill(past[:, None] | past[None], torch.nan)


@pytest.mark.parametrize(
    ("cell", "options", "lengths"),
    [
        ("lstm", {}, None),
        ("gru", {"num_layers": 2, "bidirectional": True}, [6, 3, 1]),
        ("lstm_peephole", {"num_layers": 2}, [4, 6, 2]),
        ("mingru", {"bidirectional": True}, None),
    ],
)
def test_every_pair_equals_a_loop_with_autograd(cell, options, lengths):
    layer = layer_of(cell, **options)
    x = torch.randn(6, 3, 3, dtype=torch.float64)
    found = gradient_matrix(layer, x, loss, lengths=lengths)
    expected = by_hand(layer, x, lengths)
    assert torch.equal(found.norms.isnan(), expected.isnan())
    names = {f"run {k}": m for k, m in enumerate(expected.nan_to_num())}
    check("gradients", {f"run {k}": m for k, m in enumerate(found.norms.nan_to_num())}, names)
    assert found.of(0, 0, 0).shape == (6, 6, 3) and found.states == layer.cell.states
    assert layer.training and all(p.grad is None for p in layer.parameters())


def test_the_last_line_is_the_gradient_by_lag():
    layer = layer_of("gru")
    x = torch.randn(9, 4, 3, dtype=torch.float64)
    line = gradient_matrix(layer, x, loss).of()[-1].flip(0)
    torch.testing.assert_close(line, gradient_by_lag(layer, x, loss).norms[0], rtol=1e-10, atol=0)


def test_resets_cut_and_layouts_agree():
    layer = layer_of("lstm", bidirectional=True)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    resets = torch.zeros(7, 2, dtype=torch.bool)
    resets[4] = True
    found = gradient_matrix(layer, x, loss, resets=resets).norms
    for part in (slice(0, 4), slice(4, 7)):
        alone = gradient_matrix(layer, x[part], loss).norms
        torch.testing.assert_close(found[:, :, part, part], alone, rtol=1e-10, atol=0)
    assert (found[:, :, :4, 4:] == 0).all() and (found[:, :, 4:, :4] == 0).all()
    whole = gradient_matrix(layer, x, loss).norms
    layer.batch_first = True
    torch.testing.assert_close(gradient_matrix(layer, x.transpose(0, 1), loss).norms, whole)
    layer.batch_first = False
    torch.testing.assert_close(gradient_matrix(layer, x[:, 0], loss).norms, whole[..., :1])


def test_losses_in_pieces_are_the_same(monkeypatch):
    layer = layer_of("gru", num_layers=2)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    whole = gradient_matrix(layer, x, loss).norms
    monkeypatch.setattr("ostinato.lens.measures.gradient_matrix._MOST_NUMBERS", 7 * 2 * 4 * 3)
    torch.testing.assert_close(gradient_matrix(layer, x, loss).norms, whole, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda layer, x: gradient_matrix(layer, x, lambda o: o.sum()),
            "lens.gradient_matrix: loss_per_step must be a ",
        ),
        (lambda layer, x: gradient_matrix(layer, x, lambda o: 1.0), "a loss for each step and row, [6, 3], got float."),
        (
            lambda layer, x: gradient_matrix(layer, x, lambda o: o.cumsum(0).sum(-1)),
            "lens.gradient_matrix: loss_per_step must be of each step's own output alone, got losses that read others.",
        ),
        (
            lambda layer, x: gradient_matrix(layer, x, loss).of(2),
            "GradientMatrix.of: depth must be one of the 1 layers, from -1 to 0, got 2.",
        ),
        (
            lambda layer, x: gradient_matrix(layer, x, loss).of(0, 1),
            "GradientMatrix.of: direction and state must be within 1 directions and 1 states, got 1 and 0.",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call(layer_of("gru"), torch.randn(6, 3, 3, dtype=torch.float64))


def test_gate_values_are_those_of_the_equations():
    layer = layer_of("lstm")
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    found = gate_values(layer, x, lengths=[5, 3])
    assert list(found) == ["i", "f", "g", "o"]
    with torch.no_grad():
        h = c = torch.zeros(2, 4, dtype=torch.float64)
        for t in range(3):
            pre = x[t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
            i, f, g, o = pre.chunk(4, -1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
            expected = {"i": i, "f": f, "g": g, "o": o}
            check("outputs", {k: v[t] for k, v in found.items()}, expected)
            c = f * c + i * g
            h = o * c.tanh()
    assert found["f"][3:, 1].isnan().all() and not found["f"][:, 0].isnan().any()


def test_gates_of_rows_with_resets_are_those_of_the_pieces():
    layer, x = ostinato.GRU(3, 5, dtype=torch.float64), torch.randn(7, 2, 3, dtype=torch.float64)
    resets = torch.zeros(7, 2, dtype=torch.bool)
    resets[3, 1] = True
    found = gate_values(layer, x, resets=resets)
    pieces = [gate_values(layer, part[:, [1]]) for part in (x[:3], x[3:])]
    for gate, values in found.items():
        torch.testing.assert_close(values[:, [1]], torch.cat([p[gate] for p in pieces]))
