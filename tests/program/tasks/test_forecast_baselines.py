"""The baselines of forecasts on made series with known answers: repeats, drift, gaps, autoregression, bands."""

import re

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.tasks.baselines.forecasts import Naive, SeasonalDrift, SeasonalNaive, TrainingMean, WindowMean
from ostinato.program.tasks.baselines.history import past_of
from ostinato.program.tasks.baselines.regressions import Autoregression, LinearMap, for_forecasts
from ostinato.program.tasks.forecasting.gaps import filled
from ostinato.program.tasks.forecasting.metrics import tally_of
from ostinato.program.tasks.forecasting.reference import QUANTILES, reference_of
from program.tasks.made_windows import examples, seasonal, series, windows


def forecast(baseline, values, origin, length=8, horizon=6, first=8):
    """[H, K] from an origin, fitted on the windows before it."""
    made = series(values)
    train = windows(made, first, origin - horizon, length, horizon)
    return baseline.fit(examples(train)).predict(examples(windows(made, origin, origin, length, horizon))).values[0]


def test_the_last_value_is_repeated():
    assert forecast(Naive(1, QUANTILES), np.arange(60.0), 50).tolist() == [[49.0]] * 6


def test_the_season_before_is_repeated_also_where_it_is_longer_than_the_window():
    values = np.arange(60.0) % 12
    assert forecast(SeasonalNaive(12, QUANTILES), values, 48, length=3, horizon=14, first=24)[:, 0].tolist() == [
        *range(12), 0, 1,
    ]  # fmt: skip


