"""Gated recurrent units: one state, carried by z. The two forms apply the reset gate before and after the product."""

from torch import sigmoid, tanh

from ..cell import cell


@cell(
    forget="z",
    source="K. Cho et al., arXiv 1406.1078v1 (2014), where r multiplies U h; two biases, as in cuDNN and torch.nn",
    differs="in nothing: it is torch.nn.GRU",
)
def gru(W, U, b, d, x, h):
    """GRU with the reset gate after the product: r stands outside U.n @ h, so all products with h are one."""
    r = sigmoid(W.r @ x + b.r + U.r @ h + d.r)
    z = sigmoid(W.z @ x + b.z + U.z @ h + d.z)
    n = tanh(W.n @ x + b.n + r * (U.n @ h + d.n))
    return (1 - z) * n + z * h


@cell(
    forget="z",
    source="K. Cho et al., arXiv 1406.1078v3 (2014), where U multiplies r h; v1 of the same paper has the other form",
    differs="torch.nn.GRU resets after the product and has two biases; z keeps the old state in both",
)
def gru_reset_before(W, U, b, x, h):
    """GRU with the reset gate before the product: U.n sees r * h, so a step needs two products, one after the other."""
    r = sigmoid(W.r @ x + b.r + U.r @ h)
    z = sigmoid(W.z @ x + b.z + U.z @ h)
    n = tanh(W.n @ x + b.n + U.n @ (r * h))
    return (1 - z) * n + z * h
