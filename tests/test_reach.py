"""The gradient at every lag, against answers that are known without it."""

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError
from ostinato.layers.dropout import pinned
from ostinato.lens import gradient_by_lag


class Decay(nn.Module):
    """h_t = a·h_{t-1} + x_t, with torch.nn's calling convention."""

    def __init__(self, a):
        super().__init__()
        self.a = a

    def forward(self, x, state=None):
        h = x.new_zeros(x.shape[1:]) if state is None else state[0]
        outputs = []
        for x_t in x.unbind():
            h = self.a * h + x_t
            outputs.append(h)
        return torch.stack(outputs), h[None]


@ostinato.cell
def decay(W, p, x, h):
    return W.h @ x + p.a * h


def janet(features, hidden):
    return ostinato.Recurrent("janet", features, hidden)


def drawn(layer_class, hidden=5, features=3, **options):
    torch.manual_seed(3)
    return layer_class(features, hidden, **options).double()


@pytest.mark.parametrize("a", [0.5, -0.9, 1.0, 1.1])
def test_linear_recurrence_gives_powers(a):
    x = torch.randn(30, 4, 2, dtype=torch.float64)
    measured = gradient_by_lag(Decay(a), x, lambda h: h.sum(1)).norms[0]
    expected = 2**0.5 * abs(a) ** torch.arange(30, dtype=torch.float64)
    torch.testing.assert_close(measured, expected[:, None].expand(30, 4), rtol=1e-12, atol=0)


@pytest.mark.parametrize("a", [0.5, -0.9, 1.1])
def test_linear_cell_on_the_kernels_gives_powers(a):
    layer = ostinato.Recurrent(decay, 2, 2).double()
    nn.init.constant_(layer.p_a_l0, a)
    x = torch.randn(30, 4, 2, dtype=torch.float64)
    measured = gradient_by_lag(layer, x, lambda h: h.sum(1)).norms[0]
    expected = 2**0.5 * abs(a) ** torch.arange(30, dtype=torch.float64)
    torch.testing.assert_close(measured, expected[:, None].expand(30, 4), rtol=1e-12, atol=0)


def test_orthogonal_linear_network_keeps_the_norm():
    layer = drawn(nn.RNN, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.eye(5).roll(1, 0))
    x = 1 + torch.rand(12, 2, 3, dtype=torch.float64)
    layer.weight_ih_l0.data.abs_()
    layer.bias_ih_l0.data.abs_()
    layer.bias_hh_l0.data.abs_()
    measured = gradient_by_lag(layer, x, lambda h: h.sum(1)).norms[0]
    torch.testing.assert_close(measured, torch.full_like(measured, 5**0.5))


@pytest.mark.parametrize("layer_class", [nn.RNN, nn.GRU, nn.LSTM, ostinato.RNN, ostinato.GRU, ostinato.LSTM, janet])
def test_every_state_against_central_differences(layer_class):
    layer, steps, lag = drawn(layer_class), 9, 6
    x = torch.randn(steps, 2, 3, dtype=torch.float64)

    def loss(h):
        return (h * h).sum(1)

    measured = gradient_by_lag(layer, x, loss)
    with torch.no_grad():
        _, state = layer(x[: steps - lag])
        parts = state if isinstance(state, tuple) else (state,)
        assert len(measured.norms) == len(parts)
        for s in range(len(parts)):
            gradient = torch.zeros(2, 5, dtype=torch.float64)
            for unit in range(5):
                sides = []
                for sign in (1, -1):
                    moved = [part.clone() for part in parts]
                    moved[s][0, :, unit] += sign * 1e-6
                    given = tuple(moved) if isinstance(state, tuple) else moved[0]
                    sides.append(loss(layer(x[steps - lag :], given)[0][-1]))
                gradient[:, unit] = (sides[0] - sides[1]) / 2e-6
            torch.testing.assert_close(measured.norms[s][lag], gradient.norm(dim=1), rtol=1e-6, atol=1e-12)


def test_lstm_reports_h_and_c_and_both_together():
    layer = drawn(nn.LSTM)
    x = torch.randn(8, 3, 3, dtype=torch.float64)
    measured = gradient_by_lag(layer, x, lambda h: h.sum(1))
    h, c = measured.norms
    assert h.shape == c.shape == (8, 3)
    assert (c[0] == 0).all() and (c[1:] > 0).all()
    torch.testing.assert_close(measured.whole, (h**2 + c**2).sqrt())
    torch.testing.assert_close(measured.median(1), c.median(dim=1).values)
    assert measured.lags.tolist() == list(range(8))


@ostinato.cell
def doubled(W, U, x, h):
    return W.a @ x + U.a @ h


