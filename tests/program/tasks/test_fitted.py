"""The tasks in the fit itself: a rule learned, the same bits at any number of threads, class weights."""

from dataclasses import replace

import pytest

from ostinato.errors import InputError
from ostinato.program.options import FitOptions
from ostinato.program.tasks.registry import task_named
from ostinato.program.training.evaluate import predict
from ostinato.program.training.fit import Part, fit
from ostinato.program.training.seeds import new_network
from program.tasks.made import SMALL, labelled, numbers, sentences, series, texts

CASES = {
    "text": ("classify", texts),
    "series": ("classify", lambda: series(missing=True)),
    "labels": ("classify", labelled),
    "number": ("regress", numbers),
    "tags": ("tag", sentences),
}


def fitted(kind, options, network_options=SMALL):
    """(task, network, rows, result) of a fit whose validation rows are the last third."""
    name, make = CASES[kind]
    whole = make()
    train, valid = whole.take(range(0, 40)), whole.take(range(len(whole) * 2 // 3, len(whole)))
    task = task_named(name).encode_from(train, network_options)
    network = new_network(task, network_options, options.seed)
    parts = [Part(rows, task.encode(rows)) for rows in (train, valid)]
    return task, network, parts[0], fit(task, network, *parts, options)


@pytest.mark.parametrize("kind", CASES)
def test_one_and_two_threads_give_one_hash_on_odd_sizes_and_a_last_batch_of_one(kind):
    options = FitOptions(updates=6, batch=13, seed=5)  # 40 rows: batches of 13, 13, 13 and 1
    network = replace(SMALL, hidden=33, layers=2, dropout=0.3)
    hashes = {fitted(kind, replace(options, threads=n), network)[3].sha256 for n in (1, 1, 2)}
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", ["text", "tags"])
def test_the_fit_learns_the_rule(kind):
    task, network, part, result = fitted(kind, FitOptions(updates=150, learning_rate=0.02, batch=20))
    found, loss = predict(task, network, part.encoded)
    assert task.score(part.examples, found) == 1.0 and loss < 0.1
    assert result.history[-1].metric > 0.9


@pytest.mark.parametrize("kind", ["labels", "tags"])
def test_balanced_class_weights_change_the_fit(kind):
    plain = fitted(kind, FitOptions(updates=2))[3]
    task, _, _, balanced = fitted(kind, FitOptions(updates=2, class_weights="balanced"))
    assert balanced.sha256 != plain.sha256 and task.class_weights is not None


def test_a_regression_has_no_class_weights():
    with pytest.raises(InputError, match="class_weights must be none for the task regress"):
        fitted("number", FitOptions(updates=2, class_weights="balanced"))
