"""Baselines of language models: how often units are, n-grams, and a network that reads a fixed window.

Letters: T units of a passage, V entries, W units of the window, E numbers of an embedding, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...data.examples import Examples
from ...one_thread import one_thread
from ..scored import targets_of
from ..task import Predictions
from ..texts.passage_units import PassageUnits, UnitsOfPassage
from ..texts.units import TextUnits
from .ngrams import WittenBell

MOST_UNITS = 5_000_000
"""Units of the training passages that a baseline reads."""
HELD = 0.05
"""The last share of the training units on which the order of an n-gram is chosen."""
WINDOW, EMBEDDING, HIDDEN = 8, 32, 256
UPDATES, ROWS, LEARNING_RATE = 2_000, 256, 3e-3
"""Of the window's network: its cost is known beforehand, and no clock decides."""
PRODUCTS = 1e12
"""Multiplications of all updates of the window's network, which a large vocabulary makes fewer."""


class Unigram:
    """The share of each unit in the training passages."""

    name, trivial, without_order = "unigram", True, True

    def __init__(self, units: TextUnits) -> None:
        self.units, self.note = units, ""

    def fit(self, train: Examples) -> Unigram:
        runs, self.note = runs_of(train, self.units, self.name)
        self._model = WittenBell(0, len(self.units)).fit(runs)
        return self

    def predict(self, examples: Examples) -> Predictions:
        return Predictions([-np.log(self._model.probabilities(row.own)[0]) for row in _rows(examples, self.units)])


class NGram:
    """An interpolated n-gram; its order is the best on the last training units, which it reads afterwards, too."""

    name, trivial, without_order = "n-gram", False, False

    def __init__(self, units: TextUnits, most: int) -> None:
        self.units, self.most, self.note = units, most, ""

    def fit(self, train: Examples) -> NGram:
        runs, note = runs_of(train, self.units, self.name)
        self.order = best_order(runs, self.most, len(self.units))
        self.model = WittenBell(self.order, len(self.units)).fit(runs)
        of = "order 1" if self.order == 1 else f"orders up to {self.order}"
        said = f"Witten-Bell, {of}, chosen of at most {self.most} on the last {100 * HELD:g} % of the training units."
        self.note = " ".join(filter(None, [said, note]))
        return self

    def predict(self, examples: Examples) -> Predictions:
        found = []
        for row in _rows(examples, self.units):
            read = row.read()[max(0, len(row.before) - self.order) :]
            found.append(-np.log(self.model.probabilities(read, len(read) - len(row.own))[-1]))
        return Predictions(found)


class WindowNetwork(nn.Module):
    """Scores [B, V] after W units [B, W]: their embeddings side by side, and one hidden layer."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(entries, EMBEDDING)
        self.hidden = nn.Linear(WINDOW * EMBEDDING, HIDDEN)
        self.head = nn.Linear(HIDDEN, entries)

    def forward(self, units: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.embedding(units).flatten(1))))


class FixedWindow:
    """A network that reads the last W units; before the beginning of a text, the unknown entry."""

    name, trivial, without_order = f"window of {WINDOW} units", False, False

    def __init__(self, units: TextUnits) -> None:
        self.units, self.note = units, ""

    def fit(self, train: Examples) -> FixedWindow:
        runs, note = runs_of(train, self.units, self.name)
        entries = len(self.units)
        cost = 3 * ROWS * HIDDEN * (WINDOW * EMBEDDING + entries)
        updates = max(1, min(UPDATES, int(PRODUCTS / cost)))
        few = f"{updates:,} updates instead of {UPDATES:,}, for its {entries:,} entries." if updates < UPDATES else ""
        self.note = " ".join(filter(None, [few, note]))
        units, targets = (np.concatenate(part) for part in zip(*((_padded(run), run) for run in runs)))
        # Each run has W units before it in `units`, so that a target's window ends before its own place.
        places = np.concatenate([np.arange(len(run)) + k * WINDOW for k, run in enumerate(runs)])
        places += np.concatenate([np.full(len(run), before) for run, before in zip(runs, _starts(runs))])
        draw = np.random.default_rng(0)
        with torch.random.fork_rng(devices=[]), one_thread():
            torch.manual_seed(0)
            self._network = WindowNetwork(entries)
            adam = torch.optim.Adam(self._network.parameters(), lr=LEARNING_RATE, fused=True)
            for update in range(updates):
                chosen = draw.integers(0, len(targets), ROWS)
                read = torch.from_numpy(units[places[chosen][:, None] + np.arange(WINDOW)])
                loss = F.cross_entropy(self._network(read), torch.from_numpy(targets[chosen].astype(np.int64)))
                adam.zero_grad()
                loss.backward()
                for group in adam.param_groups:
                    group["lr"] = LEARNING_RATE * (1 - update / updates)
                adam.step()
        return self

    def predict(self, examples: Examples) -> Predictions:
        found = []
        with torch.no_grad(), one_thread():
            for row in _rows(examples, self.units):
                before = _padded(row.before[-WINDOW:])[-WINDOW:]
                read = np.concatenate([before, row.own]).astype(np.int64)
                windows = np.lib.stride_tricks.sliding_window_view(read, WINDOW)[: len(row.own)]
                scores = self._network(torch.from_numpy(windows.copy()))
                target = torch.from_numpy(row.own.astype(np.int64))
                found.append(F.cross_entropy(scores, target, reduction="none").double().numpy())
        return Predictions(found)


def _rows(examples: Examples, units: TextUnits) -> Sequence[UnitsOfPassage]:
    return PassageUnits(units).encoded(examples.inputs).rows


def runs_of(train: Examples, units: TextUnits, where: str) -> tuple[list[np.ndarray], str]:
    """The first units of the training passages, a run for each part of a document, and a note where some are left."""
    targets_of(train, where)
    stream = PassageUnits(units).encoded(train.inputs).stream
    count = len(stream.units)
    note = f"Fitted on the first {MOST_UNITS:,} of {count:,} training units." if count > MOST_UNITS else ""
    ends = [*stream.begins[1:].tolist(), count]
    found = [np.asarray(stream.units[a : min(b, MOST_UNITS)]) for a, b in zip(stream.begins.tolist(), ends)]
    return [run for run in found if len(run)], note


def best_order(runs: Sequence[np.ndarray], most: int, entries: int) -> int:
    """The order of an n-gram, `most` or lower, whose nats of held units at the end of the runs are the fewest."""
    held = max(1, int(HELD * sum(map(len, runs))))
    first, last = _without_end(runs, held)
    if not first:
        return min(1, most)
    model = WittenBell(most, entries).fit(first)
    nats = sum(-np.log(model.probabilities(run)).sum(1) for run in last)
    return int(np.argmin(nats))


def _without_end(runs: Sequence[np.ndarray], held: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The runs without their last `held` units, and those."""
    first: list[np.ndarray] = []
    last: list[np.ndarray] = []
    for run in reversed(runs):
        cut = max(0, len(run) - held)
        held -= len(run) - cut
        first += [run[:cut]] if cut else []
        last += [run[cut:]] if cut < len(run) else []
    return first[::-1], last[::-1]


def _padded(run: np.ndarray) -> np.ndarray:
    """int64 [W + N]: the unknown entry W times, then the run."""
    return np.concatenate([np.zeros(WINDOW, np.int64), run])


def _starts(runs: Sequence[np.ndarray]) -> Iterator[int]:
    """Units before each run."""
    before = 0
    for run in runs:
        yield before
        before += len(run)
