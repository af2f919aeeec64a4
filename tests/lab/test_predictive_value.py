"""Rank correlations against scipy's, and the outcome of runs as a number to rank by."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from ostinato.apps.lab import Case, Result
from ostinato.apps.lab.experiment import Reach
from ostinato.apps.lab.predictive_value import learned, misleading, predictive_value, rank_correlation, ranks
from ostinato.apps.lab.settings import Training

pairs = st.lists(st.tuples(st.integers(0, 6), st.floats(-1e30, 1e30)), min_size=3, max_size=40)


@given(pairs)
@settings(max_examples=60, deadline=None)
def test_rank_correlation_is_spearmans_with_ties(points):
    x, y = zip(*points)
    found = rank_correlation(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_equal_values_share_their_ranks():
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]


def case(lag=10, cell="gru", seed=0):
    return Case("adding", lag, cell, "torch", seed, Training(updates=1000))


def result(bridged, error, updates=1000, ratio=0.5, steps=9, share=None):
    return Result(bridged, error, updates, 1.0, 8, 100, Reach(steps, 9, ratio, share))


def test_sooner_is_better_than_later_than_never_than_chance():
    order = [result(True, 0.001, 300), result(True, 0.009, 900), result(False, 0.02), result(False, 0.1)]
    went = [learned(case(), each) for each in [*order, result(False, 0.3), result(False, None)]]
    assert went == sorted(went, reverse=True)
    assert went[0] == pytest.approx(1.7) and went[-2:] == [0.0, 0.0]


def test_foresight_of_runs_that_follow_their_reach():
    runs = {
        case(seed=0): result(True, 0.001, 100, 0.9, 9),
        case(seed=1): result(True, 0.001, 500, 0.1, 9),
        case(seed=2): result(False, 0.1, 1000, 1e-3, 5),
        case(seed=3): result(False, 0.16, 1000, 1e-9, 3),
    }
    found = predictive_value(runs)
    assert found.ratio == pytest.approx(1.0)
    assert found.ratio_yes == pytest.approx(found.best_yes) and found.best_yes < 1
    assert found.right == found.runs == 4
    assert misleading(runs) == ([], [])
    assert np.isnan(predictive_value(dict([next(iter(runs.items()))])).ratio)


def test_runs_that_mislead_are_named():
    late, near = case(cell="lstm"), case(cell="elman")
    runs = {late: result(True, 0.001, 500, 1e-9, 3), near: result(False, 0.16, 1000, 0.4)}
    assert misleading(runs) == ([late], [near])
    assert predictive_value(runs).right == 0
    assert str(late) == "adding at lag 10, lstm torch, seed 0"


def test_the_cues_share_and_the_lag_alone_stand_beside_the_ratio():
    runs = {
        case(lag=10): result(True, 0.001, 100, 0.1, share=0.3),
        case(lag=30): result(True, 0.001, 500, 0.9, share=0.2),
        case(lag=100): result(False, 0.1, 1000, 0.5, share=0.1),
    }
    found = predictive_value(runs)
    assert (found.share, found.lag) == (pytest.approx(1.0), pytest.approx(1.0)) and found.ratio < 0
    assert np.isnan(predictive_value({**runs, case(lag=50): result(False, 0.1)}).share)
