"""One cell, its equations written in two orders: what is saved by one has to be permuted for the other."""

from torch import sigmoid, tanh

import ostinato


@ostinato.cell(name="light")
def written_first(W, U, b, x, h):
    """Gates z n."""
    z = sigmoid(W.z @ x + b.z + U.z @ h)
    n = tanh(W.n @ x + b.n + U.n @ h)
    return z * h + (1 - z) * n


@ostinato.cell(name="light")
def written_later(W, U, b, x, h):
    """The same equations with the gates n z."""
    n = tanh(W.n @ x + b.n + U.n @ h)
    z = sigmoid(W.z @ x + b.z + U.z @ h)
    return z * h + (1 - z) * n
