"""Lines drawn without regard to their meaning: whatever is not refused has the model's values."""

import itertools
import random
from collections import Counter

import torch
import torch.nn.functional as F
from torch import nn

from ostinato import GRU
from ostinato.errors import InputError
from ostinato.network.reference import Reference
from ostinato.streaming.read import read
from streaming.agreement import ORDERS, ROWS, STEPS, drawn
from tolerance import error

WIDTH = 4


def lines(draw):
    """One drawn line: its text and what it does. It may fail, or mean something that no stream can do."""
    axis, other = draw.randint(-3, 3), draw.randint(-3, 3)
    amount = draw.randint(1, 2)
    return draw.choice(
        [
            (f"transpose {axis} {other}", lambda m, y: y.transpose(axis, other)),
            (f"unsqueeze {axis}", lambda m, y: y.unsqueeze(axis)),
            (f"squeeze {axis}", lambda m, y: y.squeeze(axis)),
            (f"flatten {axis} {other}", lambda m, y: y.flatten(axis, other)),
            (f"split features {axis}", lambda m, y: y.unflatten(axis, (2, -1))),
            ("view B T", lambda m, y: y.reshape(m.size[1], m.size[0], -1)),
            ("view T B", lambda m, y: y.reshape(m.size[0], m.size[1], -1)),
            ("view T", lambda m, y: y.reshape(m.size[0], -1)),
            ("view B", lambda m, y: y.reshape(-1, m.size[1])),
            (f"last {axis}", lambda m, y: y.select(axis, -1)),
            (f"entry {axis}", lambda m, y: y.select(axis, amount)),
            (f"from {axis}", lambda m, y: y.narrow(axis, amount, y.size(axis) - amount)),
            (f"up to {axis}", lambda m, y: y.narrow(axis, 0, y.size(axis) - amount)),
            ("[..., :-k]", lambda m, y: y[..., :-amount]),
            ("[:, k:]", lambda m, y: y[:, amount:]),
            (f"mean {axis}", lambda m, y: y.mean(axis)),
            (f"kept mean {axis}", lambda m, y: y.mean(axis, keepdim=True)),
            (f"maximum {axis}", lambda m, y: y.amax(axis)),
            (f"softmax {axis}", lambda m, y: y.softmax(axis)),
            (f"halves {axis}", lambda m, y: torch.cat(y.chunk(2, axis)[::-1], axis)),
            (f"beside {axis} {other}", lambda m, y: torch.cat([y, torch.relu(y)], axis)),
            (f"stack {axis}", lambda m, y: torch.stack([y, -y], axis)),
            (f"less mean {axis}", lambda m, y: y - y.mean(axis, keepdim=True)),
            ("times p", lambda m, y: y * m.p),
            ("linear", lambda m, y: m.square(y)),
            ("pad left", lambda m, y: F.pad(y, (amount, 0))),
            ("pad right", lambda m, y: F.pad(y, (0, amount))),
            ("conv", lambda m, y: m.conv(y)),
            ("padded conv", lambda m, y: m.padded(y)),
            ("causal conv", lambda m, y: m.conv(F.pad(y, (2, 0)))),
            ("rnn", lambda m, y: m.rnn(y)[0]),
            ("rnn, rows first", lambda m, y: m.batched(y)[0]),
            ("its h", lambda m, y: m.batched(y)[1]),
            ("norm", lambda m, y: m.norm(y)),
            ("last norm", lambda m, y: m.layer(y)),
            ("tanh", lambda m, y: torch.tanh(y)),
            ("in place", lambda m, y: (y.mul_(2) + m.kept) if amount == 1 else y.mul_(2)),
        ]
    )


class Lines(nn.Module):
    """Drawn lines behind a layer that says which axis is which."""

    def __init__(self, seed):
        super().__init__()
        draw = random.Random(seed)
        torch.manual_seed(seed)
        self.rows_first = draw.random() < 0.5
        self.first = GRU(WIDTH, WIDTH, batch_first=self.rows_first)
        self.rnn, self.batched = GRU(WIDTH, WIDTH), GRU(WIDTH, WIDTH, batch_first=True)
        self.conv, self.padded = nn.Conv1d(WIDTH, WIDTH, 3), nn.Conv1d(WIDTH, WIDTH, 3, padding=2)
        self.norm, self.layer, self.square = nn.BatchNorm1d(WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.p = nn.Parameter(torch.randn(WIDTH))
        self.rules = [lines(draw) for _ in range(draw.randint(1, 3))]

    def forward(self, x):
        self.size = (x.size(1), x.size(0)) if self.rows_first else (x.size(0), x.size(1))
        y = self.first(x)[0]
        for _, rule in self.rules:
            self.kept = y
            y = rule(self, y)
        return y


def possible(y, sizes):
    """A result of a whole sequence as [T, B, O], for every order of its axes in which it can be that."""
    for order in itertools.permutations(range(y.dim())):
        turned = y.permute(order)
        if turned.shape[:2] == sizes:
            yield turned.reshape(*sizes, -1)
        if turned.shape[:1] == (sizes[0] * sizes[1],):
            yield turned.reshape(*sizes, -1)
            yield turned.reshape(sizes[1], sizes[0], -1).transpose(0, 1)


def right(model, found, xs, layout):
    """Whether the stream's values [T, B, O] are the model's, of whole sequences or of the steps so far."""

    def of(steps):
        return model(xs[:steps].permute(ORDERS[layout]).contiguous())

    if any(y.shape == found.shape and error(found, y) < 1e-9 for y in possible(of(STEPS), (STEPS, ROWS))):
        return True
    pooled = [list(possible(of(t + 1).unsqueeze(0), (1, ROWS))) for t in range(STEPS)]
    return any(
        all(y.shape == found[:1].shape for y in ys) and error(found, torch.cat(ys)) < 1e-9 for ys in zip(*pooled)
    )


def judged(seed):
    """ "refused", "fails" where the model itself does, "right" or "wrong"."""
    model = Lines(seed).double().eval()
    layout = "BTC" if model.rows_first else "TBC"
    xs = drawn(layout, WIDTH, torch.float64, seed=seed)
    try:
        network = read(model)
    except InputError:
        return "refused"
    with torch.no_grad():
        try:
            model(xs.permute(ORDERS[layout]).contiguous())
        except (RuntimeError, IndexError, ValueError, AssertionError):
            return "fails"
        reference = Reference(network)
        found, _ = reference.run(xs, reference.initial(ROWS))
        return "right" if right(model, found, xs, layout) else "wrong"


def test_what_is_not_refused_is_right():
    found = {seed: judged(seed) for seed in range(150)}
    wrong = {seed: [text for text, _ in Lines(seed).rules] for seed, what in found.items() if what == "wrong"}
    assert not wrong
    counts = Counter(found.values())
    assert counts["right"] > 25 and counts["refused"] > 50
