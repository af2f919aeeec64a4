"""One step of a training and of other data: which series agree, and what is refused."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.time.frequency import LAST, Frequency
from ostinato.program.data.time.step import filled_note, grid_through, in_step
from ostinato.program.data.time.windows import Window
from program.data.made_series import csv, days, hours, months, one_series, ramp

DAY, WEEK, MONTH = Frequency("second", 86_400), Frequency("second", 7 * 86_400), Frequency("month")
BUSINESS = Frequency("business day")
TIMES = {
    "days": days(40),
    "weeks": days(40, step=7),
    "months": months(40),
    "ends": [str((np.datetime64("2000-01") + k + 1).astype("M8[D]") - 1) for k in range(40)],
    "numbers": list(range(40)),
    "minutes": hours(40, minutes=15),
}


def windows(folder, times):
    series = one_series(folder, csv(ds=times, y=ramp(len(times))), horizon=1)
    return [Window(series, len(times), 8, 3)]


@pytest.mark.parametrize("name, trained", [("days", DAY), ("weeks", WEEK), ("months", MONTH), ("ends", MONTH)])
def test_series_of_the_step_of_the_training_stay_as_they_are(tmp_path, name, trained):
    made = windows(tmp_path, TIMES[name])
    assert in_step(made, trained, "a.csv")[0].series is made[0].series
    assert in_step(made, None, "a.csv")[0].series is made[0].series


@pytest.mark.parametrize(
    "name, trained, expected, received",
    [
        ("weeks", DAY, "a day", "a week"),
        ("days", WEEK, "a week", "a day"),
        ("days", BUSINESS, "a business day", "a day"),
        ("months", DAY, "a day", "a month"),
        ("numbers", DAY, "a day", "1 in whole numbers"),
        ("numbers", Frequency("step", 2), "2 in whole numbers", "1 in whole numbers"),
        ("days", Frequency("step"), "1 in whole numbers", "a day"),
        ("minutes", Frequency("second", 3_600), "an hour", "15 minutes"),
    ],
)
def test_another_step_is_refused(tmp_path, name, trained, expected, received):
    with pytest.raises(InputError) as caught:
        in_step(windows(tmp_path, TIMES[name]), trained, "a.csv")
    assert str(caught.value) == (
        f"a.csv: one step of the times must be {expected}, as in the training, got {received}. Sum or average the rows "
        "to that step, or train a model on these data."
    )


def test_business_days_without_a_weekend_go_on_after_it(tmp_path):
    (made,) = windows(tmp_path, days(5, "2020-01-06"))
    assert made.series.frequency == DAY
    (found,) = in_step([made], BUSINESS, "a.csv")
    assert found.times[-3:].astype("M8[D]").astype(str).tolist() == ["2020-01-13", "2020-01-14", "2020-01-15"]


def test_the_grid_of_a_step_goes_through_times_with_gaps():
    times = np.array(["2020-01-31", "2020-02-29", "2020-06-30"], "M8[s]")
    assert grid_through(MONTH, times) == Frequency("month", 1, LAST)
    assert grid_through(DAY, times) == DAY and grid_through(WEEK, times) is None
    assert grid_through(MONTH, np.array(["2021-02-28", "2021-03-28"], "M8[s]")) == Frequency("month", 1, 28)
    assert grid_through(BUSINESS, np.array(["2020-01-03", "2020-01-06", "2020-01-08"], "M8[s]")) == BUSINESS
    assert grid_through(BUSINESS, np.array(["2020-01-03", "2020-01-05"], "M8[s]")) is None
    assert grid_through(Frequency("step", 2), np.array([1, 3, 9])) == Frequency("step", 2)
    assert grid_through(Frequency("step", 2), np.array([1, 4])) is grid_through(DAY, np.array([1, 2])) is None


def test_a_window_of_which_most_is_filled_is_said(tmp_path):
    made = windows(tmp_path, TIMES["days"])
    assert filled_note(made, 80) == []
    assert filled_note(made, 81) == ["Of the 81 steps that the forecast of a reads, most have no value and are filled."]
    assert filled_note([*made, *made], 81) == [
        "Of the 81 steps that the forecast of 2 series such as a reads, most have no value and are filled."
    ]
