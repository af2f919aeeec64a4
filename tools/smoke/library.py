"""The library as installed: a cell, a layer, their gradients, and torch's numbers."""

import torch
from torch import nn, tanh

import ostinato


@ostinato.cell
def leaky(W, U, b, x, h):
    return 0.5 * h + 0.5 * tanh(W.h @ x + U.h @ h + b.h)


layer = ostinato.Recurrent(leaky, input_size=3, hidden_size=5)
output, h = layer(torch.randn(7, 2, 3))
output.sum().backward()
assert output.shape == (7, 2, 5) and all(p.grad is not None for p in layer.parameters())

ours, theirs = ostinato.LSTM(3, 5), nn.LSTM(3, 5)
ours.load_state_dict(theirs.state_dict())
x = torch.randn(7, 2, 3)
torch.testing.assert_close(ours(x)[0], theirs(x)[0])
