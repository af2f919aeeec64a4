"""Gated cells with fewer products than a GRU."""

from torch import relu, sigmoid, tanh

from ..cell import cell


@cell(
    input="f",
    source="G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, Minimal Gated Unit for Recurrent Neural Networks, "
    "arXiv 1603.09420 (2016)",
    differs="torch.nn has no such cell; f is both gates and says how much is new, the other way round than nn.GRU's z",
)
def mgu(W, U, b, x, h):
    """Minimal gated unit: a GRU whose reset and update gates are one."""
    f = sigmoid(W.f @ x + b.f + U.f @ h)
    n = tanh(W.n @ x + b.n + U.n @ (f * h))
    return (1 - f) * h + f * n


@cell(
    forget="g",
    source="J. Collins, J. Sohl-Dickstein, D. Sussillo, Capacity and Trainability in Recurrent Neural Networks, "
    "arXiv 1611.09913 (2016), the UGRNN",
    differs="torch.nn has no such cell; a bias that the source adds to g's argument is a start value of b.g here",
)
def ugrnn(W, U, b, x, h):
    """Update gate network: a plain network with one gate."""
    n = tanh(W.n @ x + b.n + U.n @ h)
    g = sigmoid(W.g @ x + b.g + U.g @ h)
    return g * h + (1 - g) * n


@cell(
    forget="f",
    source="J. van der Westhuizen, J. Lasenby, The Unreasonable Effectiveness of the Forget Gate, "
    "arXiv 1804.04849 (2018), with β = 0",
    differs="torch.nn has no such cell: it is an LSTM with nothing but its forget gate",
)
def janet(W, U, b, x, h):
    """Just another network: the LSTM reduced to its forget gate."""
    f = sigmoid(W.f @ x + b.f + U.f @ h)
    g = tanh(W.g @ x + b.g + U.g @ h)
    return f * h + (1 - f) * g


@cell(
    forget="z",
    source="M. Ravanelli, P. Brakel, M. Omologo, Y. Bengio, Light Gated Recurrent Units for Speech Recognition, "
    "arXiv 1803.10225 (2018), without its batch normalisation",
    differs="torch.nn.GRU has a reset gate, tanh and two biases",
)
def ligru(W, U, b, x, h):
    """Light GRU: no reset gate, ReLU for the candidate. Unbounded: it can explode."""
    z = sigmoid(W.z @ x + b.z + U.z @ h)
    n = relu(W.n @ x + b.n + U.n @ h)
    return z * h + (1 - z) * n


@cell(
    source="S. Li, W. Li, C. Cook, C. Zhu, Y. Gao, Independently Recurrent Neural Network (IndRNN), "
    "arXiv 1803.04831 (2018), with ReLU",
    init={"p.u": 1.0},
    differs="torch.nn has no such cell: each unit sees only its own past, through p.u",
)
def indrnn(W, b, p, x, h):
    """Independently recurrent network: a vector in place of U. p.u starts at 1; beyond 1 in size it can explode."""
    return relu(W.h @ x + b.h + p.u * h)
