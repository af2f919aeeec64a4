"""Small made data with known answers, and a few Adam steps."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.task import Predictions

SMALL = NetworkOptions(hidden=8, embedding=8, dropout=0.0)


def texts(n=60, seed=0):
    """Class yes where 'good' stands in the text, at any place."""
    draw = np.random.default_rng(seed)
    rows = [
        [str(draw.choice(["the", "film", "was", "seen", "here"])) for _ in range(draw.integers(2, 9))] for _ in range(n)
    ]
    classes = ["yes" if k % 2 else "no" for k in range(n)]
    for row, name in zip(rows, classes):
        row.insert(int(draw.integers(0, len(row) + 1)), "good" if name == "yes" else "bad")
    return Examples("text", [" ".join(row) for row in rows], "class", classes, ("text",))


def ordered(n=200, seed=0):
    """Class up where a comes before b: the bag of words says nothing."""
    draw = np.random.default_rng(seed)
    rows, classes = [], []
    for k in range(n):
        before, after, last = (["x"] * int(draw.integers(0, 4)) for _ in range(3))
        pair = ("a", "b") if k % 2 else ("b", "a")
        rows.append(" ".join([*before, pair[0], *after, "x", pair[1], *last]))
        classes.append("up" if k % 2 else "down")
    return Examples("text", rows, "class", classes)


def series(n=40, channels=3, seed=0, missing=False):
    """Class of the sign of the first channel's slope; lengths 4 to 11."""
    draw = np.random.default_rng(seed)
    rows, classes = [], []
    for k in range(n):
        length = int(draw.integers(4, 12))
        x = draw.normal(size=(length, channels)) * [1, 10, 0.1][:channels] + [0, 100, -3][:channels]
        x[:, 0] += np.linspace(-3, 3, length) * (1 if k % 2 else -1)
        if missing and k % 3 == 0:
            x[0, 1] = np.nan
        rows.append(x)
        classes.append("rise" if k % 2 else "fall")
    return Examples("series", rows, "class", classes, tuple("abc"[:channels]))


def sentences(n=60, seed=0):
    """Tags by the word itself, but 'can' is a noun after 'the' and a verb otherwise."""
    draw = np.random.default_rng(seed)
    fixed = {"the": "DET", "dog": "NOUN", "cat": "NOUN", "runs": "VERB", "sleeps": "VERB", "fast": "ADV"}
    words, tags = [], []
    for _ in range(n):
        row = [str(draw.choice([*fixed, "can"])) for _ in range(draw.integers(1, 8))]
        words.append(row)
        tags.append([fixed.get(w, "NOUN" if k and row[k - 1] == "the" else "VERB") for k, w in enumerate(row)])
    return Examples("tokens", words, "tags", tags)


def labelled(n=60, seed=0):
    """Several labels: one for each colour that the text names; none is possible."""
    draw = np.random.default_rng(seed)
    colours = ["red", "green", "blue"]
    rows = [[c for c in colours if draw.random() < 0.5] for _ in range(n)]
    return Examples("text", [" ".join(["it", "is", *row]) for row in rows], "labels", [tuple(row) for row in rows])


def numbers(n=60, seed=0):
    """The target is 100 + 5 · the mean of the first channel."""
    made = series(n, seed=seed)
    targets = [100 + 5 * float(x[:, 0].mean()) for x in made.inputs]
    return Examples("series", made.inputs, "number", targets, made.channels)


def predict(task, network, examples, batch=16):
    """The task's predictions of all rows, in order."""
    encoded, values, probabilities = task.encode(examples), [], []
    network.eval()
    for start in range(0, len(examples), batch):
        b = task.batch(encoded, range(start, min(start + batch, len(examples))))
        with torch.no_grad():
            found = task.decode(network(b.x, b.lengths), b)
        values += found.values
        probabilities += [] if found.probabilities is None else list(found.probabilities)
    return Predictions(values, probabilities or None)


def learn(task, train, options=SMALL, updates=60, batch=20, seed=0, rate=0.02):
    """A network after so many Adam updates on rows in turn."""
    torch.manual_seed(seed)
    network = task.network(options)
    encoded = task.encode(train)
    adam = torch.optim.Adam(network.parameters(), rate)
    network.train()
    for k in range(updates):
        rows = [(k * batch + j) % len(train) for j in range(batch)]
        b = task.batch(encoded, rows)
        loss = task.loss(network(b.x, b.lengths), b)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return network


def data(name):
    """The path of a file of real data; the test is skipped where it is absent."""
    root = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
    path = root / name
    if not path.is_file():
        pytest.skip(f"the data file {name} is not there; set OSTINATO_DATA to the folder that holds it")
    return path