def test_drift_adds_a_season_s_growth_for_each_season_ahead():
    values = np.arange(80.0) % 4 + 10 * (np.arange(80) // 4)
    found = forecast(SeasonalDrift(4, QUANTILES), values, 60, length=4, horizon=10, first=8)
    assert found[:, 0].tolist() == values[60:70].tolist()


def test_drift_of_a_series_of_one_season_is_nothing():
    made = series(np.arange(12.0))
    baseline = SeasonalDrift(4, QUANTILES).fit(examples(windows(made, 4, 8, 4, 4)))
    found = baseline.predict(examples(windows(series(np.arange(4.0), "new"), 4, 4, 4, 4)))
    assert found.values[0][:, 0].tolist() == [0, 1, 2, 3]


def test_means_are_of_the_window_and_of_the_training_part():
    values = np.arange(60.0)
    assert forecast(WindowMean(1, QUANTILES), values, 50)[0, 0] == np.mean(values[42:50])
    assert forecast(TrainingMean(1, QUANTILES), values, 50)[0, 0] == np.mean(values[:50])


def test_gaps_are_filled_with_the_last_number_before_them():
    nan = np.nan
    past = np.array([[[nan, nan], [1, nan], [nan, nan], [3, nan]]])
    assert filled(past, np.array([[0.0, 7.0]])).tolist() == [[[1, 7], [1, 7], [1, 7], [3, 7]]]


def test_the_past_before_the_series_is_missing():
    found = past_of(windows(series(np.arange(5.0)), 2, 2, 1, 1), 4)[0, :, 0]
    assert np.isnan(found[:2]).all() and found[2:].tolist() == [0, 1]


def two_lags(n, seed=0, noise=1.0):
    """y_t = 5 + 1.2 y_{t-1} - 0.6 y_{t-2} + noise"""
    draw, values = np.random.default_rng(seed), np.full(n, 12.5)
    for t in range(2, n):
        values[t] = 5 + 1.2 * values[t - 1] - 0.6 * values[t - 2] + noise * draw.normal()
    return values


def test_an_autoregression_finds_its_order_and_weights():
    made = series(two_lags(3000))
    baseline = Autoregression(1, QUANTILES).fit(examples(windows(made, 8, 2900, 8, 4)))
    assert 2 <= baseline.weights.shape[1] - 1 <= 4 and baseline.name == f"AR({baseline.weights.shape[1] - 1})"
    assert baseline.weights[0, 1:3] == pytest.approx([1.2, -0.6], abs=0.06)
    given = Autoregression(1, QUANTILES, 2).fit(examples(windows(made, 8, 2900, 8, 4)))
    assert given.weights[0, 1:] == pytest.approx([1.2, -0.6], abs=0.04) and given.note == ""


def test_further_steps_of_an_autoregression_feed_on_earlier_ones():
    values = two_lags(400, noise=0.5)
    found = forecast(Autoregression(1, QUANTILES, 2), values, 300)[:, 0]
    made = series(values)
    baseline = Autoregression(1, QUANTILES, 2).fit(examples(windows(made, 8, 294, 8, 6)))
    mean, deviation = values[:300].mean(), values[:300].std()
    c, a, b = baseline.weights[0]
    last, before = ((values[k] - mean) / deviation for k in (299, 298))
    for step in range(6):
        last, before = c + a * last + b * before, last
        assert found[step] == pytest.approx(last * deviation + mean)


def test_missing_values_are_left_out_of_an_autoregression():
    values = two_lags(3000)
    values[::50] = np.nan
    made = series(values)
    baseline = Autoregression(1, QUANTILES, 2).fit(examples(windows(made, 8, 2900, 8, 4)))
    assert baseline.weights[0, 1:] == pytest.approx([1.2, -0.6], abs=0.05)


def test_a_linear_map_continues_a_line_and_a_wave():
    t = np.arange(200.0)
    for values in (3 * t + 7, np.sin(2 * np.pi * t / 12)):
        found = forecast(LinearMap(1, QUANTILES), values, 150, length=24, horizon=6, first=24)[:, 0]
        assert found == pytest.approx(values[150:156], abs=0.02 * values.std())


@pytest.mark.parametrize("kind", [LinearMap, Autoregression, Naive, SeasonalDrift])
def test_series_of_different_size_are_forecast_in_their_own_unit(kind):
    small, large = seasonal(noise=0.2), 1e6 * seasonal(noise=0.2, seed=0)
    made = [series(small, "small"), series(large, "large")]
    train = [w for s in made for w in windows(s, 24, 180, 24, 12)]
    test = [w for s in made for w in windows(s, 200, 200, 24, 12)]
    found = kind(12, QUANTILES).fit(examples(train)).predict(examples(test))
    assert found.values[1] == pytest.approx(1e6 * found.values[0], rel=1e-6)
    quantiles = np.asarray(found.quantiles)
    assert quantiles[1] == pytest.approx(1e6 * quantiles[0], rel=1e-6)


def test_gaps_in_the_truth_leave_a_linear_map_as_it_was_about():
    values = seasonal(n=400)
    holed = values.copy()
    holed[::37] = np.nan
    whole, gaps = (forecast(LinearMap(12, QUANTILES), v, 350, length=24, horizon=6, first=24) for v in (values, holed))
    assert np.isfinite(gaps).all() and gaps == pytest.approx(whole, abs=1.0)


@pytest.mark.parametrize(
    "kind", [Naive, SeasonalNaive, SeasonalDrift, TrainingMean, WindowMean, Autoregression, LinearMap]
)
def test_bands_cover_what_they_say_on_a_steady_series(kind):
    made = series(seasonal(n=1500, trend=0))
    train, test = windows(made, 24, 980, 24, 12), windows(made, 1000, 1480, 24, 12)
    found = kind(12, QUANTILES).fit(examples(train)).predict(examples(test))
    tally = tally_of(test, found, reference_of(train, 12))
    assert tally.value("coverage_80") == pytest.approx(0.80, abs=0.04)
    assert tally.value("coverage_95") == pytest.approx(0.95, abs=0.03)


def test_bands_are_read_row_by_row_as_a_whole():
    made = series(seasonal(channels=2))
    baseline = Naive(12, QUANTILES).fit(examples(windows(made, 24, 150, 24, 6)))
    found = baseline.predict(examples(windows(made, 160, 170, 24, 6)))
    whole = np.asarray(found.quantiles)
    assert whole.shape == (11, 6, 2, 5) and (np.diff(whole, axis=-1) >= 0).all()
    assert (found.take([3]).quantiles[0] == whole[3]).all() and len(found.quantiles) == 11


def test_a_file_without_missing_values_or_with_a_step_that_is_always_missing_gives_bands():
    values = np.arange(60.0)
    values[50:] = np.nan
    made = series(values)
    found = (
        Naive(1, QUANTILES).fit(examples(windows(made, 50, 50, 8, 6))).predict(examples(windows(made, 50, 50, 8, 6)))
    )
    assert np.asarray(found.quantiles).tolist() == [[[[49.0] * 5]] * 6]


def test_seasonal_baselines_are_there_where_there_is_a_season():
    assert [b.name for b in for_forecasts(1, QUANTILES)] == [
        "last value", "training mean", "mean of the window", "autoregression", "linear",
    ]  # fmt: skip
    assert [b.name for b in for_forecasts(12, QUANTILES)][3:5] == ["seasonal naive", "seasonal naive with drift"]
    assert [b.trivial for b in for_forecasts(12, QUANTILES)] == [True] * 3 + [False] * 4


def test_a_baseline_without_training_windows_is_refused():
    message = (
        "last value: the training part must be windows of a series, got none. "
        "Give a longer file, or a shorter --context or --horizon."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Naive(1, QUANTILES).fit(examples([]))
