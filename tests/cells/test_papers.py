"""Cells that torch.nn and ONNX do not have, against the equations of their papers, written in NumPy step by step.

Each paper's equations are on one unit vector at a time, with its own names and in its own form: without the stabiliser
of sLSTM, with the normalised gates of minLSTM as quotients. `rows` are the gates in the order of the layer's weights.
"""

import numpy as np
import pytest
import torch
from torch import nn

import ostinato

STEPS, ROWS, FEATURES, UNITS = 6, 3, 4, 5


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def g(a):
    """Feng et al. 2024, appendix B.2.2: positive everywhere."""
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def lstm_1997(x, h, c, i, g, o):
    """Hochreiter and Schmidhuber 1997, equations of section 4, with tanh for their scaled sigmoids."""
    s = c + sigmoid(i(x, h)) * np.tanh(g(x, h))
    return sigmoid(o(x, h)) * np.tanh(s), s


def indrnn(x, h, n):
    """Li et al. 2018, equation 2."""
    return (np.maximum(n(x, h), 0),)


def janet(x, h, f, g):
    """Van der Westhuizen and Lasenby 2018, equations 4 with β = 0."""
    share = sigmoid(f(x, h))
    return (share * h + (1 - share) * np.tanh(g(x, h)),)


def ligru(x, h, z, n):
    """Ravanelli et al. 2018, equations 3."""
    share = sigmoid(z(x, h))
    return (share * h + (1 - share) * np.maximum(n(x, h), 0),)


def mgu(x, h, f, n):
    """Zhou et al. 2016, equations 7: the forget gate multiplies the state inside of the candidate too."""
    share = sigmoid(f(x, h))
    return ((1 - share) * h + share * np.tanh(n(x, share * h)),)


def mingru(x, h, z, n):
    """Feng et al. 2024, section 3.1.3 with g of appendix B."""
    share = sigmoid(z(x, h))
    return ((1 - share) * h + share * g(n(x, h)),)


def minlstm(x, h, f, i, n):
    """Feng et al. 2024, section 3.2.3: both gates are divided by their sum."""
    forget, enter = sigmoid(f(x, h)), sigmoid(i(x, h))
    return (forget / (forget + enter) * h + enter / (forget + enter) * g(n(x, h)),)


def slstm(x, h, c, n, m, i, f, g, o):
    """Beck et al. 2024, equations 8 to 14, without the stabiliser m, which changes no number."""
    forget, enter = sigmoid(f(x, h)), np.exp(i(x, h))
    cell, norm = forget * c + enter * np.tanh(g(x, h)), forget * n + enter
    return sigmoid(o(x, h)) * cell / norm, cell, norm, m


def ugrnn(x, h, n, g):
    """Collins et al. 2016, equations of the UGRNN."""
    share = sigmoid(g(x, h))
    return (share * h + (1 - share) * np.tanh(n(x, h)),)


PAPERS = {f.__name__: f for f in (lstm_1997, indrnn, janet, ligru, mgu, mingru, minlstm, slstm, ugrnn)}


def gates_of(layer):
    """Of each gate the function (x, h) → W x + U h + b, in the order in which the layer stacks them."""
    weights = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    count = len(weights["bias_ih_l0"]) // UNITS

    def gate(k):
        rows = slice(k * UNITS, (k + 1) * UNITS)
        w, b = weights["weight_ih_l0"][rows], weights["bias_ih_l0"][rows]
        if "weight_hh_l0" in weights:
            u = weights["weight_hh_l0"][rows]
            return lambda x, h: x @ w.T + h @ u.T + b
        if "p_u_l0" in weights:
            return lambda x, h: x @ w.T + weights["p_u_l0"] * h + b
        return lambda x, h: x @ w.T + b

    return [gate(k) for k in range(count)]


@pytest.mark.parametrize("name", PAPERS)
def test_the_equations_are_those_of_the_paper(name):
    torch.manual_seed(5)
    layer = ostinato.Recurrent(name, FEATURES, UNITS).double()
    for p in layer.parameters():
        nn.init.normal_(p, std=0.7)
    x = torch.randn(STEPS, ROWS, FEATURES, dtype=torch.float64)
    states = [np.zeros((ROWS, UNITS))] * len(layer.cell.states)
    outputs, gates = [], gates_of(layer)
    for t in range(STEPS):
        states = PAPERS[name](x[t].numpy(), *states, *gates)
        outputs.append(states[0])
    output, final = layer(x)
    np.testing.assert_allclose(output.detach().numpy(), outputs, rtol=1e-10, atol=1e-12)
    if name == "lstm_1997":
        np.testing.assert_allclose(final[1][0].detach().numpy(), states[1], rtol=1e-10, atol=1e-12)


def test_every_cell_of_the_catalogue_has_a_truth_of_its_own():
    of_torch_or_onnx = {
        "elman", "elman_sigmoid", "elman_relu", "elman_leaky_relu", "elman_softplus", "lstm", "lstm_peephole",
        "lstm_coupled", "lstm_projected", "gru", "gru_reset_before",
    }  # fmt: skip
    """In tests/layers/test_against_torch.py and tests/test_onnx_truth.py."""
    assert set(ostinato.cells.catalogue()) == of_torch_or_onnx | set(PAPERS) | {"elman_prelu"}


def test_prelu_is_that_of_torch():
    torch.manual_seed(5)
    layer = ostinato.Recurrent("elman_prelu", FEATURES, UNITS).double()
    x, h = torch.randn(STEPS, ROWS, FEATURES, dtype=torch.float64), torch.zeros(ROWS, UNITS, dtype=torch.float64)
    (slope,) = [p for name, p in layer.named_parameters() if name.startswith("p_")]
    for t in range(STEPS):
        a = nn.functional.linear(x[t], layer.weight_ih_l0, layer.bias_ih_l0) + h @ layer.weight_hh_l0.T
        h = nn.functional.prelu(a + getattr(layer, "bias_hh_l0", 0.0), slope)
    torch.testing.assert_close(layer(x)[0][-1], h, rtol=1e-10, atol=1e-12)
