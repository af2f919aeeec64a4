"""Networks written node by node, one for each kind of node, and one whole."""

from nodes import Builder


def _pointwise(b):
    """One by one: signs, bounds, choices, a number and a constant beside values of every step."""
    two, bias = b.number(2.0), b.constant(4, "bias")
    above = b.pointwise("gt", 0, two)
    chosen = b.pointwise("where", above, bias, b.pointwise("mul", 0, two))
    bounded = b.pointwise("clamp", 0, settings=(-0.5, 0.7))
    found = [b.pointwise(name, 0) for name in ("tanh", "sigmoid", "relu", "softplus", "exp", "neg")]
    found += [b.pointwise("leaky_relu", 0, settings=(0.2,)), b.pointwise("fma", 0, bias, two)]
    found += [b.pointwise(name, 0, bias) for name in ("add", "sub", "div", "minimum", "maximum")]
    found += [b.pointwise(name, b.pointwise("exp", 0)) for name in ("log", "sqrt")]
    return b.concatenate(chosen, bounded, *found)


def _constants(b):
    """Values that no step changes, as inputs of every kind of node that reads another one."""
    bias = b.constant(4, "bias")
    found = [
        b.linear(bias, 3, "head"),
        b.recurrent("gru", bias, 3, "gru.0"),
        b.convolution(bias, 3, 2, "conv"),
        b.running(bias, "mean", "pool"),
        b.softmax(bias),
        b.norm(bias, "norm", False, False),
        b.columns(bias, 1, 2),
        b.pointwise("mul", bias, b.number(3.0)),
        b.number(0.5),
    ]
    return b.concatenate(0, *found)


def _several(b):
    first = b.convolution(0, 3, 3, "conv", dilation=2)
    return b.concatenate(first, b.convolution(first, 2, 2, "other", bias=False), 0)


def _whole(b):
    """Convolution, norm, two recurrent layers, a skip connection, a mean over time, a head and a softmax."""
    y = b.pointwise("relu", b.convolution(0, 5, 3, "conv"))
    y = b.norm(y, "norm", False, False)
    first = b.recurrent("gru_reset_before", y, 5, "rnn.0")
    second = b.recurrent("mgu", b.pointwise("add", first, y), 4, "rnn.1")
    mean = b.running(second, "mean", "pool")
    head = b.linear(b.concatenate(second, mean), 6, "head")
    return b.softmax(b.columns(head, 1, 5), log=True)


NETWORKS = {
    "lstm": lambda b: b.recurrent("lstm", 0, 5, "rnn.0"),
    "scan": lambda b: b.recurrent("janet", 0, 5, "rnn.0"),
    "projected": lambda b: b.recurrent("lstm_projected", 0, 5, "rnn.0", projected=3),
    "embedding": lambda b: b.linear(b.embedding(4), 3, "head", bias=False),
    "linear": lambda b: b.linear(0, 3, "head"),
    "convolution": lambda b: b.convolution(0, 3, 3, "conv"),
    "convolutions": _several,
    "norm": lambda b: b.norm(0, "n"),
    "norm without bias": lambda b: b.norm(0, "n", bias=False),
    "norm without weight": lambda b: b.norm(0, "n", False, False),
    "pointwise": _pointwise,
    "constants": _constants,
    "softmax": lambda b: b.softmax(0),
    "log_softmax": lambda b: b.softmax(0, log=True),
    "columns": lambda b: b.concatenate(b.columns(0, 2, 2), b.columns(0, 0, 1)),
    "mean": lambda b: b.running(0, "mean", "pool"),
    "maximum": lambda b: b.running(0, "maximum", "pool"),
    "whole": _whole,
}
"""Name → what adds the nodes to a builder whose x has 4 numbers, or is one of 7 tokens."""


def network_of(kind, dtype):
    b = Builder(dtype, 1, tokens=7) if kind == "embedding" else Builder(dtype, 4)
    NETWORKS[kind](b)
    return b.network()
