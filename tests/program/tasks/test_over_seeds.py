"""The difference between models that were trained with several seeds: known differences, coverage, refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from ostinato.errors import InputError
from ostinato.program.tasks.metrics import tally_of_numbers
from ostinato.program.tasks.over_seeds import gain_over_seeds, half_width

ROWS = 60


def errors(values):
    """A tally of N rows with these absolute errors."""
    return tally_of_numbers([0.0] * len(values), np.asarray(values, float), None)


def sides(draw, seeds, deviation, gap):
    """Runs of two models whose mean absolute errors are 5 and 5 + gap, and deviate by the seed."""
    hard = draw.normal(size=ROWS)

    def runs(mean):
        return [errors(np.abs(mean + hard + deviation * draw.normal() + 0.3 * draw.normal(size=ROWS))) for _ in seeds]

    return runs(5.0), runs(5.0 + gap)


def test_the_gain_is_the_difference_of_the_means_over_seeds_and_positive_where_ours_is_better():
    ours, theirs = [errors([1, 3]), errors([3, 5])], [errors([4, 6]), errors([8, 10]), errors([6, 8])]
    assert gain_over_seeds(ours, theirs, "mae").value == pytest.approx(7 - 3)
    assert gain_over_seeds(theirs, ours, "mae").value == pytest.approx(3 - 7)


def test_one_run_of_each_has_the_interval_of_the_rows_alone():
    ours, theirs = sides(np.random.default_rng(0), range(1), 0.0, 0.2)
    found = gain_over_seeds(ours, theirs, "mae", 3)
    assert (found.value, found.low, found.high) == ours[0].gain(theirs[0], "mae", 3)


def test_95_percent_intervals_hold_a_known_difference_in_about_95_of_100_comparisons_with_two_and_with_five_seeds():
    for seeds in (2, 5):
        draw, inside = np.random.default_rng(seeds), 0
        for k in range(200):
            found = gain_over_seeds(*sides(draw, range(seeds), 0.15, 0.3), "mae", k)
            inside += found.low <= 0.3 <= found.high
        assert 0.91 <= inside / 200 <= 0.99


def test_the_first_seed_alone_would_be_certain_of_differences_that_only_its_seed_has():
    draw, wrong = np.random.default_rng(7), {1: 0, 3: 0}
    for k in range(100):
        ours, theirs = sides(draw, range(3), 0.3, 0.0)
        for seeds in wrong:
            found = gain_over_seeds(ours[:seeds], theirs[:seeds], "mae", k)
            wrong[seeds] += found.low > 0 or found.high < 0
    assert wrong[1] > 60 and wrong[3] <= 10


def test_equal_runs_leave_the_interval_of_the_rows():
    ours, theirs = sides(np.random.default_rng(4), range(1), 0.0, 0.2)
    alone = gain_over_seeds(ours, theirs, "mae")
    again = gain_over_seeds(ours * 3, theirs * 3, "mae")
    assert again.value == pytest.approx(alone.value)
    assert again.high - again.low == pytest.approx(alone.high - alone.low, rel=0.08)  # a normal one against percentiles


def test_without_chance_in_the_rows_the_interval_is_that_of_welch():
    one, other = np.array([1.0, 1.4, 1.3]), np.array([2.0, 2.6])
    runs = [(side.var(ddof=1) / len(side), len(side) - 1) for side in (one, other)]
    low, high = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert 2 * half_width(0.0, runs) == pytest.approx(high - low)
    assert half_width(4.0, []) == pytest.approx(2 * 1.959964, rel=1e-6)


def test_a_baseline_that_has_one_run_is_compared_with_several_runs():
    ours, theirs = sides(np.random.default_rng(5), range(3), 0.1, 0.5)
    found = gain_over_seeds(ours, theirs[:1], "mae")
    assert found.low < found.value < found.high and math.isfinite(found.low)


def test_runs_of_other_rows_are_refused():
    with pytest.raises(InputError) as error:
        gain_over_seeds([errors([1, 2])], [errors([1, 2, 3])], "mae")
    assert str(error.value) == (
        "gain: the runs must be of the same units, got 2 and 3. Predict the same rows with all of them."
    )
