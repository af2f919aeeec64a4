"""The page of forecasts: which windows are drawn, what is left out, and what stays private."""

import dataclasses

import numpy as np
import pytest
from matplotlib.dates import date2num

from ostinato.program.page.forecast_pictures import coverage_picture, fan_picture, steps_picture
from ostinato.program.page.forecasts import MOST_FANS, beside, fans_of, sections_of
from ostinato.program.page.page import PageContent, report_page
from ostinato.program.running.outcome import Gain, Outcome, Scored
from ostinato.program.tasks.baselines.regressions import for_forecasts
from ostinato.program.tasks.forecasting.details import details_of
from ostinato.program.tasks.forecasting.metrics import tally_of
from ostinato.program.tasks.forecasting.reference import QUANTILES, reference_of
from ostinato.program.tasks.scored import gain_of, metrics_of
from program.tasks.made_windows import examples, noisy, seasonal, series, windows

EVIL = "</script><img src=x onerror=alert(1)>"


def judged(made, horizon=12):
    """(test windows, the network's predictions, the outcome)"""
    train = [w for s in made for w in windows(s, 24, 150, 24, horizon)]
    test = examples([w for s in made for w in windows(s, 170, 215, 24, horizon)])
    reference, found = reference_of(train, 12), noisy(test.inputs, 0.3)
    tally = tally_of(test.inputs, found, reference)

    def scored(name, predictions, trivial=False):
        metrics = metrics_of(tally_of(test.inputs, predictions, reference), "quantile_loss", 0)
        return Scored(name, metrics, trivial, details=details_of(test.inputs, predictions, reference, test.channels))

    baselines, gains = [], []
    for baseline in for_forecasts(12, QUANTILES)[:4]:
        predictions = baseline.fit(examples(train)).predict(test)
        gain = gain_of(tally, tally_of(test.inputs, predictions, reference), "quantile_loss", 0)
        baselines.append(scored(baseline.name, predictions, baseline.trivial))
        gains.append(Gain(baseline.name, gain.value, gain.low, gain.high))
    return test, found, Outcome(baselines, scored("gru", found), gains, len(test))


@pytest.fixture(scope="module")
def one():
    return judged([series(seasonal())])


def dated(made, start="2020-01-01"):
    times = np.datetime64(start, "s") + np.arange(len(made.values)) * np.timedelta64(86400, "s")
    return dataclasses.replace(made, times=times)


def test_a_fan_has_the_past_the_truth_and_the_forecast_of_the_last_window(one):
    test, found, _ = one
    (fan,), left = fans_of(test, found, QUANTILES)
    assert left == 0 and fan.unit == "y0" and fan.heading == ""
    assert fan.ahead.tolist() == list(range(215, 227)) and fan.times.tolist() == list(range(179, 227))
    assert fan.values[-12:].tolist() == test.inputs[-1].future[:, 0].tolist()
    assert fan.median.tolist() == found.values[-1][:, 0].tolist()
    assert [percent for percent, _, _ in fan.bands] == [95, 80]
    assert fan.bands[1][2].tolist() == found.quantiles[-1][:, 0, 3].tolist()


def test_a_forecast_of_one_step_is_drawn_from_many_origins():
    test, found, _ = judged([series(seasonal())], horizon=1)
    (fan,), _ = fans_of(test, found, QUANTILES)
    assert fan.ahead.tolist() == list(range(180, 216)) == fan.times.tolist()
    assert fan.median.tolist() == [v[0, 0] for v in found.values[-36:]]


def test_a_truth_that_ends_early_leaves_the_forecast_whole():
    made = series(seasonal(n=220))
    rows = examples(windows(made, 212, 212, 24, 12))
    (fan,), _ = fans_of(rows, noisy(rows.inputs), QUANTILES)
    assert len(fan.ahead) == 12 and fan.times[-1] == 219 and len(fan.values) == len(fan.times)


