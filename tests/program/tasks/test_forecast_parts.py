"""What a forecast is made of: guesses, the linear map, calendar, rules; known answers."""

import numpy as np
import pytest
import torch

from ostinato.program.tasks.forecasting import linear as forecast_linear
from ostinato.program.tasks.forecasting.calendar import cycles_of, features
from ostinato.program.tasks.forecasting.gaps import filled
from ostinato.program.tasks.forecasting.guess import guess, possible
from ostinato.program.tasks.forecasting.rules import grows_with_level, segment_of

NAN = float("nan")


def rows(*values):
    """[1, L, 1]"""
    return np.array(values, np.float64).reshape(1, -1, 1)


def listed(found):
    return found.ravel().tolist()


def test_each_guess_of_a_window_of_two_seasons_of_four():
    values = rows(1, 2, 3, 4, 3, 4, 5, 8)
    assert possible(8, 4) == ["last", "mean", "season", "level", "drift"]
    assert listed(guess("last", values, 3, 4)) == [8, 8, 8]
    assert listed(guess("mean", values, 2, 4)) == [3.75, 3.75]
    assert listed(guess("season", values, 5, 4)) == [3, 4, 5, 8, 3]
    assert listed(guess("level", values, 5, 4)) == [7, 8, 9, 12, 11]  # the last growth is 4
    assert listed(guess("drift", values, 5, 4)) == [5.5, 6.5, 7.5, 10.5, 8]  # the mean growth is 2.5


@pytest.mark.parametrize(
    ("length", "season", "last"), [(3, 4, "mean"), (4, 4, "season"), (5, 4, "level"), (9, 1, "mean")]
)
def test_a_window_has_the_guesses_that_it_is_long_enough_for(length, season, last):
    assert possible(length, season)[-1] == last


def test_growth_is_taken_from_the_pairs_that_are_known():
    values = rows(NAN, NAN, 3, 4, 3, 4, 5, 8)
    assert listed(guess("drift", values, 1, 4)) == [3 + (2 + 4) / 2]
    assert listed(guess("drift", rows(NAN, NAN, NAN, NAN, 3, 4, 5, 8), 1, 4)) == [3]


def test_missing_values_are_filled_with_the_one_before_and_at_the_beginning_with_the_first():
    assert listed(filled(rows(NAN, 2, NAN, NAN, 5))) == [2, 2, 2, 2, 5]
    assert listed(filled(rows(NAN, NAN))) == [0, 0]


def test_the_linear_map_finds_the_map_that_made_the_errors():
    draw = np.random.default_rng(0)
    past, weight = draw.normal(size=(300, 5, 2)), draw.normal(size=(5, 3))
    errors = np.einsum("nlk,lh->nhk", past, weight) + 0.7
    penalty = forecast_linear.penalty_of(past, errors)
    found = forecast_linear.fit(past, errors, penalty)
    assert penalty == forecast_linear.PENALTIES[-1]
    assert np.abs(found.weight - weight).max() < 1e-3 and np.abs(found.bias - 0.7).max() < 1e-3
    assert np.abs(found.apply(past) - errors).max() < 5e-3


def test_there_is_no_linear_map_of_few_windows_or_where_the_guess_is_right():
    draw = np.random.default_rng(1)
    past = draw.normal(size=(300, 20, 1))
    errors = past[:, :2] * 0.5
    assert forecast_linear.penalty_of(past, errors) < np.inf
    assert forecast_linear.penalty_of(past[:150], errors[:150]) == np.inf
    assert forecast_linear.penalty_of(past, np.zeros((300, 2, 1))) == np.inf
    assert not forecast_linear.fit(past, errors, np.inf).weight.any()


def test_the_linear_map_has_the_same_bits_on_one_and_two_threads():
    draw = np.random.default_rng(2)
    past, errors = draw.normal(size=(4000, 48, 1)), draw.normal(size=(4000, 24, 1))
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            linear = forecast_linear.fit(past, errors, 0.1)
            found.append((linear.weight.tobytes(), linear.apply(past).tobytes()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_the_cycles_of_a_calendar_are_those_that_the_training_times_show_twice():
    hours = np.datetime64("2024-01-01T00", "s") + 3600 * np.arange(24 * 20)
    assert cycles_of(hours) == ["day", "week"]
    months = np.array(["2020-01", "2020-02"], "datetime64[M]").astype("datetime64[s]")
    assert cycles_of(np.arange("2010-01", "2013-01", dtype="datetime64[M]").astype("datetime64[s]")) == ["year"]
    assert cycles_of(np.arange("2010", "2040", dtype="datetime64[Y]").astype("datetime64[s]")) == []
    assert cycles_of(np.arange(100)) == [] and cycles_of(months) == []


def test_noon_is_opposite_to_midnight():
    times = np.array(["1970-01-01T00", "1970-01-01T06", "1970-01-01T12"], "datetime64[s]")
    assert np.round(features(times, ["day"]), 12).tolist() == [[0, 1], [1, 0], [0, -1]]


def growing(season=12, years=8, power=1.0, step=0.15, seed=0):
    """A season whose amplitude is the power of a level that grows."""
    t = np.arange(season * years)
    level = 100 * np.exp(step * (t // season))
    wave = np.sin(2 * np.pi * t / season)
    return (level + 10 * (level / 100) ** power * wave + np.random.default_rng(seed).normal(size=len(t)) * 0.1)[:, None]


def test_amplitudes_that_grow_with_the_level_are_found():
    assert grows_with_level([growing()], 12)
    assert not grows_with_level([growing(power=0.0)], 12)
    assert not grows_with_level([growing() - 200], 12)
    assert not grows_with_level([growing(step=0.01)], 12)
    assert not grows_with_level([growing(years=3)], 12)
    assert not grows_with_level([np.full((96, 1), 5.0)], 12)
    assert not grows_with_level([np.full((96, 1), NAN)], 12)


@pytest.mark.parametrize(
    ("length", "horizon", "season", "expected"),
    [
        (96, 96, 24, 24),
        (96, 12, 24, 12),
        (24, 12, 12, 6),
        (22, 1, 11, 1),
        (104, 104, 52, 26),
        (64, 30, 1, 4),
        (8, 8, 1, 1),
    ],
)
def test_segments_are_whole_parts_of_a_season_and_at_least_four(length, horizon, season, expected):
    assert segment_of(length, horizon, season) == expected
