"""The metrics of forecasts against scoringrules and utilsforecast, and by hand."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import scoringrules
from utilsforecast import losses

from ostinato.errors import InputError
from ostinato.program.tasks.forecasting.metrics import sums_of, tally_of
from ostinato.program.tasks.forecasting.reference import QUANTILES, TrainReference, reference_of
from ostinato.program.tasks.task import Predictions
from program.tasks.made_windows import noisy, seasonal, series, windows

ORIGIN, HORIZON, SEASON = 200, 12, 12


@pytest.fixture(scope="module")
def one():
    """(windows of one origin of two series, predictions, reference)"""
    made = [series(seasonal(seed=k) * (1 + 9 * k), f"s{k}") for k in range(2)]
    train = [w for s in made for w in windows(s, 24, ORIGIN - HORIZON, 24, HORIZON)]
    rows = [windows(s, ORIGIN, ORIGIN, 24, HORIZON)[0] for s in made]
    return rows, noisy(rows), reference_of(train, SEASON)


def tables(one):
    """The same as utilsforecast reads it: forecasts and the training part."""
    rows, predictions, _ = one
    columns = {"unique_id": np.repeat([w.series.name for w in rows], HORIZON), "ds": np.tile(np.arange(HORIZON), 2)}
    frame = pd.DataFrame({**columns, "y": np.concatenate([w.future[:, 0] for w in rows])})
    frame["m"] = np.concatenate([v[:, 0] for v in predictions.values])
    for k in range(5):
        frame[f"q{k}"] = np.concatenate(list(predictions.quantiles[:, :, 0, k]))
    frame["m-lo-80"], frame["m-hi-80"], frame["m-lo-95"], frame["m-hi-95"] = (frame[f"q{k}"] for k in (1, 3, 0, 4))
    train = [w.series.values[:ORIGIN, 0] for w in rows]
    names = np.repeat([w.series.name for w in rows], ORIGIN)
    return frame, pd.DataFrame({"unique_id": names, "ds": np.tile(np.arange(ORIGIN), 2), "y": np.concatenate(train)})


def test_points_are_scored_as_utilsforecast_scores_them(one):
    frame, train = tables(one)
    tally = tally_of(*one)
    assert tally.value("mase") == pytest.approx(losses.mase(frame, ["m"], SEASON, train).m.mean(), rel=1e-12)
    for name in ("mae", "mse", "smape"):
        assert tally.value(name) == pytest.approx(getattr(losses, name)(frame, ["m"]).m.mean(), rel=1e-12)
    assert tally.value("rmse") == pytest.approx(np.sqrt(losses.mse(frame, ["m"]).m.mean()), rel=1e-12)


def test_quantiles_and_bands_are_scored_as_utilsforecast_scores_them(one):
    frame, _ = tables(one)
    tally = tally_of(*one)
    models = {"m": [f"q{k}" for k in range(5)]}
    loss = losses.mqloss(frame, models, np.array(QUANTILES)).m.mean()
    assert tally.value("quantile_loss") == pytest.approx(loss, rel=1e-12)
    assert tally.value("crps") == pytest.approx(2 * loss, rel=1e-12)
    each, scales = losses.mqloss(frame, models, np.array(QUANTILES)).m, [one[2].of(w).naive[0] for w in one[0]]
    assert tally.value("sql") == pytest.approx((2 * each / scales).mean(), rel=1e-12)
    assert tally.value("wql") == pytest.approx(2 * loss / frame.y.abs().mean(), rel=1e-12)
    for level in (80, 95):
        expected = losses.coverage(frame, ["m"], level).m.mean()
        assert tally.value(f"coverage_{level}") == pytest.approx(expected, rel=1e-12)


def test_quantiles_and_bands_are_scored_as_scoringrules_scores_them(one):
    rows, predictions, _ = one
    tally = tally_of(*one)
    truth = np.stack([w.future for w in rows])
    crps = scoringrules.crps_quantile(truth, predictions.quantiles, np.array(QUANTILES))
    assert tally.value("crps") == pytest.approx(crps.mean(), rel=1e-12)
    for level, low, high in ((80, 1, 3), (95, 0, 4)):
        lower, upper = predictions.quantiles[..., low], predictions.quantiles[..., high]
        scores = scoringrules.interval_score(truth, lower, upper, 1 - level / 100)
        assert tally.value(f"interval_score_{level}") == pytest.approx(scores.mean(), rel=1e-12)
        assert tally.value(f"width_{level}") == pytest.approx((upper - lower).mean(), rel=1e-12)


def test_scaled_errors_are_those_of_training_z_scores():
    made = series(seasonal(channels=3) * [1, 10, 100])
    train, test = windows(made, 24, 120, 24, 6), windows(made, 150, 200, 24, 6)
    found = noisy(test)
    mean, deviation = made.values[:126].mean(0), made.values[:126].std(0)
    truth = (np.stack([w.future for w in test]) - mean) / deviation
    points = (np.stack(found.values) - mean) / deviation
    tally = tally_of(test, found, reference_of(train, 12))
    assert tally.value("scaled_mse") == pytest.approx(((points - truth) ** 2).mean(), rel=1e-12)
    assert tally.value("scaled_mae") == pytest.approx(np.abs(points - truth).mean(), rel=1e-12)


def test_missing_truth_counts_for_no_metric():
    values = seasonal()
    holed = values.copy()
    holed[[205, 210]] = np.nan
    rows, whole = windows(series(holed), 200, 200, 24, 12), windows(series(values), 200, 200, 24, 12)
    found, reference = noisy(whole), reference_of(windows(series(values), 24, 150, 24, 12), 12)
    sums = sums_of(rows, found, reference)
    known = sums_of(whole, found, reference)
    kept = [h for h in range(12) if h not in (5, 10)]
    assert (sums[0, [5, 10]] == 0).all() and (sums[0, kept] == known[0, kept]).all()
    errors = np.abs(found.values[0][kept, 0] - values[200:212][kept, 0])
    assert tally_of(rows, found, reference).value("mae") == pytest.approx(errors.mean())


def test_a_forecast_that_is_not_a_number_is_not_left_out():
    rows = windows(series(seasonal()), 200, 203, 24, 12)
    found = noisy(rows)
    found.values[1][3] = np.nan
    assert np.isnan(tally_of(rows, found, reference_of(rows, 12)).value("mae"))


def test_without_quantiles_only_points_are_scored():
    rows = windows(series(seasonal()), 150, 160, 24, 12)
    found = Predictions(noisy(rows).values)
    names = list(tally_of(rows, found, reference_of(rows, 12)).values)
    assert names == ["mase", "mae", "rmse", "smape", "scaled_mae", "scaled_mse", "mse"]


def test_a_constant_series_has_no_scaled_metrics():
    rows = windows(series(np.full(60, 0.1)), 30, 40, 12, 6)
    tally = tally_of(rows, noisy(rows), reference_of(rows))
    assert np.isnan([tally.value(name) for name in ("mase", "scaled_mae", "scaled_mse")]).all()
    assert tally.value("mae") > 0


def test_a_series_that_training_lacks_is_scaled_by_its_values_before_the_first_origin():
    known, new = series(seasonal(), "known"), series(100 * seasonal(seed=3), "new")
    reference = reference_of(windows(known, 24, 150, 24, 6), 12)
    rows = windows(new, 100, 110, 24, 6)
    found = reference.beside(rows)
    assert found.scales["known"] == reference.scales["known"] and "new" not in reference.scales
    expected = np.abs(new.values[12:100] - new.values[:88]).mean()
    assert found.of(rows[0]).naive == pytest.approx([expected])
    assert tally_of(rows, noisy(rows), reference).value("mase") > 0


def test_the_reference_is_read_again_from_json_as_it_was():
    made = series(np.column_stack([seasonal(), np.full(240, 2.0)]))
    reference = reference_of(windows(made, 24, 150, 24, 6), 12)
    text = json.dumps(reference.to_json(), allow_nan=False, sort_keys=True)
    again = TrainReference.from_json(json.loads(text))
    assert json.dumps(again.to_json(), sort_keys=True) == text
    assert np.isnan(again.scales["made"].naive[1]) and again.scales["made"].mean[1] == 2


def test_bands_are_pairs_of_quantiles_that_lie_even():
    assert reference_of([], 1, (0.05, 0.1, 0.5, 0.9, 0.95)).levels == [(80, 1, 3), (90, 0, 4)]
    assert reference_of([], 1, (0.5,)).levels == []


def test_metrics_do_not_depend_on_how_many_windows_are_read_at_a_time(monkeypatch):
    rows = windows(series(seasonal(channels=2)), 100, 150, 24, 6)
    reference, found = reference_of(rows, 12), noisy(rows)
    whole = sums_of(rows, found, reference)
    monkeypatch.setattr("ostinato.program.tasks.forecasting.metrics._CHUNK", 200)
    assert (sums_of(rows, found, reference) == whole).all()


def test_other_quantiles_than_those_of_the_reference_are_refused():
    rows = windows(series(seasonal()), 150, 160, 24, 12)
    message = (
        "tally_of: the quantiles must be as many as the 3 shares 0.1, 0.5, 0.9, got 5. "
        "Predict with the levels that the reference names."
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        tally_of(rows, noisy(rows), reference_of(rows, 12, (0.1, 0.5, 0.9)))
