"""Training on parallel streams of a text: which units a window holds, states that are carried, resumed runs."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import ostinato
from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import FitOptions
from ostinato.program.tasks.base import OptionalParts
from ostinato.program.tasks.task import Batch, Encoded, Metric, Predictions, Stream
from ostinato.program.training.feeds import IGNORED, StreamFeed
from ostinato.program.training.fit import Part, Surroundings, fit
from ostinato.program.training.nested import with_tensors, without_tensors

UNITS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], np.int32)


def test_windows_follow_each_other_and_targets_are_the_next_units():
    feed = StreamFeed(Stream(UNITS, np.array([0])), streams=2, k1=4, seed=0)
    first, second = feed.batch(0), feed.batch(1)
    assert feed.per_epoch == 2 and first.begins and not second.begins
    assert first.x["units"].T.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert first.target.T.tolist() == [[1, 2, 3, 4], [7, 8, 9, 10]]
    assert second.x["units"].T.tolist() == [[4, 5], [10, 11]] and second.target.T.tolist() == [[5, 6], [11, 12]]
    assert first.resets[0].all() and not first.resets[1:].any() and not second.resets.any()
    assert [feed.steps(0), feed.steps(1)] == [8, 4] and first.weight == 8


def test_no_state_and_no_target_crosses_from_one_document_to_the_next():
    feed = StreamFeed(Stream(UNITS, np.array([0, 3, 10])), streams=2, k1=6, seed=0)
    batch = feed.batch(0)
    assert batch.resets.T.tolist() == [[True, False, False, True, False, False], [True] + [False] * 3 + [True, False]]
    assert batch.target.T.tolist() == [[1, 2, IGNORED, 4, 5, 6], [7, 8, 9, IGNORED, 11, 12]]
    assert batch.weight == 10


def test_every_epoch_reads_every_unit_once_and_is_cut_at_another_place():
    feed = StreamFeed(Stream(UNITS, np.array([0])), streams=3, k1=2, seed=1)
    starts = []
    for epoch in range(6):
        batches = [feed.batch(epoch * feed.per_epoch + k) for k in range(feed.per_epoch)]
        assert sorted(int(t) for b in batches for t in b.target.flatten()) == list(range(1, 13))
        assert batches[0].resets[0].all()
        starts.append(int(batches[0].x["units"][0, 0]))
    assert starts[0] == 0 and len(set(starts)) > 1
    again = StreamFeed(Stream(UNITS, np.array([0])), streams=3, k1=2, seed=1)
    assert torch.equal(again.batch(11).x["units"], feed.batch(11).x["units"])


def test_a_text_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="the training text must be of three units or more, got 2 units"):
        StreamFeed(Stream(UNITS[:2], np.array([0])), 4, 2, 0)


def test_json_and_tensors_of_a_carried_state_give_it_back():
    tensors = {}
    saved = {"k1": 3, "states": {"0": (torch.ones(2), [torch.zeros(1), "a"])}, "none": None}
    written = without_tensors(saved, tensors)
    again = with_tensors(written, tensors)
    assert again["states"]["0"][1][1] == "a" and isinstance(again["states"]["0"], tuple) and again["none"] is None
    assert torch.equal(again["states"]["0"][0], torch.ones(2))


class Predictor(nn.Module):
    def __init__(self, hidden=12, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(4, 6)
        self.dropout = nn.Dropout(dropout)
        self.layer = ostinato.GRU(6, hidden)
        self.head = nn.Linear(hidden, 4)

    def forward(self, x, lengths=None):
        y, _ = self.layer(self.dropout(self.embedding(x["units"])))
        return self.head(y)


class NextUnit(OptionalParts):
    """Predicts each unit from those before it; a text of two halves is one row of an evaluation."""

    name, metric = "next", "nats"

    def __init__(self, dropout=0.0):
        self.dropout = dropout

    def encode(self, examples):
        units = np.concatenate(examples.inputs).astype(np.int32)
        begins = np.cumsum([0, *(len(x) for x in examples.inputs[:-1])])
        lengths = np.array([len(x) - 1 for x in examples.inputs])
        return Encoded(list(examples.inputs), lengths, Stream(units, begins))

    def batch(self, encoded, rows):
        longest = max(len(encoded.rows[r]) for r in rows)
        units = np.zeros((longest, len(rows)), np.int64)
        for place, r in enumerate(rows):
            units[: len(encoded.rows[r]), place] = encoded.rows[r]
        target = np.full((longest - 1, len(rows)), IGNORED)
        for place, r in enumerate(rows):
            target[: len(encoded.rows[r]) - 1, place] = encoded.rows[r][1:]
        lengths = torch.tensor([len(encoded.rows[r]) - 1 for r in rows])
        units = torch.from_numpy(units[:-1])
        return Batch({"units": units}, lengths, torch.from_numpy(target), int((target != IGNORED).sum()))

    def network(self, options):
        return Predictor(dropout=self.dropout)

    def loss(self, outputs, batch):
        return functional.cross_entropy(outputs.flatten(0, 1), batch.target.flatten())

    def decode(self, outputs, batch):
        nats = functional.cross_entropy(outputs.flatten(0, 1), batch.target.flatten(), reduction="none")
        nats = nats.view_as(batch.target).numpy()
        return Predictions([nats[: int(n), b] for b, n in enumerate(batch.lengths)])

    def score(self, truth, predictions):
        return float(np.mean(np.concatenate(predictions.values)))

    def metrics(self, truth, predictions, seed=0):
        value = self.score(truth, predictions)
        return [Metric("nats", value, value, value, len(truth), False)]


def text(count, seed):
    """Units that repeat with a period of 5, of which the state of one window cannot know the phase: k1 is 3."""
    rng = np.random.default_rng(seed)
    cycle = np.array([0, 0, 1, 0, 2])
    return [np.tile(cycle, count)[int(rng.integers(5)) :] for _ in range(2)]


def run(options, dropout=0.0, **around):
    task = NextUnit(dropout)
    torch.manual_seed(7)
    network = task.network(None)
    train, valid = text(60, 0), text(8, 1)
    parts = []
    for rows in (train, valid):
        examples = Examples("series", rows, "text", rows, successive=True)
        parts.append(Part(examples, task.encode(examples)))
    return fit(task, network, *parts, options, Surroundings(**around))


OPTIONS = FitOptions(updates=150, k1=3, batch=4, learning_rate=0.02, seed=5)


def test_the_state_that_is_carried_over_tells_what_a_window_does_not():
    found = run(OPTIONS)
    assert found.history[-1].metric < 0.1 < 0.9 < found.history[0].metric


def test_a_gradient_that_reaches_further_gives_other_weights_of_the_same_updates():
    hashes = {run(FitOptions(**{**vars(OPTIONS), "updates": 12, "k2": k2})).sha256 for k2 in (None, 3, 6, 7)}
    assert len(hashes) == 3


class Killed(Exception):
    pass


class KillAt:
    def __init__(self, update):
        self.update = update

    def planned(self, plan, done): ...
    def evaluated(self, evaluation): ...
    def note(self, sentence): ...
    def updated(self, update):
        if update == self.update:
            raise Killed


@pytest.mark.parametrize("k2", [None, 7])
@pytest.mark.parametrize("update", [1, 13, 20, 33])
def test_a_run_that_was_killed_goes_on_with_the_carried_state(tmp_path, update, k2):
    options = FitOptions(**{**vars(OPTIONS), "updates": 40, "k2": k2})
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = run(options, dropout=0.2, folder=tmp_path / "whole")
    with pytest.raises(Killed):
        run(options, dropout=0.2, folder=tmp_path / "killed", listener=KillAt(update))
    again = run(options, dropout=0.2, folder=tmp_path / "killed", resume=True)
    assert again.sha256 == whole.sha256
    assert [e.train_loss for e in again.history[1:]] == [e.train_loss for e in whole.history[1:]]