def test_at_most_four_series_or_columns_are_drawn_and_the_others_are_counted():
    wide = examples(windows(series(seasonal(channels=7)), 170, 175, 24, 12))
    fans, left = fans_of(wide, noisy(wide.inputs), QUANTILES)
    assert [fan.unit for fan in fans] == ["y0", "y1", "y2", "y3"] and left == 3
    many = examples([w for k in range(6) for w in windows(series(seasonal(), f"s{k}"), 170, 172, 24, 12)])
    fans, left = fans_of(many, noisy(many.inputs), QUANTILES)
    assert [fan.heading for fan in fans] == ["s0", "s1", "s2", "s3"] and left == 6 - MOST_FANS


def test_the_page_has_the_pictures_and_says_how_the_intervals_are_made(one):
    test, found, outcome = one
    page = "".join(map(str, sections_of(test, found, outcome, private=False)))
    assert page.count("<figure") == 3 or page.count("<svg") == 3
    assert "46 origins; intervals are of blocks of 12 successive ones." in page
    assert "The past, the truth, and the forecast of the last test window." in page
    assert [model.name for model in beside(outcome)] == ["last value", "seasonal naive"]


def test_a_private_page_has_no_values_and_no_names_of_series():
    made = [series(seasonal(), "shop one"), series(2 * seasonal(), "shop two")]
    test, found, outcome = judged(made)
    open_page, private = ("".join(map(str, sections_of(test, found, outcome, p))) for p in (False, True))
    assert "shop one" in open_page and "shop one" not in private
    assert open_page.count("<svg") == 3 and private.count("<svg") == 2


def test_without_test_details_the_fans_alone_are_shown(one):
    test, found, _ = one
    assert len(sections_of(test, found, None, private=False)) == 1


def test_one_step_has_no_picture_by_step():
    test, found, outcome = judged([series(seasonal())], horizon=1)
    assert "".join(map(str, sections_of(test, found, outcome, private=False))).count("<svg") == 1


def test_names_of_series_and_columns_are_escaped_and_the_remark_is_on_the_page():
    made = [dated(series(seasonal(channels=2), f"{EVIL}{k}")) for k in range(2)]
    test, found, outcome = judged(made)
    test = dataclasses.replace(test, channels=("$x^2", EVIL), target_name=EVIL)
    content = PageContent("t", "b", outcome, [], [], "quantile_loss", test, found, "Enough.")
    page = report_page(content)
    assert "<img" not in page and "&lt;img" in page
    assert "repeat the last value" in page
    assert "46 origins" not in page and "92 origins" in page
    assert "by resampling blocks of successive origins; baselines first; metrics.json has 8 more" in page
    assert "Forecasts beside the true values" in page and "; 4 of" not in page


def test_pictures_are_drawn_of_dates_single_steps_and_missing_errors(one):
    _, _, outcome = one
    records = [dict(record, mase=None) for record in outcome.network.details["by_step"]]
    assert steps_picture([("gru", records)], "mase", "MASE").axes[0].get_ylabel() == "MASE"
    made = dated(series(seasonal()))
    rows = examples(windows(made, 170, 180, 24, 12))
    fans, _ = fans_of(rows, noisy(rows.inputs), QUANTILES)
    assert fan_picture(fans).axes[0].get_ylabel() == "y0"
    lines = coverage_picture(records, [80, 95]).axes[0].get_lines()
    assert [line.get_label() for line in lines if "band" in str(line.get_label())] == ["80 % band", "95 % band"]


@pytest.mark.parametrize("last, unit", [("9999", "Y"), ("9999-12-31", "D"), ("0240", "Y"), ("0001-09-01", "D")])
def test_the_first_and_the_last_years_of_the_calendar_are_drawn(last, unit):
    made = series(seasonal())
    times = np.datetime64(last, unit) - np.arange(len(made.values))[::-1]
    rows = examples(windows(dataclasses.replace(made, times=times.astype("datetime64[s]")), 215, 228, 24, 12))
    fans, _ = fans_of(rows, noisy(rows.inputs), QUANTILES)
    figure = fan_picture(fans)
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    first, final = date2num(np.array(["0001-01-01", "9999-12-31T23:59:59"], "datetime64[s]"))
    assert first <= low < high <= final
