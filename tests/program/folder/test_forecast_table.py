"""The table of forecasts: a row for each step of each window and target, in the columns that Nixtla's users know."""

import csv
import io

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.data.time.frequency import Frequency
from ostinato.program.data.time.windows import Series, Window
from ostinato.program.folder.documents import predictions_csv
from ostinato.program.folder.forecasts import (
    MOST_ROWS,
    Columns,
    forecast_frame,
    forecasts_csv,
    kept_origins,
    left_out_note,
    places_of,
)
from ostinato.program.tasks.task import Predictions

LEVELS = (80.0, 95.0)


def series(name="a", steps=6, targets=1, times=None):
    values = np.arange(steps * targets, dtype=float).reshape(steps, targets)
    months = np.arange(steps).astype("datetime64[M]").astype("datetime64[s]") if times is None else times
    nothing = np.empty((steps, 0))
    return Series(name, months, values, nothing, nothing, Frequency("month"))


def predicted(windows, targets=1):
    """Quantiles that count up, so that each has its own place."""
    horizon = windows[0].horizon
    found = np.arange(len(windows) * horizon * targets * 5, dtype=float).reshape(len(windows), horizon, targets, 5)
    return Predictions(list(found[..., 2]), None, found)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_step_of_a_window_is_a_row_with_its_bands():
    windows = [Window(series(), 4, 3, 2)]
    text = forecasts_csv(windows, predicted(windows), Columns(["y"], LEVELS))
    assert text.splitlines()[0] == "unique_id,ds,median,lo-80,hi-80,lo-95,hi-95"
    assert text.splitlines()[1] == "a,1970-05-01,2.0,1.0,3.0,0.0,4.0"
    assert text.splitlines()[2] == "a,1970-06-01,7.0,6.0,8.0,5.0,9.0"


def test_held_out_windows_have_their_truth_and_cutoff():
    windows = [Window(series(), origin, 3, 2) for origin in (3, 5)]
    truth = Examples("window", windows, "future", [w.future for w in windows], ["y"])
    rows = table(predictions_csv(truth, predicted(windows), LEVELS))
    assert [(row["ds"], row["cutoff"], row["y"]) for row in rows] == [
        ("1970-04-01", "1970-03-01", "3.0"),
        ("1970-05-01", "1970-03-01", "4.0"),
        ("1970-06-01", "1970-05-01", "5.0"),
        ("1970-07-01", "1970-05-01", ""),
    ]


def test_of_several_targets_each_has_its_own_identifier():
    one = [Window(series(targets=2), 4, 3, 2)]
    frame = forecast_frame(one, predicted(one, 2), Columns(["load", "oil"], LEVELS, truth=True))
    assert frame["unique_id"].to_list() == ["load", "load", "oil", "oil"]
    assert frame["y"].to_list() == [8.0, 10.0, 9.0, 11.0]
    assert frame["median"].to_list() == [2.0, 12.0, 7.0, 17.0]
    two = [*one, Window(series("b", targets=2), 4, 3, 2)]
    names = forecast_frame(two, predicted(two, 2), Columns(["load", "oil"], LEVELS))["unique_id"].unique().to_list()
    assert sorted(names) == ["a/load", "a/oil", "b/load", "b/oil"]


def test_whole_numbers_stay_whole():
    windows = [Window(series(times=np.arange(1700, 1706)), 4, 3, 2)]
    frame = forecast_frame(windows, predicted(windows), Columns(["y"], LEVELS))
    # the frequency of the made series is a month, of which the times 1704 and 1705 need none
    assert frame["ds"].to_list() == [1704, 1705]


def test_a_name_that_a_spreadsheet_would_run_has_an_apostrophe():
    windows = [Window(series("=1+1"), 4, 3, 2)]
    assert table(forecasts_csv(windows, predicted(windows), Columns(["y"], LEVELS)))[0]["unique_id"] == "'=1+1"


def test_names_of_columns_can_be_a_model_s():
    windows = [Window(series(), 4, 3, 2)]
    frame = forecast_frame(windows, predicted(windows), Columns(["y"], [97.5], "ostinato", "ostinato-"))
    assert frame.columns == ["unique_id", "ds", "ostinato", "ostinato-lo-97.5", "ostinato-hi-97.5"]


def test_predictions_without_quantiles_have_no_bands():
    windows = [Window(series(), 4, 3, 2)]
    frame = forecast_frame(windows, Predictions([np.ones((2, 1))]), Columns(["y"], LEVELS))
    assert frame.columns == ["unique_id", "ds", "median"]


@pytest.mark.parametrize("level, places", [(80, (2, 4)), (90, (1, 5)), (95, (0, 6))])
def test_the_widest_band_is_between_the_outermost_quantiles(level, places):
    assert places_of(level, (90, 80, 95)) == places


def test_of_too_many_windows_evenly_spaced_ones_are_kept_and_that_is_said():
    assert kept_origins(5, 10) == [0, 1, 2, 3, 4]
    assert kept_origins(11, MOST_ROWS // 4) == [1, 4, 7, 10]
    windows = [Window(series(), 4, 3, 2)] * (MOST_ROWS // 2 + 1)
    truth = Examples("window", windows, "future", None, ["y"])
    note = left_out_note(truth, Predictions([np.ones((2, 1))] * len(windows)))
    expected = "predictions.csv has 50,001 of the 100,001 test windows, evenly, so that it stays short; "
    assert note == [f"{expected}the metrics are of all."]
    assert left_out_note(truth.take([0]), Predictions([np.ones((2, 1))])) == []
