"""Long short-term memory: an additive cell state c with input, forget and output gates."""

from torch import sigmoid, tanh

from ..cell import cell


@cell(
    forget="f",
    input="i",
    source="S. Hochreiter, J. Schmidhuber, Neural Computation 9(8) (1997), with the forget gate of F. A. Gers, "
    "J. Schmidhuber, F. Cummins, Neural Computation 12(10) (2000)",
    differs="in nothing: it is torch.nn.LSTM",
)
def lstm(W, U, b, d, x, h, c):
    """The LSTM of today, with a forget gate and two biases as torch has them."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


@cell(
    input="i",
    source="S. Hochreiter, J. Schmidhuber, Neural Computation 9(8) (1997), section 4",
    differs="torch.nn.LSTM has a forget gate and two biases; the source squashes g to [-2, 2] and c to [-1, 1] by "
    "scaled sigmoids, here both are tanh",
)
def lstm_1997(W, U, b, x, h, c):
    """The first LSTM: no forget gate. c only ever adds up, the constant error carousel: ∂c_t/∂c_{t-1} = 1."""
    i = sigmoid(W.i @ x + b.i + U.i @ h)
    g = tanh(W.g @ x + b.g + U.g @ h)
    o = sigmoid(W.o @ x + b.o + U.o @ h)
    c = c + i * g
    return o * tanh(c), c


@cell(
    forget="f",
    input="i",
    source="F. A. Gers, J. Schmidhuber, Recurrent Nets that Time and Count, IJCNN 2000; as in K. Greff et al., "
    "arXiv 1503.04069v2, section II",
    differs="torch.nn.LSTM has no peepholes (here i and f see the old c, o the new) and has two biases",
)
def lstm_peephole(W, U, b, p, x, h, c):
    """LSTM whose gates also read the cell state, through one weight per unit."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + p.i * c)
    f = sigmoid(W.f @ x + b.f + U.f @ h + p.f * c)
    g = tanh(W.g @ x + b.g + U.g @ h)
    c = f * c + i * g
    o = sigmoid(W.o @ x + b.o + U.o @ h + p.o * c)
    return o * tanh(c), c


@cell(
    forget="f",
    source="K. Greff et al., LSTM: A Search Space Odyssey, arXiv 1503.04069v2, the variant CIFG, without peepholes",
    differs="torch.nn.LSTM has an input gate of its own, here it is 1 - f, and two biases",
)
def lstm_coupled(W, U, b, x, h, c):
    """LSTM that writes as much as it forgets: the input gate is 1 - f."""
    f = sigmoid(W.f @ x + b.f + U.f @ h)
    g = tanh(W.g @ x + b.g + U.g @ h)
    o = sigmoid(W.o @ x + b.o + U.o @ h)
    c = f * c + (1 - f) * g
    return o * tanh(c), c


@cell(
    forget="f",
    input="i",
    source="H. Sak, A. Senior, F. Beaufays, arXiv 1402.1128 (2014), section 2, without its peepholes",
    differs="in nothing: it is torch.nn.LSTM with proj_size",
)
def lstm_projected(W, U, V, b, d, x, h, c):
    """LSTM whose output, and what its gates see of the past, is projected from hidden_size to proj_size."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = f * c + i * g
    h = V.h @ (o * tanh(c))
    return h, c
