"""Faults planted at known places are found there; where nothing is wrong, nothing is said and no bit changes."""

import copy

import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import AnomalyError, InputError
from ostinato.execution.interception import INTERCEPTION

NAN, INF = float("nan"), float("inf")


def found(model, x, state=None, loss=None, **given):
    with pytest.raises(AnomalyError) as caught, ostinato.detect_anomaly(model):
        output, _ = model(x, state, **given)
        (output.sum() if loss is None else loss(output)).backward()
    assert INTERCEPTION.get() is None
    return str(caught.value)


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(9, 3, 4)


@pytest.mark.parametrize("cell", ["gru", "lstm", "elman", "mingru"])
def test_x_at_a_step_and_row(x, cell):
    x[5, 1, 2] = x[6, 0, 0] = NAN
    message = found(ostinato.Recurrent(cell, 4, 6), x)
    assert message.startswith(
        "forward, Recurrent, layer 0, first direction: x is NaN at step 5, row 1. Look at the data"
    )


def test_the_second_direction_meets_the_last_step_first(x):
    x[2, 0, 0] = x[6, 2, 1] = NAN
    layer = ostinato.RNN(4, 6, nonlinearity="relu", bidirectional=True)
    assert "first direction: x is NaN at step 2, row 0" in found(layer, x)
    x[2, 0, 0], x[6, 2, 1], x[7, 1, 1] = 0.0, 1e38, 1e38
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_ih_l0_reverse.fill_(30.0)  # only the second direction overflows, first at step 7
    assert "second direction: gate h, W.h @ x, becomes infinite at step 7, row 1" in found(layer, x)


def test_rows_of_different_lengths_and_resets(x):
    layer = ostinato.GRU(4, 6, batch_first=True)
    x = x.transpose(0, 1).contiguous()
    x[0, 8] = NAN  # past its row's end
    x[2, 4, 0] = NAN
    resets = torch.zeros(3, 9, dtype=torch.bool)
    resets[2, 3] = resets[1, 5] = True
    assert "x is NaN at step 4, row 2" in found(layer, x, lengths=[5, 9, 8])
    assert "x is NaN at step 4, row 2" in found(layer, x, lengths=[5, 9, 8], resets=resets)


def test_a_weight_with_its_gate(x):
    model = nn.ModuleDict({"low": ostinato.LSTM(4, 6, num_layers=2)})
    with torch.no_grad():
        model["low"].weight_hh_l1[8, 3] = INF  # gate f: rows 6 to 11
    with pytest.raises(AnomalyError) as caught, ostinato.detect_anomaly(model):
        model["low"](x)
    assert str(caught.value).startswith(
        "forward, low (LSTM), layer 1, first direction: weight_hh of gate f (infinite) is not finite. An update"
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman"])
def test_an_infinite_x_although_gates_saturate(x, cell):
    x[4, 2, 1] = x[5, 0, 0] = INF
    assert "first direction: x is infinite at step 4, row 2. Look at the data" in found(
        ostinato.Recurrent(cell, 4, 6), x
    )


@pytest.mark.parametrize(
    ("cell", "parameter", "unit", "named"),
    [
        ("gru", "bias_hh_l1", 8, r"bias_hh of gate z"),
        ("lstm", "bias_ih_l1", 23, r"bias_ih of gate o"),
        ("lstm_peephole", "p_f_l1", 3, r"p.f of gate f"),
    ],
)
def test_a_bias_and_a_vector_with_their_gate(x, cell, parameter, unit, named):
    layer = ostinato.Recurrent(cell, 4, 6, num_layers=2)
    with torch.no_grad():
        getattr(layer, parameter)[unit] = NAN
    message = found(layer, x)
    assert f"forward, Recurrent, layer 1, first direction: {named} (NaN) is not finite. An update" in message


def test_a_weights_gradient_that_overflows_in_its_sum_alone():
    """27 products of 5e17 and 1e20, 5e37 each, are finite; in float32 their sum, 1.35e39, is not."""
    layer = ostinato.RNN(1, 2, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.zero_()
    message = found(layer, torch.full((9, 3, 1), 1e20), loss=lambda output: (output * 5e17).sum())
    assert message.startswith(
        "backward, RNN, layer 0, first direction: the gradient of weight_ih of gate h (infinite), summed over steps."
    )


def test_packed_rows_are_counted_as_the_caller_does(x):
    x[3, 1, 0] = NAN
    x[8, 0] = NAN  # past its row's end
    packed = nn.utils.rnn.pack_padded_sequence(x, [5, 9, 7], enforce_sorted=False)
    message = found(ostinato.LSTM(4, 6), packed, loss=lambda output: output.data.sum())
    assert message.startswith("forward, LSTM, layer 0, first direction: x is NaN at step 3, row 1. Look at the data")


def test_the_state_that_a_call_starts_from(x):
    state = torch.zeros(1, 3, 6), torch.zeros(1, 3, 6)
    state[1][0, 2, 0] = NAN
    assert "the state c is NaN before its first step, at step 0, row 2" in found(ostinato.LSTM(4, 6), x, state)


def test_a_state_that_overflows_at_a_known_step():
    layer = ostinato.RNN(1, 2, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.copy_(torch.eye(2) * 1e10)
    x = torch.zeros(8, 2, 1)
    x[1, 1] = 1.0  # 1 at step 1, 1e10 at step 2, 1e20, 1e30, and no float32 at step 5
    message = found(layer, x)
    assert "gate h, U.h @ h, becomes infinite at step 5, row 1, from finite values. Values grow" in message


def test_an_operation_of_ones_own_cell(x):
    @ostinato.cell
    def roots(W, U, x, h):
        r = torch.sqrt(W.r @ x)
        return torch.tanh(W.h @ x + U.h @ h) * r

    layer = ostinato.Recurrent(roots, 4, 6)
    with torch.no_grad():
        layer.weight_ih_l0[:6].fill_(1.0)
    x = x.abs()
    x[3, 2] = -1.0
    assert "becomes NaN at step 3, row 2, from finite values. The root needs a number above 0" in found(layer, x)


def test_a_gradient_that_arrives_so(x):
    message = found(ostinato.GRU(4, 6), x, loss=lambda y: (y[4, 1] * INF).sum() + y.sum())
    assert message.startswith("backward, GRU, layer 0, first direction: the gradient that arrives at the output is inf")
    assert "at step 4, row 1. Look at the loss" in message


def test_a_gradient_that_arrives_at_the_final_state(x):
    layer = ostinato.GRU(4, 6)
    with pytest.raises(AnomalyError, match="arrives at the final state h is NaN, row 2"), ostinato.detect_anomaly():
        (layer(x)[1][0, 2] * NAN).sum().backward()


def test_a_gradient_that_grows_on_the_way_back():
    layer = ostinato.RNN(1, 1, nonlinearity="relu", bias=False)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
        layer.weight_hh_l0.fill_(1e10)
    x = torch.zeros(7, 2, 1)
    x[:, 1] = -1.0  # row 1 stays closed
    state = torch.zeros(1, 2, 1)
    state[0, 0] = 1e-37  # 1e-27 after step 0, then 1e-17, 1e-7, 1e3, 1e13, 1e23, 1e33
    message = found(layer, x, state, loss=lambda y: (y[6] * 1e9).sum())
    # 1e9 at step 6, 1e19, 1e29 at step 4, and no float32 at step 3
    assert "layer 0, first direction: the gradient of the state h becomes infinite at step 3, row 0" in message


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"checkpoint": 3}])
def test_nothing_wrong_nothing_said_no_bit_changed(x, options):
    torch.manual_seed(1)
    plain = ostinato.LSTM(4, 6, **options)
    watched = copy.deepcopy(plain)
    plain(x, lengths=[9, 4, 7])[0].square().sum().backward()
    with ostinato.detect_anomaly(watched):
        watched(x, lengths=[9, 4, 7])[0].square().sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), watched.parameters()))
    assert INTERCEPTION.get() is None


