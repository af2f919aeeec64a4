"""Frequencies: names, the times after an end, steps between times, and which frequency fits which times."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.time.frequency import LAST, Frequency, written
from ostinato.program.data.time.spacing import frequency_of

MONTH_ENDS = ["2019-11-30", "2019-12-31", "2020-01-31", "2020-02-29", "2020-03-31"]


def moments(*texts):
    return np.array(texts, "datetime64[s]")


@pytest.mark.parametrize(
    "frequency, name, words",
    [
        (Frequency("month", 12), "YS", "a year"),
        (Frequency("month", 12, LAST), "YE", "a year"),
        (Frequency("month", 3), "QS", "a quarter"),
        (Frequency("month", 1), "MS", "a month"),
        (Frequency("month", 1, LAST), "ME", "a month"),
        (Frequency("month", 2), "2MS", "2 months"),
        (Frequency("business day"), "B", "a business day"),
        (Frequency("second", 7 * 86_400), "W", "a week"),
        (Frequency("second", 86_400), "D", "a day"),
        (Frequency("second", 3_600), "h", "an hour"),
        (Frequency("second", 900), "15min", "15 minutes"),
        (Frequency("second", 60), "min", "a minute"),
        (Frequency("second", 90), "90s", "90 seconds"),
        (Frequency("step"), "1", "1"),
        (Frequency("step", 5), "5", "5"),
    ],
)
def test_a_frequency_has_the_name_that_pandas_knows(frequency, name, words):
    assert (frequency.name, frequency.words) == (name, words)


@pytest.mark.parametrize(
    "frequency, last, following",
    [
        (Frequency("month"), "2019-12-01", ["2020-01-01", "2020-02-01", "2020-03-01"]),
        (Frequency("month", 1, LAST), "2019-12-31", ["2020-01-31", "2020-02-29", "2020-03-31"]),
        (Frequency("month", 1, 15), "2019-12-15", ["2020-01-15", "2020-02-15", "2020-03-15"]),
        (Frequency("month", 3), "2019-10-01", ["2020-01-01", "2020-04-01", "2020-07-01"]),
        (Frequency("month", 12, LAST), "2019-12-31", ["2020-12-31", "2021-12-31", "2022-12-31"]),
        (Frequency("business day"), "2020-01-02", ["2020-01-03", "2020-01-06", "2020-01-07"]),
        (Frequency("second", 86_400), "2020-02-28", ["2020-02-29", "2020-03-01", "2020-03-02"]),
        (Frequency("second", 900), "2020-01-01T23:30", ["2020-01-01 23:45:00", "2020-01-02 00:00:00"]),
    ],
)
def test_the_times_after_an_end_follow_the_calendar(frequency, last, following):
    end = np.datetime64(last, "s")
    after = frequency.advance(np.repeat(end, len(following)), np.arange(1, len(following) + 1))
    assert written(after) == following
    assert frequency.between(end, after).tolist() == list(range(1, len(following) + 1))
    assert (frequency.advance(after, -np.arange(1, len(following) + 1)) == end).all()


def test_whole_numbers_advance_by_their_step():
    assert Frequency("step", 5).advance(np.array([10]), np.array([1, 2, -1])).tolist() == [15, 20, 5]


@pytest.mark.parametrize(
    "times, name",
    [
        (["2020-01-01", "2020-02-01", "2020-03-01", "2020-05-01"], "MS"),
        (MONTH_ENDS, "ME"),
        (["2020-01-15", "2020-02-15", "2020-03-15"], "MS"),
        (["2020-01-01", "2020-04-01", "2020-07-01"], "QS"),
        (["2000-12-31", "2001-12-31", "2003-12-31", "2004-12-31"], "YE"),
        (["2020-01-04", "2020-01-11", "2020-01-18"], "W"),
        (["2020-01-04", "2020-01-18", "2020-02-01"], "2W"),
        (["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"], "B"),
        (["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-07", "2020-01-08"], "B"),
        (["2020-01-03", "2020-01-04", "2020-01-05", "2020-01-08"], "D"),
        (["2020-01-06", "2020-01-07", "2020-01-08", "2020-01-09"], "D"),
        (["2020-01-01T00:00", "2020-01-01T00:15", "2020-01-01T00:30"], "15min"),
        (["2020-03-29T00:00", "2020-03-29T01:00", "2020-03-29T03:00", "2020-03-29T04:00"], "h"),
    ],
)
def test_the_frequency_of_times_is_found(times, name):
    assert frequency_of([moments(*times)], "a.csv").name == name


def test_whole_numbers_have_their_most_frequent_difference():
    assert frequency_of([np.array([1700, 1701, 1702, 1704])], "a.csv") == Frequency("step", 1)
    assert frequency_of([np.array([0, 5, 10, 20, 25])], "a.csv") == Frequency("step", 5)


def test_several_series_have_one_frequency():
    both = [moments("2020-01-01", "2020-01-02", "2020-01-03"), moments("2020-01-05", "2020-01-06")]
    assert frequency_of(both, "a.csv").name == "D"
    assert frequency_of([moments("2020-01-01", "2020-02-01"), moments("2020-01-01")], "a.csv").name == "MS"


@pytest.mark.parametrize(
    "times, message",
    [
        (
            moments("2020-01-01", "2020-01-02", "2020-01-04", "2020-01-07", "2020-01-08T12:00"),
            "a.csv: the times must be equally far apart, but for gaps, got a day (1 of 4) and 2 days (1 of 4). Sum or "
            "average the rows to equal steps first, such as one a day; where only the order counts, leave the times "
            "out and give --time none.",
        ),
        (
            np.array([1, 2, 4, 9, 15]),
            "a.csv: the times must be equally far apart, but for gaps, got 1 (1 of 4) and 2 (1 of 4). Sum or average "
            "the rows to equal steps first, such as one a day; where only the order counts, leave the times out and "
            "give --time none.",
        ),
        (
            moments("2020-01-01"),
            "a.csv: the times must be at least two different ones in a series, got one in each. Give more rows.",
        ),
        (
            moments("1900-01-01", *(f"2020-01-01T00:00:{n:02}" for n in range(20))),
            "a.csv: the times must be without gaps of far more steps than rows, a second apart, got 3,786,825,599 "
            "steps without a row between 1900-01-01 and 2020-01-01. Correct the times, or leave out what is before.",
        ),
    ],
)
def test_times_without_a_frequency_are_refused(times, message):
    with pytest.raises(InputError) as caught:
        frequency_of([times], "a.csv")
    assert str(caught.value) == message


def test_times_are_written_as_dates_where_all_are_midnight():
    assert written(moments("2020-01-01", "2020-01-02")) == ["2020-01-01", "2020-01-02"]
    assert written(moments("2020-01-01", "2020-01-01T12:00")) == ["2020-01-01 00:00:00", "2020-01-01 12:00:00"]
    assert written(np.array([3, -1])) == ["3", "-1"]
