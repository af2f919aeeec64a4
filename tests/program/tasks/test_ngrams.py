"""n-grams: known probabilities, an independent slow count, published figures, and no history across a joint."""

import gzip
from collections import Counter, defaultdict

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.tasks.baselines.ngrams import WittenBell
from program.tasks.made import data


def slowly(train, units, order, entries, uniform=None):
    """The probability of each unit by one order, counted with dicts and written as the recursion."""
    counts = defaultdict(Counter)
    for run in train:
        for place in range(len(run)):
            for k in range(min(place, order) + 1):
                counts[tuple(run[place - k : place])][run[place]] += 1

    def probability(unit, history, place):
        shorter = uniform[place] if uniform is not None else 1 / entries
        for k in range(len(history) + 1):
            found = counts.get(tuple(history[len(history) - k :]))
            if found:
                shorter = (found[unit] + len(found) * shorter) / (found.total() + len(found))
        return shorter

    return [probability(unit, units[max(0, t - order) : t], t) for t, unit in enumerate(units)]


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_sorted_numbers_count_what_dicts_count(order):
    draw = np.random.default_rng(order)
    train = [draw.integers(0, 4, size).tolist() for size in (50, 1, 0, 3, 80)]
    units = draw.integers(0, 6, 60).tolist()
    model = WittenBell(order, 6).fit([np.array(run, np.int32) for run in train])
    found = model.probabilities(np.array(units))
    for k in range(order + 1):
        np.testing.assert_allclose(found[k], slowly(train, units, k, 6), rtol=1e-12)


def test_a_text_of_two_units_has_the_probabilities_that_a_hand_computes():
    found = WittenBell(1, 3).fit([np.array([0, 1, 0, 0])]).probabilities(np.array([0, 1, 2]))
    # After no unit: 3 of 4 are 0, 1 of 4 is 1, two different ones.
    alone = [(3 + 2 / 3) / 6, (1 + 2 / 3) / 6, (0 + 2 / 3) / 6]
    np.testing.assert_allclose(found[0], alone)
    # After 0 stood 1 and 0; after 1 stood 0.
    np.testing.assert_allclose(found[1], [alone[0], (1 + 2 * alone[1]) / 4, (0 + 1 * alone[2]) / 2])


def test_probabilities_of_all_units_add_up_to_one():
    draw = np.random.default_rng(1)
    model = WittenBell(3, 5).fit([draw.integers(0, 4, 200)])
    for history in ([], [1], [0, 3], [2, 2, 1], [4, 4, 4]):
        each = [model.probabilities(np.array([*history, unit]), len(history))[:, 0] for unit in range(5)]
        np.testing.assert_allclose(np.sum(each, 0), 1)


def test_no_history_reaches_from_one_run_into_the_next():
    apart = WittenBell(1, 3).fit([np.array([0, 0, 1]), np.array([2, 0, 1])])
    assert apart.probabilities(np.array([1, 2]), 1)[1] == apart.probabilities(np.array([1, 2]), 1)[0]
    joined = WittenBell(1, 3).fit([np.array([0, 0, 1, 2, 0, 1])])
    assert joined.probabilities(np.array([1, 2]), 1)[1] > 0.5


def test_another_distribution_below_replaces_the_uniform_one():
    train, units = [[0, 1, 1, 2]], [1, 2, 0]
    below = np.array([0.7, 0.1, 0.2])
    found = WittenBell(1, 3).fit([np.array(train[0])]).of_runs([np.array(units)], base=below)
    np.testing.assert_allclose(found[1], slowly(train, units, 1, 3, below), rtol=1e-12)


def test_orders_longer_than_every_training_run_add_nothing():
    found = WittenBell(4, 3).fit([np.array([0, 1])]).probabilities(np.array([0, 1, 0, 1, 0, 1]))
    np.testing.assert_array_equal(found[2:], found[[1, 1, 1]])


def test_runs_of_different_numbers_share_no_history():
    model = WittenBell(0, 2).fit([np.array([0]), np.array([1])], [0, 1])
    found = model.of_runs([np.array([0])] * 3, [0, 1, 2])
    np.testing.assert_allclose(found, [[3 / 4, 1 / 4, 1 / 2]], rtol=1e-15)


def test_units_that_are_read_alone_are_histories_and_are_not_counted():
    run = np.array([2, 0, 2])
    found = WittenBell(1, 3, read=1).fit([run]).of_runs([run])
    np.testing.assert_allclose(found, [[5 / 12, 5 / 12], [17 / 24, 17 / 24]], rtol=1e-15)


def test_a_vocabulary_too_large_for_products_of_its_powers_is_counted_exactly():
    draw = np.random.default_rng(2)
    train = draw.integers(0, 50_000, 300)
    found = WittenBell(6, 50_000).fit([train]).probabilities(train)
    np.testing.assert_allclose(found[6], slowly([train.tolist()], train.tolist(), 6, 50_000), rtol=1e-12)


def test_tiny_shakespeare_has_the_nats_that_others_count():
    text = gzip.decompress(data("lm/tinyshakespeare.txt.gz").read_bytes()).decode()
    number = {letter: k for k, letter in enumerate(sorted(set(text)))}
    units = np.array([number[letter] for letter in text])
    train, valid = units[: int(0.9 * len(units))], units[int(0.9 * len(units)) :]
    nats = -np.log(WittenBell(5, 65).fit([train]).probabilities(valid)).mean(1)
    assert len(number) == 65
    assert [round(float(nats[k]), 3) for k in (1, 3, 4, 5)] == [2.486, 1.774, 1.669, 1.698]


def test_orders_and_texts_that_cannot_be_counted_are_refused():
    with pytest.raises(InputError) as error:
        WittenBell(-1, 3)
    assert str(error.value) == "n-gram: order and entries must be 0 and 1 or more, got -1 and 3."
    with pytest.raises(InputError) as error:
        WittenBell(1, 3).fit([np.array([], np.int32)])
    assert str(error.value) == ("n-gram: the training text must be at least one unit, got none. Give a longer text.")


def test_texts_shorter_than_the_order_are_counted_by_the_orders_that_they_have():
    model = WittenBell(3, 4).fit([np.array([2])])
    found = model.probabilities(np.array([2, 1, 2]))
    np.testing.assert_allclose(found[0], [(1 + 1 / 4) / 2, (1 / 4) / 2, (1 + 1 / 4) / 2])
    for longer in found[1:]:
        np.testing.assert_array_equal(longer, found[0])
