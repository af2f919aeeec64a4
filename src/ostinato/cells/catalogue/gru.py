"""Gated recurrent units: one state, carried by z. The two forms differ in where the reset gate stands."""

from torch import sigmoid, tanh

from ..cell import cell


@cell(forget="z", source="K. Cho et al., arXiv 1406.1078v3 (2014), in the form of cuDNN and torch.nn (reset after the product)",
      differs="in nothing: it is torch.nn.GRU")
def gru(W, U, b, d, x, h):
    """GRU with the reset gate after the product: r stands outside U.n @ h, so all products with h are one."""
    r = sigmoid(W.r @ x + b.r + U.r @ h + d.r)
    z = sigmoid(W.z @ x + b.z + U.z @ h + d.z)
    n = tanh(W.n @ x + b.n + r * (U.n @ h + d.n))
    return (1 - z) * n + z * h


@cell(forget="z", source="K. Cho et al., arXiv 1406.1078v1 (2014), equations 5 to 8",
      differs="torch.nn.GRU resets after the product; one bias; z keeps the old state, as in torch")
def gru_reset_before(W, U, b, x, h):
    """GRU as first published: the reset gate acts on h before the product."""
    r = sigmoid(W.r @ x + b.r + U.r @ h)
    z = sigmoid(W.z @ x + b.z + U.z @ h)
    n = tanh(W.n @ x + b.n + U.n @ (r * h))
    return (1 - z) * n + z * h
