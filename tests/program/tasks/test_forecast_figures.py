"""Figures of baselines of forecasts on real data, to three digits; skipped where the data is absent.

ETTh1: z-scores of rows 0 … 8,639, targets 11,520 … 14,400 - H at stride 1, over all windows, steps and seven columns.
AirPassengers: the last steps held out; drift is the mean of the last twelve yearly differences. Sunspots: errors of one
step by the variance (1,496) of 1700-1979, fitted on 1700-1920. CO2: gaps filled forward, the last 104 weeks, period 52;
the drift of its published figure is the last yearly difference alone.
"""

import csv
import gzip

import numpy as np
import pytest

from ostinato.program.tasks.baselines.forecasts import Naive, SeasonalDrift, SeasonalNaive, WindowMean
from ostinato.program.tasks.baselines.regressions import Autoregression, LinearMap
from ostinato.program.tasks.forecasting.metrics import tally_of
from ostinato.program.tasks.forecasting.reference import QUANTILES, reference_of
from program.tasks.made import data
from program.tasks.made_windows import examples, series, windows


def numbers(name, columns=slice(1, None)):
    """float64 [N, K] of a CSV; empty fields are NaN."""
    path = data(f"forecasting/{name}")
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        rows = list(csv.reader(file))[1:]
    return np.array([[float(cell or "nan") for cell in row[columns]] for row in rows])


def tally(baseline, train, test):
    found = baseline.fit(examples(train)).predict(examples(test))
    return tally_of(test, found, reference_of(train, baseline.season, baseline.quantiles))


@pytest.fixture(scope="module")
def transformer():
    return series(numbers("ETTh1.csv.gz"))


def etth1(made, baseline, horizon, length=96):
    """(scaled MSE, scaled MAE) to three digits"""
    train = windows(made, length, 8640 - horizon, length, horizon)
    test = windows(made, 11520, 14400 - horizon, length, horizon)
    found = tally(baseline, train, test)
    return round(found.value("scaled_mse"), 3), round(found.value("scaled_mae"), 3)


def test_repeating_the_last_value_of_etth1(transformer):
    assert etth1(transformer, Naive(24, (0.5,)), 96) == (1.294, 0.713)


@pytest.mark.parametrize(("horizon", "expected"), [(24, (0.424, 0.389)), (48, (0.465, 0.407)), (96, (0.512, 0.433))])
def test_repeating_yesterday_of_etth1(transformer, horizon, expected):
    assert etth1(transformer, SeasonalNaive(24, (0.5,)), horizon) == expected


def test_the_mean_of_the_last_96_hours_of_etth1(transformer):
    assert etth1(transformer, WindowMean(24, (0.5,)), 96) == (0.701, 0.558)


@pytest.mark.slow
def test_a_linear_map_of_etth1_is_better_than_repeating_yesterday(transformer):
    square, _ = etth1(transformer, LinearMap(24, (0.5,)), 96, 336)
    assert square < 0.40  # 0.375 in LTSF-Linear, with L 336 and stochastic gradients


def passengers(baseline, held):
    made = series(numbers("air_passengers.csv"))
    train = windows(made, 24, 144 - held - 12, 24, 12)
    return tally(baseline, train, windows(made, 144 - held, 144 - held, 24, held))


def test_air_passengers_by_the_season_before():
    found = passengers(SeasonalNaive(12, QUANTILES), 12)
    assert round(found.value("mae"), 2) == 47.83 and round(found.value("mase"), 2) == 1.57


def test_air_passengers_by_the_season_before_with_drift():
    made = series(numbers("air_passengers.csv"))
    for held, mae in ((12, 13.28), (24, 52.4), (36, 24.1)):
        train = windows(made, 24, 144 - 2 * held, 24, held)
        found = tally(SeasonalDrift(12, QUANTILES), train, windows(made, 144 - held, 144 - held, 24, held))
        assert round(found.value("mae"), 2 if held == 12 else 1) == mae
        assert held != 12 or round(found.value("mase"), 3) == 0.436


def sunspots(baseline, first, last):
    """The mean squared error of one step, by the variance of 1700-1979."""
    made = series(numbers("sunspots_yearly.csv"))
    train = windows(made, 9, 220, 9, 1)
    found = tally(baseline, train, windows(made, first - 1700, last - 1700, 9, 1))
    return round(found.value("mse") / made.values[:280].var(), 3)


@pytest.mark.parametrize(("order", "early", "late"), [(2, 0.189, 0.451), (9, 0.126, 0.351)])
def test_sunspots_by_an_autoregression(order, early, late):
    assert sunspots(Autoregression(1, QUANTILES, order), 1921, 1955) == early
    assert sunspots(Autoregression(1, QUANTILES, order), 1956, 1979) == late


def test_sunspots_by_the_last_value():
    assert (sunspots(Naive(1, QUANTILES), 1921, 1955), sunspots(Naive(1, QUANTILES), 1956, 1979)) == (0.427, 0.965)


@pytest.mark.parametrize(
    ("baseline", "expected"), [(SeasonalNaive(52, QUANTILES), 1.41), (SeasonalDrift(52, QUANTILES, 1), 0.438)]
)
def test_carbon_dioxide_by_the_season_before(baseline, expected):
    values = numbers("co2_mauna_loa_weekly.csv")
    for row in np.flatnonzero(np.isnan(values[:, 0])):
        values[row] = values[row - 1]
    made, first = series(values), len(values) - 104
    train, test = windows(made, 104, first - 104, 104, 104), windows(made, first, first, 104, 104)
    assert round(tally(baseline, train, test).value("mase"), 3 if expected < 1 else 2) == expected
