"""Plain recurrent networks: one product with the input, one with the state, one activation."""

from torch import relu, sigmoid, tanh, where
from torch.nn.functional import leaky_relu, softplus

from ..cell import cell

_ELMAN = "J. L. Elman, Finding Structure in Time, Cognitive Science 14 (1990), pp. 179-211"


@cell(source=_ELMAN, differs="in nothing: it is torch.nn.RNN with nonlinearity='tanh'")
def elman(W, U, b, d, x, h):
    """The plain recurrent network. tanh' = 1 - h², at most 1, near 0 where |h| is near 1."""
    return tanh(W.h @ x + b.h + U.h @ h + d.h)


@cell(source=_ELMAN, differs="torch.nn.RNN has no sigmoid")
def elman_sigmoid(W, U, b, d, x, h):
    """Elman's own activation. sigmoid' = h (1 - h), at most 1/4: with a small U gradients shrink fourfold a step."""
    return sigmoid(W.h @ x + b.h + U.h @ h + d.h)


@cell(
    source="Q. V. Le, N. Jaitly, G. E. Hinton, A Simple Way to Initialize Recurrent Networks of Rectified Linear "
    "Units, arXiv 1504.00941 (2015)",
    differs="in nothing: it is torch.nn.RNN with nonlinearity='relu'",
)
def elman_relu(W, U, b, d, x, h):
    """The plain network with ReLU; with U started at the identity it is the source's IRNN. Unbounded."""
    return relu(W.h @ x + b.h + U.h @ h + d.h)


@cell(
    source="A. L. Maas, A. Y. Hannun, A. Y. Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013)",
    differs="torch.nn.RNN has no leaky ReLU",
)
def elman_leaky_relu(W, U, b, d, x, h):
    """The plain network with leaky ReLU, slope 0.01 below zero. Unbounded: it can explode."""
    return leaky_relu(W.h @ x + b.h + U.h @ h + d.h, 0.01)


@cell(
    source="K. He, X. Zhang, S. Ren, J. Sun, Delving Deep into Rectifiers, arXiv 1502.01852 (2015), section 2.1",
    init={"p.a": 0.25},
    differs="torch.nn.RNN has no PReLU; the slope is one number per unit, as in nn.PReLU(num_parameters=H)",
)
def elman_prelu(W, U, b, d, p, x, h):
    """The plain network with PReLU: the slope below zero is learned, one per unit, from 0.25. Unbounded."""
    a = W.h @ x + b.h + U.h @ h + d.h
    return where(a > 0, a, p.a * a)


@cell(
    source="C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau, R. Garcia, Incorporating Second-Order Functional Knowledge for "
    "Better Option Pricing, NIPS 2000",
    differs="torch.nn.RNN has no softplus",
)
def elman_softplus(W, U, b, d, x, h):
    """The plain network with softplus, log(1 + e^a); its derivative is the sigmoid. Unbounded: it can explode."""
    return softplus(W.h @ x + b.h + U.h @ h + d.h)
