"""Rows with times become series on a grid: order, repeated rows, gaps, missing values, ends; each of them is said."""

import math

import numpy as np
import pytest

from program.data.made import refusal
from program.data.made_series import csv, data_of, days, hours, months, one_series, ramp, sentences

N = 40
TIMES = days(N)


def without(values, *places):
    return [value for place, value in enumerate(values) if place not in places]


def test_a_clean_series_is_read_as_it_is(tmp_path):
    data = data_of(tmp_path, csv(ds=TIMES, y=ramp(N)), horizon=3)
    window = data.dataset.examples.inputs[-1]
    assert window.series.values[:, 0].tolist() == ramp(N)
    assert [str(t) for t in window.times[-3:].astype("datetime64[D]")] == TIMES[-3:]
    assert window.future[:, 0].tolist() == ramp(N)[-3:] and window.series.name == "a"
    assert data.findings == []
    assert [str(o.line) for o in data.dataset.examples.origins][-1] == str(N + 1 - 2)
    assert np.shares_memory(window.values, window.series.values)


def test_unsorted_rows_are_sorted_and_counted(tmp_path):
    rows = list(zip(TIMES, ramp(N)))
    rows[3], rows[9] = rows[9], rows[3]
    data = data_of(tmp_path, csv(ds=[t for t, _ in rows], y=[v for _, v in rows]), horizon=3)
    assert data.dataset.examples.inputs[0].series.values[:, 0].tolist() == ramp(N)
    assert sentences(data) == {"6 rows were not in the order of time; they are sorted.": ("note", 6)}


def test_one_row_that_is_not_in_order_is_said_in_the_singular(tmp_path):
    rows = list(zip(TIMES, ramp(N)))
    rows[3], rows[4] = rows[4], rows[3]
    data = data_of(tmp_path, csv(ds=[t for t, _ in rows], y=[v for _, v in rows]), horizon=3)
    assert sentences(data) == {"1 row was not in the order of time; it is sorted.": ("note", 1)}


def test_rows_that_repeat_a_time_and_its_values_are_dropped(tmp_path):
    times, values = [TIMES[0], *TIMES, TIMES[-1]], [ramp(N)[0], *ramp(N), ramp(N)[-1]]
    data = data_of(tmp_path, csv(ds=times, y=values), horizon=3)
    assert data.dataset.examples.inputs[0].series.values[:, 0].tolist() == ramp(N)
    found = sentences(data)
    assert found["2 rows repeat a time and its values; they are left out."] == ("note", 2)


def test_gaps_are_missing_values_and_their_first_places_are_named(tmp_path):
    places = (5, 6, 20, 30)
    data = data_of(tmp_path, csv(ds=without(TIMES, *places), y=without(ramp(N), *places)), horizon=3)
    values = data.dataset.examples.inputs[0].series.values[:, 0]
    assert np.flatnonzero(np.isnan(values)).tolist() == list(places)
    assert sentences(data) == {
        "4 times have no row: 2020-01-06, 2020-01-07, 2020-01-21 and 1 more; the values count as missing.": (
            "warning",
            4,
        ),
        "y has 4 missing values in 40 steps.": ("note", 4),
    }


def test_the_hour_that_the_clocks_skip_is_one_gap(tmp_path):
    times = hours(48, "2020-03-28T12:00:00")
    skipped = times.index("2020-03-29 02:00:00")
    data = data_of(tmp_path, csv(ds=without(times, skipped), y=without(ramp(48), skipped)), horizon=3)
    found = "1 time has no row: 2020-03-29 02:00:00; the values count as missing."
    assert sentences(data)[found] == ("warning", 1)
    assert data.dataset.examples.inputs[0].series.frequency.name == "h"


def test_missing_values_stay_missing(tmp_path):
    values = ramp(N)
    values[7], values[8] = None, "NA"
    data = data_of(tmp_path, csv(ds=TIMES, y=values), horizon=3)
    assert sentences(data) == {"y has 2 missing values in 40 steps.": ("note", 2)}
    window = next(w for w in data.dataset.examples.inputs if w.origin == 8)
    assert math.isnan(window.future[0, 0]) and window.future[1, 0] == 9.5


