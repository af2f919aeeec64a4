"""Predictions in the order of the rows, whatever the batches are."""

import math

import numpy as np
import pytest
import torch

from ostinato.program.tasks.task import Batch, Predictions
from ostinato.program.training import evaluate
from ostinato.program.training.evaluate import predict, to_device
from ostinato.program.training.seeds import new_network
from program.training import made


@pytest.fixture
def network():
    return new_network(made.Signs(), made.SMALL, 0)


def test_predictions_are_in_the_order_of_the_rows_and_do_not_depend_on_the_batches(network, monkeypatch):
    task = made.Signs()
    encoded = made.parts(task)[1].encoded
    whole, loss = predict(task, network, encoded)
    monkeypatch.setattr(evaluate, "ROWS", 7)
    parts, other = predict(task, network, encoded)
    assert whole.values == parts.values and math.isclose(loss, other, rel_tol=1e-6)
    assert np.allclose(whole.probabilities, parts.probabilities, rtol=1e-6, atol=0)
    batch = task.batch(encoded, [5])
    with torch.no_grad():
        alone = network.eval()(batch.x, batch.lengths).softmax(1).numpy()
    assert np.allclose(whole.probabilities[5], alone[0], rtol=1e-6, atol=0)
    network.train()
    predict(task, network, encoded)
    assert network.training


def test_the_loss_is_the_mean_over_all_units(network):
    task = made.Signs()
    encoded = made.parts(task)[1].encoded
    found, loss = predict(task, network, encoded)
    target = [task.classes.index(t) for _, t in encoded.rows]
    expected = -np.mean(np.log(found.probabilities[np.arange(40), target]))
    assert math.isclose(loss, expected, rel_tol=1e-6)


def test_rows_of_tags_keep_their_own_lengths(network):
    class Tags(made.Signs):
        def batch(self, encoded, rows):
            found = super().batch(encoded, rows)
            return Batch(found.x, found.lengths, None, found.weight)

        def decode(self, outputs, batch):
            steps = batch.lengths.tolist()
            return Predictions([["a"] * n for n in steps], [np.full((n, 2), n / 10) for n in steps])

    task = Tags()
    encoded = made.parts(task)[1].encoded
    found, loss = predict(task, network, encoded)
    assert [len(tags) for tags in found.values] == encoded.lengths.tolist() == [len(p) for p in found.probabilities]
    assert math.isnan(loss)
    few = found.take(range(3))
    assert few.values == found.values[:3] and len(few.probabilities) == 3


def test_numbers_have_no_probabilities(network):
    class Numbers(made.Signs):
        def decode(self, outputs, batch):
            return Predictions(outputs[:, 0].tolist())

    found, _ = predict(Numbers(), network, made.parts(made.Signs())[1].encoded)
    assert found.probabilities is None and found.take(range(2)).probabilities is None and len(found.values) == 40


def test_a_batch_moves_to_a_device_but_its_lengths_do_not():
    batch = Batch({"x": torch.zeros(3, 2)}, torch.tensor([3, 1]), torch.zeros(2), 2)
    assert to_device(batch, "cpu") is batch
    moved = to_device(batch, "meta")
    assert moved.x["x"].is_meta and moved.target.is_meta and not moved.lengths.is_meta and moved.weight == 2
