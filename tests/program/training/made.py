"""A made task: is the first step of a row of unequal length positive? The recurrent network must carry it to the end.

Letters: N rows, T steps, B rows of a batch, C channels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import ostinato
from ostinato.program.data.examples import Examples
from ostinato.program.options import FitOptions, NetworkOptions
from ostinato.program.tasks.base import OptionalParts
from ostinato.program.tasks.task import Batch, Encoded, Metric, Predictions
from ostinato.program.training.fit import Part, Surroundings, fit
from ostinato.program.training.seeds import new_network

CLASSES = ("negative", "positive")


def rows(count, seed=0, channels=2, longest=7):
    """Examples of 1 … longest steps whose class is the sign of the first step's first channel."""
    draw = np.random.default_rng(seed)
    inputs = [draw.normal(size=(draw.integers(1, longest + 1), channels)) for _ in range(count)]
    return Examples("series", inputs, "class", [CLASSES[int(x[0, 0] > 0)] for x in inputs])


class Network(nn.Module):
    def __init__(self, channels, hidden, classes, dropout):
        super().__init__()
        self.layer = ostinato.GRU(channels, hidden, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, x, lengths):
        _, final = self.layer(x["series"], lengths=lengths)
        return self.head(self.dropout(torch.cat([final[0], final[1]], 1)))


class FirstStep(nn.Linear):
    """Looks at the first step alone: cheap, where a test needs many updates."""

    def __init__(self):
        super().__init__(2, 2)

    def forward(self, x, lengths):
        return super().forward(x["series"][0])


@dataclass
class Signs(OptionalParts):
    """Follows the protocol of a task; `tick` is called at every batch that is made."""

    name: str = "signs"
    metric: str = "accuracy"
    classes: tuple = CLASSES
    tick: object = None
    weights: object = None
    made: object = None
    """Makes the network, where it is not the recurrent one."""

    @classmethod
    def encode_from(cls, train, options):
        return cls()

    def encode(self, examples):
        return Encoded(
            [(x, None if examples.targets is None else t) for x, t in zip(examples.inputs, examples.targets or [])],
            np.array([len(x) for x in examples.inputs]),
        )

    def batch(self, encoded, rows):
        if self.tick:
            self.tick(len(rows))
        lengths = torch.tensor([int(encoded.lengths[r]) for r in rows])
        x = torch.full((int(lengths.max()), len(rows), encoded.rows[0][0].shape[1]), float("nan"))
        for place, row in enumerate(rows):
            x[: lengths[place], place] = torch.tensor(encoded.rows[row][0], dtype=torch.float32)
        target = torch.tensor([self.classes.index(encoded.rows[r][1]) for r in rows])
        return Batch({"series": x}, lengths, target, len(rows))

    def network(self, options):
        return self.made() if self.made else Network(2, options.hidden, 2, options.dropout)

    def loss(self, outputs, batch):
        return functional.cross_entropy(outputs, batch.target, self.weights)

    def balance(self, train):
        self.weights = torch.tensor([3.0, 0.5])

    def decode(self, outputs, batch):
        p = outputs.softmax(1).double().numpy()
        return Predictions([self.classes[k] for k in p.argmax(1)], p)

    def score(self, truth, predictions):
        return float(np.mean([a == b for a, b in zip(truth.targets, predictions.values, strict=True)]))

    def metrics(self, truth, predictions, seed=0):
        value = Signs.score(self, truth, predictions)
        return [Metric("accuracy", value, value, value, len(truth), True)]

    def baselines(self):
        return []

    def to_json(self):
        return {"labels.json": {"classes": list(self.classes)}}

    @classmethod
    def from_json(cls, files):
        return cls(classes=tuple(files["labels.json"]["classes"]))


SMALL = NetworkOptions(hidden=5, dropout=0.2)


def parts(task, train=65, valid=40):
    """65 rows in batches of 32: the last batch of an epoch has one row."""
    found = [rows(train, 0), rows(valid, 1)]
    return [Part(examples, task.encode(examples)) for examples in found]


def fitted(options=None, task=None, network=None, data=None, **surroundings):
    """A fit of the made task, and the network."""
    task = task or Signs()
    options = options or FitOptions(updates=40, seed=3)
    network = network or new_network(task, SMALL, options.seed)
    return fit(task, network, *(data or parts(task)), options, Surroundings(**surroundings)), network
