"""The season of training values: by the calendar, by the autocorrelation, or none; and what a forecast reads by it."""

import numpy as np
import pytest

from ostinato.program.data.time.frequency import LAST, Frequency
from ostinato.program.data.time.season import (
    autocorrelation,
    season_of,
    seasonal_correlation,
    usual_context,
    usual_seasons,
)
from program.data.made_series import csv, data_of, months, wave

MONTHS, HOURS, STEPS = Frequency("month"), Frequency("second", 3_600), Frequency("step")


@pytest.mark.parametrize(
    "frequency, seasons",
    [
        (Frequency("month"), [12]),
        (Frequency("month", 3), [4]),
        (Frequency("month", 12, LAST), []),
        (Frequency("second", 7 * 86_400), [52]),
        (Frequency("second", 86_400), [7, 365]),
        (Frequency("business day"), [5]),
        (Frequency("second", 3_600), [24, 168]),
        (Frequency("second", 900), [96, 672]),
        (Frequency("second", 1), [60, 3_600]),
        (Frequency("step"), []),
    ],
)
def test_the_calendar_gives_the_usual_seasons(frequency, seasons):
    assert usual_seasons(frequency) == seasons


@pytest.mark.parametrize(
    "frequency, period, found",
    [
        (MONTHS, 12, 12),
        (HOURS, 24, 24),
        (HOURS, 168, 168),
        (STEPS, 11, 11),
        (MONTHS, 7, 7),
        (Frequency("month", 3), 4, 4),
    ],
)
def test_a_known_period_is_found_under_a_trend_and_noise(frequency, period, found):
    values = wave(8 * max(period, 20), period, trend=0.05, noise=0.5)
    season, sentence = season_of([values[:, None]], frequency)
    assert season == found
    how = "calendar" if period in usual_seasons(frequency) else "autocorrelation"
    assert sentence.startswith(f"The season is {found} steps, by the {how}: training values so far apart have the ")


@pytest.mark.parametrize("frequency", [MONTHS, HOURS, STEPS])
def test_noise_and_random_walks_have_no_season(frequency):
    for count in (60, 600):
        noise = np.random.default_rng(count).normal(size=(50, count))
        for rows in (noise, np.cumsum(noise, axis=1)):
            seasons = [season_of([values[:, None]], frequency)[0] for values in rows]
            assert sum(season > 1 for season in seasons) <= 3  # of 50


def test_missing_values_hide_no_season():
    values = wave(240, 12, noise=0.3)
    values[np.random.default_rng(0).random(240) < 0.3] = np.nan
    assert season_of([values[:, None]], MONTHS)[0] == 12


def test_fewer_than_three_seasons_show_none():
    assert season_of([wave(35, 12)[:, None]], MONTHS)[0] == 1
    assert season_of([wave(40, 12)[:, None]], MONTHS)[0] == 12


def test_a_constant_or_empty_series_has_no_season():
    assert season_of([np.full((100, 1), 3.0)], MONTHS) == (1, "The training values show no season.")
    assert season_of([np.full((100, 1), np.nan)], MONTHS) == (1, "The training values show no season.")
    assert season_of([np.empty((0, 1))], MONTHS) == (1, "The training values show no season.")


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_autocorrelation_is_that_of_the_pairs(missing):
    draw = np.random.default_rng(0)
    values = draw.normal(size=50)
    values[draw.random(50) < missing] = np.nan
    places, given = np.arange(50), np.isfinite(values)
    rest = values - np.polyval(np.polyfit(places[given], values[given], 1), places)
    for lag in (0, 1, 5, 12):
        pairs = [(x, y) for x, y in zip(rest, rest[lag:]) if np.isfinite(x * y)]
        x, y = np.array(pairs).T
        direct = (x @ y) / np.sqrt((x @ x) * (y @ y))
        assert autocorrelation([values[:, None]], 12)[lag] == pytest.approx(direct, abs=1e-12)


@pytest.mark.parametrize("count", [24, 31, 120])
@pytest.mark.parametrize("growth", [0.0, 0.02])
def test_no_correlation_is_above_one(count, growth):
    places = np.arange(count)
    values = np.exp(growth * places) * (100 + places + places % 7 * 5.0)
    found = autocorrelation([values[:, None]], count // 3)
    assert (np.abs(found) <= 1).all() and found[0] == pytest.approx(1)
    for lag in (7, 2):
        assert abs(seasonal_correlation([values[:, None]], lag, lag // 2)[0]) <= 1
    _, sentence = season_of([values[:, None]], Frequency("second", 86_400))
    assert float(sentence.partition("correlation ")[2].partition(" ")[0] or 0) <= 1


def test_the_season_is_of_the_training_values_alone(tmp_path):
    values = wave(200, 12, noise=0.1)
    content = csv(ds=months(200), y=values)
    values[150:] = np.random.default_rng(1).normal(size=50) * 1e3
    other = csv(ds=months(200), y=values)
    found = [data_of(tmp_path, text, horizon=6, valid_share=0.15).dataset for text in (content, other)]
    assert [data.notes for data in found][0] == found[1].notes
    assert {w.series.season for data in found for w in data.examples.inputs} == {12}


def test_the_usual_context_has_more_seasons_where_the_training_values_are_many():
    assert usual_context(12, 12, 576) == 48
    assert usual_context(12, 12, 575) == 24
    assert usual_context(12, 12, 288) == 24
    assert usual_context(12, 12, 287) == 15
    assert usual_context(24, 24, 8_640) == 96
    assert usual_context(24, 168, 8_640) == 168
    assert usual_context(11, 1, 199) == 14
    assert usual_context(1, 1, 100) == 8
    assert usual_context(12, 12, 30) == 10
    assert usual_context(1, 1, 3) == 2


def test_numbers_whose_squares_are_zero_have_no_season():
    assert season_of([np.arange(40.0)[:, None] % 4 * 1e-300], STEPS)[0] == 1
