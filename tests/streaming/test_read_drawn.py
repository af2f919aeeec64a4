"""Models drawn at random of everything that is read, each beside the model itself."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ostinato import GRU, LSTM, Recurrent
from streaming.agreement import agree

TOKENS = 7


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Gated(nn.Module):
    """Two parts of the features, a parameter, a choice, and all of it beside x."""

    def __init__(self, width):
        super().__init__()
        self.both, self.scale = nn.Linear(width, 2 * width), nn.Parameter(torch.randn(width))

    def forward(self, x):
        a, b = self.both(x).chunk(2, dim=-1)
        y = torch.where(a > 0.1, a * torch.sigmoid(b), self.scale * b) / 2 - 0.5
        return torch.cat([y, x[..., 1:]], dim=-1)


class Convolved(nn.Module):
    """A causal convolution [B, T, C] or [T, B, C] → the same layout, its padding written in one of three ways."""

    def __init__(self, width, rows_first, draw):
        super().__init__()
        count, self.dilation, self.way = draw.choice([2, 3]), draw.choice([1, 2]), draw.randrange(3)
        self.reach, self.rows_first = (count - 1) * self.dilation, rows_first
        padding = 0 if self.way == 0 else self.reach
        groups = draw.choice([1, width])
        self.conv = nn.Conv1d(width, width, count, padding=padding, dilation=self.dilation, groups=groups)
        self.norm = nn.BatchNorm1d(width)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)

    def forward(self, x):
        order = (0, 2, 1) if self.rows_first else (1, 2, 0)
        back = (0, 2, 1) if self.rows_first else (2, 0, 1)
        y = x.permute(order)
        if self.way == 0:
            y = self.norm(self.conv(F.pad(y, (self.reach, 0))))
        elif self.way == 1:
            y = self.norm(self.conv(y))[..., : -self.reach]
        else:
            y = self.norm(self.conv(y)[:, :, : y.shape[-1]])
        return y.permute(back).contiguous()


class Stacked(nn.Module):
    """A recurrent layer that returns its output."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x):
        return self.rnn(x)[0]


class Flattened(nn.Module):
    """A layer on all rows and steps at once."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.reshape(-1, x.size(-1))).view(x.size(0), x.size(1), -1)


class Drawn(nn.Module):
    """Blocks after each other, then a head on all steps, on the last one, or on a mean or maximum of all."""

    def __init__(self, seed):
        super().__init__()
        draw = random.Random(seed)
        torch.manual_seed(seed)
        self.rows_first, self.tokens = draw.random() < 0.5, draw.random() < 0.3
        self.width = width = draw.choice([3, 4, 6])
        self.first = nn.Embedding(TOKENS, width) if self.tokens else nn.Identity()
        blocks = []
        for _ in range(draw.randint(1, 4)):
            block, width = self.block(draw, width)
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)
        self.rnn = GRU(width, 4, batch_first=self.rows_first)
        self.head = nn.Linear(4, 3)
        self.end = draw.choice(["all", "all", "last", "mean", "maximum", "state"])

    def block(self, draw, width):
        first = self.rows_first
        kind = draw.randrange(7)
        if kind == 0:
            return nn.Sequential(nn.Linear(width, 5), draw.choice([nn.ReLU(), nn.ELU(), nn.SiLU(), nn.Softsign()])), 5
        if kind == 1:
            cell = draw.choice(["mgu", "lstm", "elman", "gru", "gru_reset_before"])
            return Stacked(Recurrent(cell, width, 4, draw.choice([1, 2]), batch_first=first)), 4
        if kind == 2:
            return Convolved(width, first, draw), width
        if kind == 3:
            return Gated(width), 2 * width - 1
        if kind == 4:
            return Residual(nn.Sequential(nn.LayerNorm(width), Stacked(LSTM(width, width, batch_first=first)))), width
        if kind == 5:
            return Flattened(nn.Sequential(nn.Linear(width, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5))), 6
        return Residual(nn.Sequential(nn.Linear(width, width), nn.PReLU(), nn.Softmax(-1))), width

    def forward(self, x):
        time = 1 if self.rows_first else 0
        y, state = self.rnn(self.blocks(self.first(x)))
        if self.end == "last":
            y = y.select(time, -1)
        elif self.end == "mean":
            y = y.mean(time)
        elif self.end == "maximum":
            y = y.amax(dim=time)
        elif self.end == "state":
            y = state[-1]
        return self.head(y), state


@pytest.mark.parametrize("seed", range(40))
def test_a_drawn_model_is_read(seed):
    model = Drawn(seed)
    layout = ("BT" if model.rows_first else "TB") + ("" if model.tokens else "C")
    output = (layout[:2] + "O") if model.end == "all" else "BO"
    agree(model, layout, output, model.width, TOKENS if model.tokens else 0, dtypes=(torch.float64,))
