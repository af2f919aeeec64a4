"""Models with layers of two directions, and what Python says of them, for the tests of their exports."""

import torch
from torch import nn

import ostinato
from ostinato.streaming.choose import run_whole
from ostinato.streaming.read import read


class Labels(nn.Module):
    """x [T, B, 5] → numbers [T, B, 3]: two layers of two directions with learned initial states, a norm, a head."""

    def __init__(self):
        super().__init__()
        self.layer = ostinato.LSTM(5, 9, 2, bidirectional=True, learn_initial_state=True)
        self.norm, self.head = nn.LayerNorm(18), nn.Linear(18, 3)

    def forward(self, x):
        return self.head(self.norm(self.layer(x)[0]))


class Classifier(nn.Module):
    """Tokens [T, B] of 11 → numbers [B, 4], over the mean or the maximum of all steps."""

    def __init__(self, pool="mean", directions=2):
        super().__init__()
        self.pool, self.embedding = pool, nn.Embedding(11, 6)
        self.layer, self.head = ostinato.GRU(6, 7, bidirectional=directions == 2), nn.Linear(7 * directions, 4)

    def forward(self, tokens):
        y = self.layer(self.embedding(tokens))[0]
        return self.head(y.mean(0) if self.pool == "mean" else y.amax(0))


def drawn(model, seed=0):
    """The model in evaluation, its parameters drawn."""
    torch.manual_seed(seed)
    for p in model.parameters():
        nn.init.uniform_(p, -0.7, 0.7)
    return model.eval()


def inputs(model, steps):
    """A row [T, 5], or tokens int64 [T]."""
    draw = torch.Generator().manual_seed(steps)
    if isinstance(model, Classifier):
        return torch.randint(0, 11, (steps,), generator=draw)
    return torch.randn(steps, 5, generator=draw)


def expected(model, x):
    """What Python gives: [T, O], or the classifier's answer [1, O]."""
    y = run_whole(read(model, whole=True), x)
    return y[-1:] if isinstance(model, Classifier) else y
