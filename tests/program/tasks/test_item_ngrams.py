"""n-grams of items against the same formula counted in dictionaries."""

from collections import defaultdict

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.baselines.item_ngrams import ItemNgrams, for_items
from ostinato.program.tasks.texts.generate import Generate
from program.tasks.made_items import letters

OPTIONS = NetworkOptions(unit="char")


def names(count=60, seed=0):
    draw = np.random.default_rng(seed)
    texts = ["".join(draw.choice(list("abcd"), int(draw.integers(1, 7)))) for _ in range(count)]
    return Examples("given", [(("x", "y")[k % 2],) for k in range(count)], "text", texts, ("kind",))


def slow(train, entries, order, text, base=None, kind=None):
    """P of each character and the end of a text, by Witten and Bell's formula, from the shortest history up."""
    follow = defaultdict(lambda: defaultdict(int))
    for row, target in zip(train.inputs, train.targets):
        if kind is None or row == (kind,):
            whole = "<" + target + ">"
            for place in range(1, len(whole)):
                for length in range(min(order, place + 1)):
                    follow[whole[place - length : place]][whole[place]] += 1
    found, whole = [], "<" + text + ">"
    for place in range(1, len(whole)):
        p = 1 / entries if base is None else base[place - 1]
        for length in range(min(order, place + 1)):
            after = follow.get(whole[place - length : place])
            if after:
                total, kinds = sum(after.values()), len(after)
                p = (after.get(whole[place], 0) + kinds * p) / (total + kinds)
        found.append(p)
    return found


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_n_grams_are_those_of_the_formula_counted_slowly(order):
    train, test = names(), names(12, seed=1)
    task = Generate.encode_from(train, OPTIONS)
    said = ItemNgrams("n-grams", task.units, None, (order,)).fit(train).predict(test)
    for text, nats in zip(test.targets, said.values, strict=True):
        np.testing.assert_allclose(np.exp(-nats), slow(train, 6, order, text), rtol=1e-12)


def test_n_grams_by_condition_stand_on_those_of_all_items():
    train, test = names(), names(12, seed=1)
    task = Generate.encode_from(train, OPTIONS)
    said = ItemNgrams("n-grams", task.units, task.conditions, (3,)).fit(train).predict(test)
    for (kind,), text, nats in zip(test.inputs, test.targets, said.values, strict=True):
        expected = slow(train, 6, 3, text, slow(train, 6, 3, text), kind)
        np.testing.assert_allclose(np.exp(-nats), expected, rtol=1e-12)


def test_a_condition_that_training_rows_lack_has_the_n_grams_of_all_items():
    train, test = names(), names(5, seed=1)
    other = Examples("given", [("z",)] * 5, "text", test.targets, ("kind",))
    task = Generate.encode_from(train, OPTIONS)
    by_kind = ItemNgrams("n-grams", task.units, task.conditions, (3,)).fit(train).predict(other)
    of_all = ItemNgrams("n-grams", task.units, None, (3,)).fit(train).predict(other)
    for a, b in zip(by_kind.values, of_all.values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_probabilities_of_all_continuations_add_up_to_one():
    train = names()
    task = Generate.encode_from(train, OPTIONS)
    fitted = ItemNgrams("n-grams", task.units, task.conditions, (4,)).fit(train)
    row = np.array([task.mark, *task.units.encode("ab")])
    rows = [np.append(row, entry) for entry in range(task.mark + 1)]
    said = fitted._said(rows, [fitted.numbers[("x",)]] * len(rows)).reshape(len(rows), 3)
    assert said[:, 2].sum() == pytest.approx(1.0, rel=1e-12)


def test_the_baselines_are_the_units_alone_n_grams_and_n_grams_by_condition():
    train = letters(200)
    task = Generate.encode_from(train, OPTIONS)
    found = for_items(task.units, task.conditions)
    assert [b.name for b in found] == ["each unit alone", "n-grams of all items", "n-grams by letter"]
    assert [b.trivial for b in found] == [True, False, False]
    nats = [task.score(train, b.fit(train).predict(train)) for b in found]
    assert nats[0] > nats[1] > nats[2]
    assert found[1].note.startswith("order ") and found[1].note.endswith(", chosen on training items")
    bare = Examples("given", [()] * 200, "text", train.targets)
    task = Generate.encode_from(bare, OPTIONS)
    assert len(for_items(task.units, task.conditions)) == 2


def test_more_steps_than_are_counted_are_said(monkeypatch):
    monkeypatch.setattr("ostinato.program.tasks.baselines.item_ngrams.MOST_STEPS", 40)
    train = names()
    task = Generate.encode_from(train, OPTIONS)
    fitted = ItemNgrams("n-grams", task.units, None, (2,)).fit(train)
    kept = int((np.cumsum([len(text) + 1 for text in train.targets]) <= 40).sum())
    assert fitted.note == f"counted in the first {kept} of 60 items"
