"""Conformal corrections: ranks by hand, coverage on exchangeable noise, order of the quantiles."""

import numpy as np
from scipy.stats import binom

from ostinato.program.tasks.forecasting.conformal import NARROWED, corrections, moved

SHARES = [0.025, 0.1, 0.5, 0.9, 0.975]


def constant(n, values, horizon=1):
    """[n, horizon, 1, Q]: the same quantiles for every row."""
    return np.broadcast_to(np.asarray(values, np.float64), (n, horizon, 1, len(values))).copy()


def test_a_band_moves_by_the_distance_of_the_rank_that_the_paper_gives():
    # 39 truths at 1 … 39 above a band that ends at 0: ranks ceil(40 · .95) = 38 and ceil(40 · .8) = 32.
    truth = np.arange(1.0, 40.0).reshape(-1, 1, 1)
    found = corrections(truth, constant(39, [-100, -100, 0, 0, 0]), SHARES)
    assert found.tolist() == [[38.0, 32.0]]


def test_fewer_rows_than_a_level_asks_for_give_the_largest_distance():
    truth = np.array([3.0, 1.0, 2.0]).reshape(-1, 1, 1)
    assert corrections(truth, constant(3, [-9, -9, 0, 0, 0]), SHARES).tolist() == [[3.0, 3.0]]


def test_missing_truth_is_left_out_and_a_step_without_any_is_not_moved():
    truth = np.full((3, 2, 1), np.nan)
    truth[0, 0, 0] = 5.0
    found = corrections(truth, constant(3, [-1, -1, 0, 1, 1], 2), SHARES)
    assert found.tolist() == [[4.0, 4.0], [0.0, 0.0]]


def test_few_windows_widen_a_band_and_never_narrow_it():
    wide = [-9, -8, 0, 8, 9]
    few, many = (np.zeros((n, 1, 1)) for n in (NARROWED - 1, NARROWED))
    assert corrections(few, constant(len(few), wide), SHARES).tolist() == [[0.0, 0.0]]
    assert corrections(many, constant(len(many), wide), SHARES).tolist() == [[-9.0, -8.0]]


def test_quantiles_rise_and_no_band_ends_beyond_the_median():
    given = constant(1, [-2, -1, 0, 1, 2])
    assert moved(given, np.array([[1.0, 0.5]])).ravel().tolist() == [-3, -1.5, 0, 1.5, 3]
    assert moved(given, np.array([[-5.0, 0.5]])).ravel().tolist() == [-1.5, 0, 0, 0, 1.5]


def test_bands_of_exchangeable_noise_cover_as_often_as_they_say():
    draw = np.random.default_rng(3)
    truth = draw.standard_t(4, size=(4000, 3, 2))
    narrow = constant(4000, [-0.6, -0.3, 0, 0.3, 0.6], 3)
    narrow = np.broadcast_to(narrow, (4000, 3, 2, 5))
    found = corrections(truth[:2000], narrow[:2000], SHARES)
    bands = moved(narrow[2000:], found)
    for place, level in ((0, 0.95), (1, 0.8)):
        inside = (truth[2000:] >= bands[..., place]) & (truth[2000:] <= bands[..., -1 - place])
        for step in range(3):
            # Both the 4,000 calibration rows and the 4,000 that are counted vary: twice the variance of one binomial.
            middle = 4000 * level
            low, high = binom.interval(0.999, 4000, level)
            assert middle - 1.5 * (middle - low) < inside[:, step].sum() < middle + 1.5 * (high - middle)
