"""Small random calls of any cell."""

import torch
from torch import nn

import ostinato
from ostinato import cells
from ostinato.execution import dispatch
from ostinato.sequence import SequenceCall
from tolerance import check

CELLS = ("elman", "lstm", "gru", "gru_reset_before", "lstm_projected", "slstm")


def draw(name, steps=5, rows=3, features=4, hidden=6, projected=2, dtype=torch.float32, seed=0, gradients=False):
    """(cell, x [T, B, C], states, weights); every gate has weights of its own."""
    cell = cells.catalogue()[name]
    made = torch.Generator().manual_seed(seed)
    width = projected if cell.projected else 0

    def tensor(*shape, scale=1.0):
        return torch.randn(shape, generator=made, dtype=torch.float64).mul(scale).to(dtype)

    x = tensor(steps, rows, features)
    states = [tensor(rows, cell.width(symbol, features, hidden, width), scale=0.5) for symbol in cell.state_widths]
    if name == "slstm":
        states = [s.abs() + 0.5 for s in states]  # its normaliser is a sum of exponentials: never negative
    weights = [tensor(*shape, scale=0.4) for shape in cell.parameters(features, hidden, width).values()]
    for t in (x, *states, *weights):
        t.requires_grad_(gradients)
    return cell, x, states, weights


def agree(found, expected, gradients=False):
    """Two lists of tensors, within the one tolerance of all tests."""
    found, expected = ({str(k): t for k, t in enumerate(tensors)} for tensors in (found, expected))
    check("gradients" if gradients else "outputs", found, expected)


def run(cell, x, states, weights, sizes=None, reverse=False, histories=False, checkpoint=None):
    """(output, final states, histories) of `operator.run`."""
    call = SequenceCall(cell, x, states, weights, sizes, reverse)
    result = dispatch.run(call, histories, checkpoint)
    return result.output, result.final_states, result.histories


def flat(result):
    """(output, finals, histories) as one list."""
    output, finals, histories = result
    return [output, *finals, *histories]


def loss(tensors):
    """A scalar to which every entry contributes with a weight of its own."""
    return sum((t * torch.linspace(-1.0, 1.3, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in tensors)


class Net(nn.Module):
    """One layer of a cell, both directions on demand, and its states after every step."""

    def __init__(self, name, directions=1, dtype=torch.float32):
        super().__init__()
        self.cell, _, self.states, weights = draw(name, dtype=dtype)
        self.cell = cells.Cell.from_text(self.cell.text)
        self.weights = nn.ParameterList(weights)
        self.directions = directions

    def forward(self, x):
        states = [s[: x.shape[1]] for s in self.states]
        results = [run(self.cell, x, states, list(self.weights), None, bool(d), True) for d in range(self.directions)]
        return [t for r in results for t in (r[0], *r[1], *r[2])]


class Half(nn.Module):
    """Two layers of which one is called, on ragged rows with resets. Always the same weights."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.used, self.unused = ostinato.LSTM(4, 6, bidirectional=True), ostinato.GRU(4, 6)

    def forward(self, x):
        resets = torch.zeros(x.shape[:2], dtype=torch.bool)
        resets[2, 0] = True
        return self.used(x, lengths=[x.shape[0], 2, 0][: x.shape[1]], resets=resets)[0]


def gradients(net, x, outputs):
    return torch.autograd.grad(loss(outputs), [x, *net.weights])
