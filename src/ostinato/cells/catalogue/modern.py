"""Cells of 2024: gates that do not read the state, and exponential gating."""

from torch import exp, maximum, sigmoid, tanh, where
from torch.nn.functional import softplus

from ..cell import cell


@cell(
    input="z",
    source="L. Feng et al., Were RNNs All We Needed?, arXiv 2410.01201v3 (2024), the log-space version of appendix B "
    "(candidate g(a) = a + 0.5 for a ≥ 0, else sigmoid(a)), run step by step",
    differs="torch.nn has no such cell; z says how much is new, the other way round than nn.GRU's z",
)
def mingru(W, b, x, h):
    """minGRU: gate and candidate see the input alone, so the state enters by one multiplication."""
    z = sigmoid(W.z @ x + b.z)
    n = W.n @ x + b.n
    n = where(n >= 0, n + 0.5, sigmoid(n))
    return (1 - z) * h + z * n


@cell(
    forget="f",
    input="i",
    source="L. Feng et al., Were RNNs All We Needed?, arXiv 2410.01201v3 (2024), the log-space version of "
    "appendix B with normalised gates, run step by step",
    differs="torch.nn has no such cell: f and i are divided by their sum, and there is no output gate",
)
def minlstm(W, b, x, h):
    """minLSTM: forget and input gates see the input alone and add up to 1."""
    f = W.f @ x + b.f
    i = W.i @ x + b.i
    n = W.n @ x + b.n
    n = where(n >= 0, n + 0.5, sigmoid(n))
    f = sigmoid(softplus(-i) - softplus(-f))  # σ(f) / (σ(f) + σ(i)), which would be 0 / 0 where both underflow
    return f * h + (1 - f) * n


@cell(
    forget="f",
    input="i",
    source="M. Beck et al., xLSTM, arXiv 2405.04517v2 (2024), section 2.2, one head, forget gate = sigmoid, "
    "stabilised by appendix A.2",
    differs="torch.nn has no such cell: the input gate is an exponential, n normalises, m keeps exponents small",
)
def slstm(W, U, b, x, h, c, n, m):
    """sLSTM: exponential input gate with a normaliser n and a stabiliser m, which is the largest exponent so far."""
    i = W.i @ x + b.i + U.i @ h
    f = -softplus(-(W.f @ x + b.f + U.f @ h))
    g = tanh(W.g @ x + b.g + U.g @ h)
    o = sigmoid(W.o @ x + b.o + U.o @ h)
    top = maximum(f + m, i)
    i, f = exp(i - top), exp(f + m - top)
    c = f * c + i * g
    n = f * n + i
    h = o * (c / n)
    return h, c, n, top
