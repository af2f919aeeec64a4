"""Forecasts by step ahead and by series, and whether they only repeat the last value."""

import json

import numpy as np
import pytest

from ostinato.program.tasks.baselines.forecasts import Naive, SeasonalNaive
from ostinato.program.tasks.forecasting.details import INTERVAL_STEPS, details_of
from ostinato.program.tasks.forecasting.last_value import beside_last_value
from ostinato.program.tasks.forecasting.metrics import tally_of
from ostinato.program.tasks.forecasting.reference import QUANTILES, reference_of
from ostinato.program.tasks.task import Predictions
from program.tasks.made_windows import examples, noisy, seasonal, series, windows


def made(values=None, horizon=12, name="made"):
    """(training windows, test windows)"""
    of = series(seasonal() if values is None else values, name)
    return windows(of, 24, 150, 24, horizon), windows(of, 170, 220, 24, horizon)


def test_steps_have_the_metrics_of_their_own_errors():
    train, test = made()
    found, reference = noisy(test), reference_of(train, 12)
    details = details_of(test, found, reference)
    errors = np.abs(np.stack(found.values) - np.stack([w.future for w in test]))
    assert [record["step"] for record in details["by_step"]] == list(range(1, 13))
    assert [record["mae"] for record in details["by_step"]] == pytest.approx(errors.mean((0, 2)))
    tally = tally_of(test, found, reference)
    for name in ("mae", "mase", "quantile_loss", "coverage_80"):
        assert np.mean([record[name] for record in details["by_step"]]) == pytest.approx(tally.value(name))
    assert all(record["mae_low"] < record["mae"] < record["mae_high"] for record in details["by_step"])
    json.dumps(details, allow_nan=False)


def test_steps_show_the_errors_of_the_last_value_and_of_the_season_before():
    train, test = made()
    reference = reference_of(train, 12)
    naive = Naive(12, QUANTILES).fit(examples(train)).predict(examples(test))
    by_step = details_of(test, naive, reference)["by_step"]
    assert [r["mase_of_last_value"] for r in by_step] == pytest.approx([r["mase"] for r in by_step])
    assert by_step[5]["mase_of_seasonal_naive"] < by_step[5]["mase"]
    assert "mase_of_seasonal_naive" not in details_of(test, naive, reference_of(train, 1))["by_step"][0]


def test_long_horizons_have_intervals_at_some_steps():
    train, test = made(seasonal(n=400), horizon=60)
    by_step = details_of(test, noisy(test), reference_of(train, 12))["by_step"]
    assert len(by_step) == 60 and sum("mase_low" in record for record in by_step) == INTERVAL_STEPS
    assert "mase_low" in by_step[0] and "mase_low" in by_step[-1]


def test_several_series_and_columns_are_counted_apart():
    values = seasonal(channels=2) * [1, 100]
    first, second = made(values, name="a"), made(10 * values, name="b")
    train, test = first[0] + second[0], first[1] + second[1]
    details = details_of(test, noisy(test), reference_of(train, 12), ("low", "high"))
    assert list(details["by_series"]) == ["a", "b"] and list(details["by_channel"]) == ["low", "high"]
    assert details["by_series"]["a"]["known"] == 51 * 12 * 2
    assert details["by_channel"]["low"]["known"] == 2 * 51 * 12
    assert details["by_channel"]["low"]["mase"] > 50 * details["by_channel"]["high"]["mase"]


def test_missing_truth_is_counted():
    values = seasonal()
    values[200] = np.nan
    train, test = made(values)
    details = details_of(test, noisy(test), reference_of(train, 12))
    assert details["missing"] == 12 and details["known"] == 51 * 12 - 12
    assert details["origins"] == 51 and details["origins_of_a_block"] == 12


def sentence(predictions, rows, reference):
    return beside_last_value(rows, predictions, reference).sentence()


def last_values(rows, shift=0.0, seed=0):
    draw = np.random.default_rng(seed)
    return Predictions([np.repeat(w.values[-1:], w.horizon, 0) + shift * draw.normal(size=(1, 1)) for w in rows])


def test_a_network_that_repeats_the_last_value_is_named_as_such():
    train, test = made()
    found = sentence(last_values(test, 0.01), test, reference_of(train, 12))
    assert found.startswith(
        "The network only repeats the last value: its forecasts are 0 % as far from it as the true "
    )
    assert "and the error is 0 % " in found


def test_a_network_that_forecasts_is_said_to_save_so_much_by_step():
    train, test = made()
    reference = reference_of(train, 12)
    season = SeasonalNaive(12, QUANTILES).fit(examples(train)).predict(examples(test))
    found = beside_last_value(test, season, reference)
    assert 0 < found.first.value < found.all.value and found.all.low > 0
    assert found.sentence().startswith("The network does more than repeat the last value: the error is ")
    assert f"{100 * found.first.value:.0f} % smaller at step 1 and" in found.sentence()
    assert found.correlation > 0.9 and found.movement == pytest.approx(1, abs=0.15)


def test_a_network_that_is_worse_is_named_so_with_the_correlation_of_its_changes():
    train, test = made(np.cumsum(np.random.default_rng(0).normal(size=240)))
    found = sentence(last_values(test, 20.0), test, reference_of(train))
    assert found.startswith("The network is worse than repeating the last value: the error is ")
    assert "% larger than" in found and "have a correlation of " in found


def test_a_network_that_is_no_better_is_named_so():
    train, test = made(np.cumsum(np.random.default_rng(0).normal(size=240)))
    found = sentence(last_values(test, 0.5), test, reference_of(train))
    assert found.startswith("The network is not certainly better than repeating the last value")


def test_a_network_that_hardly_moves_is_named_so_though_it_is_certainly_better():
    train, test = made(np.arange(240.0))
    rows = [np.repeat(w.values[-1:], 12, 0) + 0.05 * np.arange(1, 13)[:, None] for w in test]
    found = sentence(Predictions(rows), test, reference_of(train))
    assert found.startswith("The network does little more than repeat the last value: its forecasts are 5 % as far")


def test_one_origin_does_not_show_it_and_a_constant_series_cannot():
    train, test = made()
    found = sentence(last_values(test[:1]), test[:1], reference_of(train, 12))
    assert found.startswith("One origin does not show whether the network only repeats the last value")
    train, test = made(np.full(240, 3.0))
    assert sentence(last_values(test), test, reference_of(train)) == (
        "The network cannot be compared with repeating the last value: there is no error to divide by."
    )
    json.dumps(beside_last_value(test, last_values(test), reference_of(train)).to_json(), allow_nan=False)


def test_a_baseline_has_the_same_counts_without_what_is_only_said_of_the_network():
    train, test = made()
    found, reference = noisy(test), reference_of(train, 12)
    whole = details_of(test, found, reference)
    of_baseline = details_of(test, found, reference, network=False)
    assert whole.keys() - of_baseline.keys() == {"last_value", "remark"}
    assert of_baseline == {key: whole[key] for key in of_baseline}