@pytest.mark.parametrize("option", ["recurrent_dropout", "weight_dropout"])
def test_masks_of_a_sequence_are_drawn_once_for_all_its_steps(option):
    """With U = I every unit that a mask keeps doubles at each lag; masks drawn anew in each step would make it 0."""
    layer = ostinato.Recurrent(doubled, 2, 8, **{option: 0.5}).double()
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.eye(8))
    torch.manual_seed(0)
    measured = gradient_by_lag(layer, torch.randn(6, 3, 2, dtype=torch.float64), lambda h: h.sum(1)).norms[0]
    assert (measured[1:] > 0).all()
    torch.testing.assert_close(measured[2:], 2 * measured[1:-1], rtol=1e-12, atol=0)


def test_the_gradient_in_training_is_that_of_one_draw():
    """The last steps one by one, with the masks of one call of all steps, against the gradient of that call."""
    torch.manual_seed(1)
    layer = ostinato.GRU(3, 5, recurrent_dropout=0.3, input_dropout=0.3, zoneout=0.2).double()
    x, start = torch.randn(7, 2, 3, dtype=torch.float64), torch.randn(1, 2, 5, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(2)
    measured = gradient_by_lag(layer, x, lambda h: h.square().sum(1), state=start.detach(), lags=6).norms[0]
    torch.manual_seed(2)
    seed = torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64)
    with pinned(layer, seed):
        first, state = layer(x[:1], start)
    with pinned(layer, seed, first_step=1):
        rest, _ = layer(x[1:], state)
    (gradient,) = torch.autograd.grad(rest[-1].square().sum(), state)
    torch.testing.assert_close(measured[-1], gradient[0].norm(dim=1), rtol=1e-10, atol=0)


def test_lags_may_be_a_number_of_numpy():
    layer, x = nn.GRU(3, 5), torch.randn(6, 2, 3)
    found = [gradient_by_lag(layer, x, lambda h: h.sum(1), lags=lags).norms[0] for lags in (np.int64(3), 3)]
    assert torch.equal(*found)


def test_fewer_lags_are_the_first_of_all_lags():
    layer = drawn(nn.GRU)
    x = torch.randn(8, 3, 3, dtype=torch.float64)
    every = gradient_by_lag(layer, x, lambda h: h.sum(1)).norms[0]
    for lags in (0, 1, 5):
        some = gradient_by_lag(layer, x, lambda h: h.sum(1), lags=lags).norms[0]
        torch.testing.assert_close(some, every[: lags + 1], rtol=1e-12, atol=0)


def test_batch_first_and_given_state():
    layer = drawn(nn.LSTM, batch_first=True)
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    state = tuple(torch.randn(1, 2, 5, dtype=torch.float64) for _ in range(2))
    measured = gradient_by_lag(layer, x, lambda h: h.sum(1), state=state)
    layer.batch_first = False
    expected = gradient_by_lag(layer, x.transpose(0, 1), lambda h: h.sum(1), state=state)
    from_zero = gradient_by_lag(layer, x.transpose(0, 1), lambda h: h.sum(1))
    torch.testing.assert_close(measured.norms[0], expected.norms[0])
    assert not torch.allclose(measured.norms[0][1:], from_zero.norms[0][1:])


def test_a_layer_without_masks_leaves_the_generator_alone():
    layer, state = ostinato.GRU(3, 5), torch.random.get_rng_state()
    gradient_by_lag(layer, torch.ones(4, 2, 3), lambda h: h.sum(1))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_leaves_no_trace():
    layer = drawn(nn.LSTM)
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        measured = gradient_by_lag(layer, x, lambda h: h.sum(1))
    layer.requires_grad_(False)
    frozen = gradient_by_lag(layer, x, lambda h: h.sum(1))
    torch.testing.assert_close(measured.norms, frozen.norms)
    assert x.grad is None and all(weight.grad is None for weight in layer.parameters())
    assert torch.equal(before, torch.random.get_rng_state())
    assert not measured.norms[0].requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(6, 3)}, r"x must be \[T, B, C\], got 2 dimensions"),
        ({"x": torch.zeros(0, 2, 3)}, "x must be at least one step, got T = 0"),
        ({"lags": 6}, "lags must be between 0 and T - 1 = 5, got 6"),
        ({"lags": [1]}, r"lags must be between 0 and T - 1 = 5, got \[1\]"),
        ({"layer": 3}, "layer must be a torch module, got int"),
        ({"x": 3}, "x must be a tensor, got int. Write torch.as_tensor"),
        ({"head_loss": 3}, "head_loss must be a function of the last output, got int"),
        ({"head_loss": lambda h: 3}, r"head_loss must be a function to .* or their sum, got int"),
        ({"layer": nn.LSTM(3, 5, bidirectional=True)}, "layer must be one-directional"),
        ({"head_loss": lambda h: h}, r"head_loss must be .* \[2\], or their sum, got a result of shape \[2, 5\]"),
    ],
)
def test_refusals(change, message):
    arguments = {"layer": nn.LSTM(3, 5), "x": torch.zeros(6, 2, 3), "head_loss": lambda h: h.sum(1)} | change
    with pytest.raises(InputError, match=f"gradient_by_lag: {message}"):
        gradient_by_lag(**arguments)