def test_a_call_that_cannot_be_looked_at(x):
    layer = ostinato.GRU(4, 6)
    with pytest.warns(UserWarning, match="detect_anomaly: GRU, layer 0, first direction was not looked at: a tracer"):
        with ostinato.detect_anomaly():
            torch.func.vmap(lambda row: layer(row)[0], in_dims=1)(x[:, :, None])


def exponential_gate(W, b, x, h, c, n):
    i, g = torch.exp(W.i @ x + b.i), torch.tanh(W.g @ x + b.g)
    c, n = 0.9 * c + i * g, 0.9 * n + i
    return c / n, c, n


def divided_a_step_later(W, b, x, h, c, n):
    i, g = torch.exp(W.i @ x + b.i), torch.tanh(W.g @ x + b.g)
    return c / n, 0.9 * c + i * g, 0.9 * n + i


FLUSHED = (
    "from finite values. Kernels count numbers below 1.2e-38 in float32, or 2.2e-308 in float64, as 0 "
    '(subnormal numbers are flushed), and without that this is finite: docs/notation.md, "Numbers close to 0"'
)


@pytest.mark.parametrize(
    ("equations", "dtype", "exponent", "start", "step"),
    [
        (exponential_gate, torch.float32, -90.0, 0.0, 0),
        (exponential_gate, torch.float64, -720.0, 0.0, 0),
        (divided_a_step_later, torch.float32, -90.0, 2e-38, 2),  # 1.8e-38 and 1.62e-38 are normal numbers yet
    ],
)
def test_a_division_by_a_number_that_kernels_flush(equations, dtype, exponent, start, step):
    layer = ostinato.Recurrent(equations, 1, 1, dtype=dtype)
    with torch.no_grad():
        layer.weight_ih_l0[:] = torch.tensor([[1.0], [0.01]])
        layer.bias_ih_l0.zero_()
    x = torch.full((9, 1, 1), exponent, dtype=dtype)
    c, n = torch.zeros(2, 1, 1, 1, dtype=dtype) + start
    message = found(layer, x, (torch.zeros_like(c), c, n))
    assert "/" in message and FLUSHED in message
    if not start:
        assert f"becomes NaN at step {step}, row 0" in message
    # Too far below for the reference too: there the advice is the one on division.
    message = found(layer, 10 * x)
    assert "Keep what it divides by away from 0." in message and "flushed" not in message


def test_what_is_no_module_is_refused():
    message = "detect_anomaly: model must be a torch module, got int. Give the model, or nothing."
    with pytest.raises(InputError, match=message), ostinato.detect_anomaly(3):
        pass