def test_rows_before_the_first_and_after_the_last_value_are_left_out(tmp_path):
    values = [None, None, *ramp(N)[2:-3], None, None, None]
    data = data_of(tmp_path, csv(ds=TIMES, y=values), target="y", horizon=3)
    series = data.dataset.examples.inputs[0].series
    assert len(series.values) == N - 5 and len(series.times) == N - 5
    assert sentences(data) == {
        "2 rows come before the first value of a series; they are left out.": ("note", 2),
        "3 rows come after the last value of a series; they are left out.": ("note", 3),
    }


def test_rows_after_the_last_value_give_covariates_that_are_known_ahead(tmp_path):
    content = csv(ds=TIMES, y=[*ramp(N)[:-4], None, None, None, None], promo=range(N))
    data = data_of(tmp_path, content, target="y", future=("promo",), horizon=3)
    series = data.dataset.examples.inputs[0].series
    assert (len(series.values), len(series.times), len(series.known)) == (N - 4, N, N)
    assert data.dataset.examples.inputs[-1].known[-3:, 0].tolist() == [33, 34, 35]
    found = sentences(data)
    assert found == {"4 rows give covariates after the last value of a series.": ("note", 4)}


def test_several_series_are_read_from_one_table(tmp_path):
    content = csv(
        unique_id=["b"] * 30 + ["a"] * 40, ds=days(30, "2020-01-11") + TIMES, y=[1.5 * v for v in ramp(30)] + ramp(N)
    )
    data = data_of(tmp_path, content, horizon=3)
    windows = data.dataset.examples.inputs
    found = {w.series.name: w.series for w in windows}
    assert list(found) == ["b", "a"]
    assert (len(found["b"].values), len(found["a"].values)) == (30, 40)
    assert found["b"].values[:, 0].tolist() == [1.5 * v for v in ramp(30)]
    assert data.findings == []


def test_a_series_that_ends_early_or_is_too_short_is_named(tmp_path):
    names = ["a"] * N + ["b"] * 20 + ["c"] * 3
    content = csv(unique_id=names, ds=TIMES + TIMES[:20] + TIMES[-3:], y=ramp(N + 23))
    assert sentences(data_of(tmp_path, content, horizon=3)) == {
        "1 series has no more steps than the 3 to forecast and no window: c.": ("warning", 1),
        "1 series ends before the last time of the file: b.": ("note", 1),
    }


def test_constant_series_are_named_and_a_file_of_them_is_an_error(tmp_path):
    content = csv(unique_id=["a"] * N + ["b"] * N, ds=TIMES * 2, y=ramp(N) + [5] * N)
    found = sentences(data_of(tmp_path, content, horizon=3))
    assert found == {"y is constant in the training steps of 1 series: b.": ("warning", 1)}
    found = sentences(data_of(tmp_path, csv(ds=TIMES, y=[5] * N), horizon=3))
    assert found == {"y is constant in all training steps.": ("error", 1)}


def test_a_series_whose_forecast_would_pass_the_year_9999_is_an_error(tmp_path):
    times = [str(np.datetime64("9999-12-31") - k) for k in reversed(range(N))]
    sentence = (
        "3 steps after 9999-12-31, the end of a series, lie past the year 9999; leave its last rows out, or count rows "
        "as steps with --time none."
    )
    assert sentences(data_of(tmp_path, csv(ds=times, y=ramp(N)), horizon=3)) == {sentence: ("error", 1)}
    assert data_of(tmp_path, csv(ds=times[:-3], y=ramp(N - 3)), horizon=3).findings == []
    assert data_of(tmp_path, csv(ds=times, y=ramp(N)), horizon=3, time="none").findings == []


