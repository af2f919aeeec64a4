"""Cells beside cells: the user's own LSTM, variants for the arithmetic they have, and cells that memory bounds."""

from collections.abc import Callable

import torch
from measure import Unequal, in_turns
from torch import Tensor, nn, sigmoid, tanh

import ostinato
from ostinato.cells import catalogue

VARIANTS = {"gru_reset_before": "gru", "lstm_peephole": "lstm", "lstm_projected": "lstm"}
"""A variant of the catalogue → the plain cell that it varies."""
ELEMENTWISE = ("indrnn", "mingru")
STEPS, ROWS, UNITS = 100, 32, 128


@ostinato.cell
def typed_again(W, U, b, d, x, h, c):  # type: ignore[no-untyped-def]
    """nn.LSTM's equations under another name."""
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


def call(layer: nn.Module, x: Tensor, training: bool) -> Callable[[], Tensor]:
    """One pass: forward in inference mode, or forward and backward with the gradient in x; returns the output."""
    if not training:

        def infer() -> Tensor:
            with torch.inference_mode():
                return layer(x)[0]

        return infer
    x = x.clone().requires_grad_()
    with torch.no_grad():
        from_above = torch.randn_like(layer(x)[0])

    def train() -> Tensor:
        x.grad = None
        layer.zero_grad()
        output = layer(x)[0]
        output.backward(from_above)
        return output.detach()

    return train


def renamed(batch: int, hidden: int, training: bool, seconds: float) -> float:
    """Time of the user's LSTM over that of ostinato.LSTM with the same weights, T = 100; bits must be equal."""
    builtin, own = ostinato.LSTM(hidden, hidden), ostinato.Recurrent(typed_again, hidden, hidden)
    own.load_state_dict(builtin.state_dict())
    x = torch.randn(STEPS, batch, hidden)
    calls = [call(layer, x, training) for layer in (own, builtin)]
    if not torch.equal(calls[0](), calls[1]()):
        raise Unequal("The LSTM under another name does not give the built-in one's bits.")
    return _ratio(calls, seconds)


def variant(name: str, plain: str, training: bool, seconds: float) -> tuple[float, float]:
    """(time over the plain cell's, multiply-adds of the products over the plain cell's); T = 100, B = 32, H = 128.

    A projection is half as wide as H.
    """
    layers = [layer_of(which, UNITS) for which in (name, plain)]
    x = torch.randn(STEPS, ROWS, UNITS)
    needed = products(layers[0]) / products(layers[1])
    return _ratio([call(layer, x, training) for layer in layers], seconds), needed


def traffic(name: str, inputs: int, training: bool, seconds: float) -> tuple[float, float]:
    """(bytes a second, FLOP/s of the products) at T = 400, B = 32, C = `inputs`, H = 256.

    Bytes are the least that any implementation moves: x read, the output written, weights read; in training also x,
    the output and its gradient read, the gradient of x written, weights read again and their gradients written.
    """
    steps, rows, units = 400, 32, 256
    layer, x = layer_of(name, units, inputs), torch.randn(steps, rows, inputs)
    spent = in_turns([call(layer, x, training)], seconds, 3)[0]
    weights = sum(weight.numel() for weight in layer.parameters())
    lines = (3 * inputs + 3 * units) if training else inputs + units
    numbers = steps * rows * lines + (3 if training else 1) * weights
    once = 2 * steps * rows * products(layer) * (3 if training else 1)
    each = sorted(spent)[len(spent) // 2]
    return 4 * numbers / each, once / each


def layer_of(name: str, units: int, inputs: int = 0) -> nn.Module:
    """A layer of a cell of the catalogue, C = `inputs` or H, P = H / 2 where there is a projection."""
    torch.manual_seed(0)
    cell = catalogue()[name]
    return ostinato.Recurrent(cell, inputs or units, units, proj_size=units // 2 if cell.projected else 0)


def products(layer: nn.Module) -> int:
    """Multiply-adds of one step of one row: the entries of all weight matrices."""
    return sum(weight.numel() for weight in layer.parameters() if weight.dim() == 2)


def _ratio(calls: list[Callable[[], Tensor]], seconds: float) -> float:
    first, second = (sorted(times)[len(times) // 2] for times in in_turns(calls, seconds, 5))
    return first / second
