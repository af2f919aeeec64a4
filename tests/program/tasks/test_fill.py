"""Gaps between two contexts: what a unit's scores depend on, texts whose units follow from both neighbours, figures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.data.text.files import of_strings, whole_text
from ostinato.program.options import DataOptions, FitOptions, NetworkOptions
from ostinato.program.tasks.baselines.gaps import GapNGram, GapProduct, GapUnigram
from ostinato.program.tasks.task import Predictions
from ostinato.program.tasks.texts import fill_network
from ostinato.program.tasks.texts.fill import SPAN, Fill
from ostinato.program.tasks.texts.fill_network import FillNetwork
from ostinato.program.training.evaluate import predict
from ostinato.program.training.feeds import feed_of
from ostinato.program.training.fit import Part, Surroundings, fit
from ostinato.program.training.records import Silent
from ostinato.program.training.seeds import new_network

SMALL = NetworkOptions(cell="gru", hidden=24, embedding=8, dropout=0.0, unit="char")


def with_targets(text):
    found = whole_text(text)
    return Examples("passage", found.inputs, "text", found.inputs)


def parity(count, seed):
    """Characters at even places are drawn from a and b; between two equal ones is an x, between others a y."""
    bits = np.random.default_rng(seed).integers(0, 2, count + 1)
    return "".join("ab"[a] + "xy"[a ^ b] for a, b in zip(bits, bits[1:]))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_scores_of_a_unit_depend_on_all_others_and_not_on_itself(layers, cell):
    options = NetworkOptions(cell=cell, hidden=12, layers=layers, embedding=5, dropout=0.0, unit="char")
    text = "acbdabcdbca"
    task = Fill.encode_from(with_targets(text), options)
    network = new_network(task, options, 1).eval()

    def scores(changed):
        batch = task.batch(task.encode(with_targets(changed)), [0])
        with torch.no_grad():
            joined = network(batch.x, batch.lengths)
            return joined.head(joined.read)[:, 0]

    plain = scores(text)
    for place in range(len(text)):
        other = scores(text[:place] + "abcd"[("abcd".index(text[place]) + 1) % 4] + text[place + 1 :])
        same = [bool(torch.equal(plain[k], other[k])) for k in range(len(text))]
        assert same == [k == place for k in range(len(text))]


def test_a_unit_that_only_both_neighbours_say_is_filled_and_n_grams_are_at_its_entropy():
    examples = of_strings([parity(6_000, 0)], DataOptions())
    train, valid, test = (examples.take([k for k, p in enumerate(examples.parts) if p == n]) for n in PARTS)
    wider = replace(SMALL, hidden=64, embedding=16)
    task = Fill.encode_from(train, wider)
    network = new_network(task, wider, 0)
    chosen = FitOptions(updates=300, batch=16, learning_rate=0.01, patience=100)
    fit(task, network, Part(train, task.encode(train)), Part(valid, task.encode(valid)), chosen)
    found, _ = predict(task, network, task.encode(test))
    assert task.score(test, found) < 0.05
    between = [np.isin(task.units.encode(p.text), task.units.encode("xy")) for p in test.inputs]

    def nats(predictions):
        return float(np.concatenate([n[b] for n, b in zip(predictions.values, between)]).mean())

    # One neighbour, or the product of what each says, leaves both units as likely: log 2.
    assert nats(found) < 0.05
    assert nats(GapNGram(task.units, 3).fit(train).predict(test)) == pytest.approx(math.log(2), rel=0.03)
    assert nats(GapProduct(task.units, 3).fit(train).predict(test)) == pytest.approx(math.log(2), rel=0.03)
    # A unit at an even place follows from the four around it; the text as a whole has log 2 for every two units.
    alone = GapUnigram(task.units, 0).fit(train).predict(test)
    assert task.score(test, alone) == pytest.approx(math.log(4), rel=0.01)


PARTS = ("train", "valid", "test")


def test_the_product_is_what_counting_by_hand_gives():
    """Bigrams of both sides over three letters, every sum of which is written out here."""
    text, other = "abcabcacab" * 12, "acbbac"
    train, test = with_targets(text), with_targets(other)
    task = Fill.encode_from(train, SMALL)
    letters = [task.units.decode([k]) for k in range(len(task.units))]

    def alone(u):
        return (text.count(u) + 3 / 4) / (len(text) + 3)

    def after(pairs, context, u):
        seen = [second for first, second in pairs if first == context]
        different = len(set(seen))
        return (seen.count(u) + different * alone(u)) / (len(seen) + different) if seen else alone(u)

    forth, back = list(zip(text, text[1:])), list(zip(text[1:], text))
    nats = []
    for place, right in enumerate(other):
        weights = []
        for u in letters:
            left = after(forth, other[place - 1], u) if place else alone(u)
            behind = after(back, other[place + 1], u) if place + 1 < len(other) else alone(u)
            weights.append(left * behind / alone(u))
        nats.append(-math.log(weights[letters.index(right)] / sum(weights)))
    found = GapProduct(task.units, 1)
    found.fit(train)
    assert (found._left.order, found._right.order) == (1, 1)
    np.testing.assert_allclose(found.predict(test).values[0], nats, rtol=1e-12)
    assert found.note == (
        "p(u | left) p(u | right) / p(u), normalised over u; Witten-Bell, units before: up to 1, after: up to 1."
    )


@pytest.mark.parametrize("most", [1 << 22, 7])
def test_baselines_in_pieces_are_distributions_whose_probability_is_that_of_the_n_gram(monkeypatch, most):
    monkeypatch.setattr("ostinato.program.tasks.baselines.gaps.MOST", most)
    train, test = with_targets("the cat and the hat and the bat\n" * 20), with_targets("the rat and the cat")
    task = Fill.encode_from(train, SMALL)
    own = task.encode(test).rows[0]
    for baseline in task.baselines():
        baseline.fit(train)
        logs = np.concatenate(list(baseline.logarithms(own)))
        np.testing.assert_allclose(np.exp(logs).sum(1), 1, rtol=1e-12)
        found = baseline.predict(test)
        np.testing.assert_allclose(found.values[0], -logs[np.arange(len(own)), own], rtol=1e-12)
        order = np.argsort(-logs, 1, kind="stable")
        assert found.ranks[0].tolist() == [order[k].tolist().index(u) for k, u in enumerate(own)]
    left = GapNGram(task.units, 3)
    left.fit(train)
    assert left._left.order == 3
    expected = left._left.probabilities(own)[-1]
    np.testing.assert_allclose(np.exp(-left.predict(test).values[0]), expected, rtol=1e-12)


def test_scores_in_pieces_have_the_loss_and_the_gradient_of_whole_ones():
    text = with_targets("abcabdabcabeabcab")
    task = Fill.encode_from(text, SMALL)
    batch = task.batch(task.encode(text), [0])
    gradients, losses, said = [], [], []
    for most in (1 << 24, 13):
        network = new_network(task, SMALL, 0).eval()
        joined = network(batch.x, batch.lengths)
        pieces = fill_network.Joined(joined.read, joined.head, most)
        assert (pieces.rows < len(batch.target)) == (most == 13)
        loss = task.loss(pieces, batch)
        loss.backward()
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        with torch.no_grad():
            said.append(task.decode(pieces, batch))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(said[0].values[0], said[1].values[0], rtol=1e-5)
    assert said[0].ranks[0].tolist() == said[1].ranks[0].tolist()


def test_batches_of_other_passages_change_no_number():
    text = with_targets("".join(f"line {n} of the book, which goes on and on\n" for n in range(300)))
    task = Fill.encode_from(text, NetworkOptions(unit="word"))
    network = new_network(task, NetworkOptions(cell="gru", hidden=16, embedding=8), 0)
    together, loss = predict(task, network, task.encode(text))
    for row in range(len(text)):
        alone, _ = predict(task, network, task.encode(text.take([row])))
        np.testing.assert_allclose(alone.values[0], together.values[row], rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(task.score(text, together), rel=1e-5)
    assert sum(map(len, together.values)) == len(task.units.encode("".join(p.text for p in text.inputs)))
    assert together.take([1]).ranks[0].tolist() == together.ranks[1].tolist()


def test_a_training_reads_every_unit_once_in_runs_of_bounded_length():
    text = with_targets("".join(f"line {n} of the book, which goes on and on\n" for n in range(300)))
    task = Fill.encode_from(text, SMALL)
    encoded = task.encode(text)
    feed = feed_of(task, encoded, FitOptions(batch=8))
    targets = [feed.batch(update).target for update in range(feed.per_epoch)]
    assert max(len(target) for target in targets) <= SPAN < max(encoded.lengths)
    read = np.sort(np.concatenate([target[target >= 0].numpy() for target in targets]))
    assert np.array_equal(read, np.sort(np.concatenate(encoded.rows)))


def test_nats_shares_and_perplexity_are_those_that_a_hand_computes():
    examples = with_targets("nine")
    task = Fill.encode_from(examples, SMALL)
    nats, ranks = np.array([1.0, 2.0, 0.5, 0.1]), np.array([4, 5, 0, 0])
    found = {m.name: m.value for m in task.metrics(examples, Predictions([nats], ranks=[ranks]))}
    assert list(found) == [
        "nats_per_missing_character", "accuracy", "accuracy_within_five", "perplexity_per_missing_character",
    ]  # fmt: skip
    assert found["nats_per_missing_character"] == pytest.approx(0.9)
    assert (found["accuracy"], found["accuracy_within_five"]) == (0.5, 0.75)
    assert found["perplexity_per_missing_character"] == pytest.approx(math.exp(0.9))
    details = task.details(with_targets("nix"), Predictions([nats[:3]]))
    assert details == {"unit": "char", "units": 3, "unknown_units": 1, "entries": 4}


@pytest.mark.parametrize("unit", ["char", "word", "bpe:300"])
def test_the_files_of_a_task_give_it_back(unit):
    text = with_targets("one two three\n" * 30)
    task = Fill.encode_from(text, NetworkOptions(unit=unit))
    again = Fill.from_json(task.to_json())
    assert (
        again.units == task.units and again.metric == task.metric and again.pieces("one two") == task.pieces("one two")
    )


def test_other_rows_and_one_direction_are_refused():
    with pytest.raises(InputError) as refused:
        Fill.encode_from(Examples("text", ["a"], "class", ["b"]), SMALL)
    assert str(refused.value) == "fill: the training rows must be passages of a text, got text. Give .txt files."
    with pytest.raises(InputError) as refused:
        FillNetwork(5, NetworkOptions(both_directions=False))
    assert str(refused.value) == (
        "fill: both_directions must be True, got False. Leave --one-direction out: a missing unit is between two "
        "contexts."
    )


def test_a_stopped_fit_goes_on_to_the_same_weights(tmp_path):
    class Stop(Silent):
        def updated(self, update):
            if update == 17:
                raise RuntimeError("stopped")

    text = with_targets("".join(f"line {n} of the book\n" for n in range(100)))
    options = replace(SMALL, dropout=0.2)
    task = Fill.encode_from(text, options)
    part = Part(text, task.encode(text))

    def run(**around):
        chosen = FitOptions(updates=30, batch=8, seed=2)
        return fit(task, new_network(task, options, 0), part, part, chosen, Surroundings(**around)).sha256

    with pytest.raises(RuntimeError, match="stopped"):
        run(folder=tmp_path, listener=Stop())
    assert run(folder=tmp_path, resume=True) == run()
