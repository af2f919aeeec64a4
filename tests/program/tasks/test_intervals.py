"""Intervals by resampling units: coverage, groups, pairs, seeds."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.tasks.intervals import by_unit, draws, ends, unseen
from ostinato.program.tasks.metrics import tally_of_classes, tally_of_numbers

YES_NO = ["no", "yes"]


def hits(right):
    """A tally in which so many rows are right."""
    truth = ["yes"] * len(right)
    return tally_of_classes(truth, ["yes" if r else "no" for r in right], None, YES_NO, None)


def test_95_percent_intervals_of_accuracy_hold_the_truth_in_about_95_of_100_simulations():
    draw = np.random.default_rng(0)
    inside = 0
    for k in range(200):
        low, high = hits(draw.random(150) < 0.8).interval("accuracy", k)
        inside += low <= 0.8 <= high
    assert 0.91 <= inside / 200 <= 0.98


def test_rows_of_a_group_are_drawn_together_so_that_the_interval_is_honest():
    draw = np.random.default_rng(1)
    inside = {True: 0, False: 0}
    for k in range(100):
        right = np.repeat(draw.random(40) < 0.7, 10)  # ten rows of a group are right or wrong together
        groups = [str(g) for g in np.repeat(np.arange(40), 10)]
        for grouped in inside:
            tally = tally_of_numbers([0.0] * 400, 1.0 - right, groups if grouped else None)
            low, high = tally.interval("mae", k)
            inside[grouped] += low <= 0.3 <= high
    assert inside[True] > 88 and inside[False] < 70


def test_groups_are_the_units_and_leave_the_value_alone():
    columns = np.arange(8.0).reshape(4, 2)
    found = by_unit(columns, ["b", "a", "b", "a"]).toarray()
    assert found.tolist() == [[4.0, 6.0], [8.0, 10.0]]


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    tally = hits(np.arange(100) % 3 > 0)
    assert tally.interval("accuracy", 1) == tally.interval("accuracy", 1) != tally.interval("accuracy", 2)


def test_a_gain_in_pairs_is_narrower_than_two_intervals_when_both_miss_the_same_rows():
    draw = np.random.default_rng(2)
    hard = draw.random(400) < 0.3
    worse = hits(~hard)
    better = hits(~hard | (draw.random(400) < 0.1))
    value, low, high = better.gain(worse, "accuracy", 0)
    assert value == pytest.approx(better.value("accuracy") - worse.value("accuracy"))
    own = better.interval("accuracy", 0)
    assert 0 < low <= value <= high and high - low < own[1] - own[0]
    assert worse.gain(better, "accuracy", 0)[0] == -value


def test_a_smaller_error_is_a_gain():
    truth = np.arange(50.0)
    near, far = tally_of_numbers(truth, truth + 1, None), tally_of_numbers(truth, truth + 3, None)
    assert near.gain(far, "mae", 0) == pytest.approx((2, 2, 2))


def test_gains_of_other_rows_are_refused():
    with pytest.raises(InputError, match="gain: the other predictions must be of 3 units, got 2. Predict the same"):
        hits([1, 1, 0]).gain(hits([1, 0]), "accuracy", 0)


def test_every_resample_draws_as_many_units_as_there_are():
    for units in (1, 7, 3000):
        whole = np.concatenate(list(draws(units, 0, 40)))
        assert whole.shape == (40, units) and (whole.sum(1) == units).all()


def test_resamples_without_a_value_are_left_out():
    assert ends(np.array([np.nan, 1.0, 1.0])) == (1, 1)
    assert all(np.isnan(ends(np.array([np.nan]))))


def test_one_unit_has_no_interval_and_no_gain_of_a_width_of_0():
    ours, theirs = hits([True]), hits([False])
    assert np.isnan(ours.interval("accuracy", 0)).all()
    value, low, high = ours.gain(theirs, "accuracy", 0)
    assert value == 1.0 and np.isnan([low, high]).all()
    groups = ["a"] * 8  # eight rows of one group are one unit
    tally = tally_of_numbers([0.0] * 8, np.arange(8.0), groups)
    assert tally.value("mae") == 3.5 and np.isnan(tally.interval("mae", 0)).all()


@pytest.mark.parametrize("rows, low", [(3, 0.4385), (15, 0.796), (300, 0.987)])
def test_rows_without_an_error_have_the_interval_of_wilson(rows, low):
    """E. Wilson, 1927: the lower end for n of n."""
    tally = hits([True] * rows)
    for found, expected in zip(tally.interval("accuracy", 0), (low, 1.0)):
        assert found == pytest.approx(expected, abs=5e-4)
    assert hits([False] * rows).interval("accuracy", 0) == (0.0, pytest.approx(1 - low, abs=5e-4))


def test_a_gain_that_is_alike_in_every_row_has_a_width():
    right, wrong = hits([True] * 15), hits([False] * 15)
    assert right.gain(right, "accuracy", 0) == (0.0, -unseen(15), unseen(15))
    assert right.gain(wrong, "accuracy", 0) == (1.0, 1 - unseen(15), 1.0)
    assert wrong.gain(right, "accuracy", 0) == (-1.0, -1.0, -1 + unseen(15))


def test_rows_of_a_group_are_one_unit_of_the_interval_of_wilson():
    tally = tally_of_classes(["yes"] * 8, ["yes"] * 8, None, YES_NO, ["a", "b"] * 4)
    assert tally.interval("accuracy", 0) == (pytest.approx(1 - unseen(2)), 1.0)


def test_an_error_that_is_no_share_keeps_a_width_of_0():
    assert tally_of_numbers(np.zeros(9), np.ones(9), None).interval("mae", 0) == (1.0, 1.0)