def test_origins_without_a_value_around_them_are_left_out_and_counted(tmp_path):
    values = ramp(100)
    values[40:60] = [None] * 20
    data = data_of(tmp_path, csv(ds=days(100), y=values), target="y", horizon=2)
    lengths = {window.length for window in data.dataset.examples.inputs}
    assert lengths == {8}
    origins = {window.origin for window in data.dataset.examples.inputs}
    # futures at 40…58 have no value; origins 48…60 have none in the 8 steps before
    assert set(range(8, 80)) - origins - set(range(79, 90)) == set(range(40, 61))
    assert "21 origins have no value before or after and are left out." in sentences(data)


AUTUMN = "if clocks were set back, write times with their zone, such as 2020-10-25T02:00+01:00."


def test_two_different_rows_of_one_time_are_refused(tmp_path):
    message = refusal(tmp_path, "a.csv", csv(ds=[*TIMES, TIMES[4]], y=[*ramp(N), 99]), horizon=3)
    assert message == (
        "a.csv: the time 2020-01-05 must be in one row, or in equal ones, got other values at line 42 than at line 6. "
        f"If the file holds several series, give --id COLUMN; {AUTUMN}"
    )
    content = csv(unique_id=["a"] * N + ["b"] * (N + 1), ds=[*TIMES, *TIMES, TIMES[4]], y=[*ramp(N), *ramp(N), 99])
    assert refusal(tmp_path, "a.csv", content, horizon=3) == (
        "a.csv: the time 2020-01-05 of b must be in one row, or in equal ones, got other values at line 82 than at "
        f"line 46. Leave one of them out; {AUTUMN}"
    )


def test_a_series_without_a_value_is_refused(tmp_path):
    content = csv(unique_id=["a"] * N + ["b"] * N, ds=TIMES * 2, y=[*ramp(N), *[None] * N])
    assert refusal(tmp_path, "a.csv", content, target="y", horizon=3) == (
        "a.csv: the series b must be with at least one value, got none. Leave its rows out, or correct --target."
    )


def test_series_no_longer_than_the_horizon_are_refused(tmp_path):
    assert refusal(tmp_path, "a.csv", csv(ds=TIMES[:12], y=ramp(12)), horizon=12) == (
        "a.csv: the series must be longer than the 12 steps to forecast, got at most 12 steps. Give more rows, or a "
        "shorter --horizon."
    )


def test_business_days_leave_the_weekends_out(tmp_path):
    times = [t for t in days(60, "2020-01-06") if np.is_busday(np.datetime64(t))]
    series = one_series(tmp_path, csv(ds=times, y=ramp(len(times))), horizon=3)
    assert series.frequency.name == "B" and not np.isnan(series.values).any()
    assert series.times_at(np.arange(len(times), len(times) + 2)).astype("M8[D]").astype(str).tolist() == [
        "2020-03-06",
        "2020-03-09",
    ]


def test_windows_read_missing_values_and_calendar_times_before_the_series_begins(tmp_path):
    from ostinato.program.data.time.windows import Window

    series = one_series(tmp_path, csv(ds=months(30), y=ramp(30)), horizon=2)
    window = Window(series, 1, 3, 31)
    assert window.times[:4].astype("M8[M]").astype(str).tolist() == ["1999-11", "1999-12", "2000-01", "2000-02"]
    assert window.times[-1].astype("M8[D]").astype(str) == "2002-08-01"
    assert np.isnan(window.values[:2]).all() and window.values[2, 0] == 0.5
    assert np.isnan(window.future[-2:]).all() and window.future[-3, 0] == 29.5


@pytest.mark.parametrize("rows", [[0, 1], [1, 0]])
def test_the_order_of_the_rows_changes_no_series(tmp_path, rows):
    order = np.argsort(np.random.default_rng(rows[0]).normal(size=N))
    shuffled = csv(ds=[TIMES[k] for k in order], y=[ramp(N)[k] for k in order])
    assert one_series(tmp_path, shuffled, horizon=3).values[:, 0].tolist() == ramp(N)
