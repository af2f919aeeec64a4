"""The same bits on any number of threads, on drawn odd sizes, of a network with every kind of part the tasks have."""

import numpy as np
import pytest
import torch
from torch import nn

import ostinato
from ostinato.program.options import FitOptions
from ostinato.program.training.fit import Part
from program.training.made import CLASSES, Signs, fitted, rows


class Every(nn.Module):
    """Embedding, recurrent layer in both directions, mean and maximum over the steps, dropout, Linear layers."""

    def __init__(self, channels, hidden, middle):
        super().__init__()
        self.words = nn.Embedding(50, 9)
        self.layer = ostinato.Recurrent("gru", channels + 9, hidden, bidirectional=True, dropout=0.3, num_layers=2)
        self.middle, self.head = nn.Linear(6 * hidden, middle), nn.Linear(middle, len(CLASSES))

    def forward(self, x, lengths):
        steps = x["series"]
        there = (torch.arange(len(steps))[:, None] < lengths)[:, :, None]
        words = self.words(torch.where(there[..., 0], steps[..., 0].nan_to_num() * 9, 0).long() % 50)
        output, final = self.layer(torch.cat([steps, words], 2), lengths=lengths)
        mean = torch.where(there, output, 0).sum(0) / lengths[:, None]
        greatest = torch.where(there, output, -torch.inf).amax(0)
        pooled = torch.cat([final[-1], final[-2], mean, greatest], 1)
        return self.head(torch.dropout(torch.sigmoid(self.middle(pooled)), 0.3, self.training))


DRAWN = np.random.default_rng(7)
SIZES = [tuple(int(n) for n in DRAWN.integers((2, 3, 5, 2), (7, 40, 70, 34))) for _ in range(4)]


@pytest.mark.parametrize("sizes", [*SIZES, (3, 50, 33, 7)], ids=str)
def test_a_fit_has_the_same_bits_on_any_number_of_threads_on_odd_sizes(sizes):
    channels, hidden, middle, batch = sizes

    def weights(threads):
        task = Signs()
        data = [rows(3 * batch + 1, 0, channels, 31), rows(11, 1, channels, 31)]  # the last batch has one row
        with torch.random.fork_rng():
            torch.manual_seed(5)
            network = Every(channels, hidden, middle)
        options = FitOptions(updates=5, batch=batch, threads=threads)
        return fitted(options, task, network, [Part(examples, task.encode(examples)) for examples in data])[0].sha256

    assert weights(1) == weights(2) == weights(3)
