"""The times of a column: every usual way of writing them, time zones, and what is refused."""

import datetime

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.columns import Column
from ostinato.program.data.libraries import polars as pl
from ostinato.program.data.time.column import times_of
from ostinato.program.data.time.frequency import written
from program.data.made_series import months


def read(values, name="ds", dtype=None):
    return times_of(Column(name, pl.Series(name, values, dtype=dtype), False), "a.csv", lambda row: f"line {row + 2}")


def refusal(values, name="ds", dtype=None):
    with pytest.raises(InputError) as caught:
        read(values, name, dtype)
    return str(caught.value)


TWO = ["2020-01-31", "2020-02-01"]
HOURS = ["2020-01-31 13:00:00", "2020-01-31 14:00:00"]


@pytest.mark.parametrize(
    "values, times",
    [
        (["2020-01-31", "2020-02-01"], TWO),
        (["2020/01/31", "2020/02/01"], TWO),
        (["31.01.2020", "01.02.2020"], TWO),
        (["31/01/2020", "01/02/2020"], TWO),
        (["01/31/2020", "02/01/2020"], TWO),
        (["31-01-2020", "01-02-2020"], TWO),
        (["2020-01-31 13:00:00", "2020-01-31 14:00:00"], HOURS),
        (["2020-01-31T13:00:00", "2020-01-31T14:00:00"], HOURS),
        (["2020-01-31 13:00", "2020-01-31 14:00"], HOURS),
        (["2020-01-31T13:00:00.000", "2020-01-31T14:00:00.000"], HOURS),
        (["31/01/2020 13:00", "31/01/2020 14:00"], HOURS),
        (["1949-01", "1949-02"], ["1949-01-01", "1949-02-01"]),
        (["1949/01", "1949/02"], ["1949-01-01", "1949-02-01"]),
        (["Jan 1949", "Feb 1949"], ["1949-01-01", "1949-02-01"]),
        (["January 1949", "February 1949"], ["1949-01-01", "1949-02-01"]),
    ],
)
def test_every_usual_way_of_writing_a_date_is_read(values, times):
    found = read(values)
    assert written(found.values) == times and found.notes == []
    assert found.values.dtype == "datetime64[s]"


@pytest.mark.parametrize(
    "values, times, note",
    [
        (["20200131", "20200201"], TWO, "ds is read as dates, such as 20200131 as YYYYMMDD."),
        ([20200131, 20200201], TWO, "ds is read as dates, such as 20200131 as YYYYMMDD."),
        (["194901", "194902"], ["1949-01-01", "1949-02-01"], "ds is read as months, such as 194901 as YYYYMM."),
        (["1580475600", "1580479200"], HOURS, "ds is read as seconds since 1970."),
        (["1580475600000", "1580479200000"], HOURS, "ds is read as milliseconds since 1970."),
        (
            ["1990Q4", "1991Q1"],
            ["1990-10-01", "1991-01-01"],
            "ds is read as quarters, such as 1990Q4 as their first day.",
        ),
        (
            ["2020-01-31T14:00:00+01:00", "2020-01-31T14:00:00Z"],
            HOURS,
            "The times of ds have a time zone; they are converted to UTC.",
        ),
        (
            ["2020-01-31 11:30:00-0130", "2020-01-31 15:00:00 +0100"],
            HOURS,
            "The times of ds have a time zone; they are converted to UTC.",
        ),
        (
            ["2020-03-29T00:00:00+01:00", "2020-03-30T00:00:00+02:00"],
            ["2020-03-29", "2020-03-30"],
            "The time zone of ds is left out: all its times are midnight there, so dates.",
        ),
    ],
)
def test_numbers_and_times_with_a_zone_are_read_as_dates_and_that_is_said(values, times, note):
    found = read(values)
    assert (written(found.values), found.notes) == (times, [note])


def test_an_hour_that_the_clocks_repeat_is_two_hours_where_the_zone_is_given():
    values = ["2020-10-25T02:00+02:00", "2020-10-25T02:00+01:00", "2020-10-25T03:00+01:00"]
    assert np.diff(read(values).values).astype(int).tolist() == [3600, 3600]


def test_typed_dates_are_read_with_and_without_a_zone():
    dates = [datetime.date(2020, 1, 31), datetime.date(2020, 2, 1)]
    assert written(read(dates).values) == TWO
    zone = pl.Series("ds", [datetime.datetime(2020, 1, 31, 13), datetime.datetime(2020, 1, 31, 14)])
    found = read(zone.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin"))
    assert written(found.values) == HOURS
    assert found.notes == ["The times of ds have a time zone; they are converted to UTC."]


def test_whole_numbers_stay_numbers():
    assert read(["1700", "1701"]).values.tolist() == [1700, 1701]
    assert read([0, 1, 2]).values.dtype == np.int64
    assert read([f"{n}" for n in range(194901, 194920)]).values.tolist() == list(range(194901, 194920))
    assert read(["-1", "0"]).values.tolist() == [-1, 0]


WAYS = "Write dates as 2020-01-31 or 2020-01-31 13:00:00, or whole numbers."


@pytest.mark.parametrize(
    "values, message",
    [
        (
            ["2020-01-31", "", "2020-02-02"],
            "a.csv: the time ds at line 3 must be filled in every row, got an empty cell. Fill it, or leave the row "
            "out.",
        ),
        (
            ["2020-01-31", "2020-02-30"],
            f"a.csv: the times of ds must be dates of one form, or whole numbers, got '2020-02-30' at line 3. {WAYS}",
        ),
        (
            ["01/02/2020", "02/02/2020"],
            "a.csv: the times of ds must be dates whose day and month differ clearly, got '01/02/2020' at line 2, "
            "2020-02-01 or 2020-01-02. No date of the file has a day above 12; write them as 2020-01-31.",
        ),
        (["1949.5", "1950"], f"a.csv: the times of ds must be dates or whole numbers, got '1949.5' at line 2. {WAYS}"),
        (["1", "NA"], f"a.csv: the times of ds must be dates or whole numbers, got 'NA' at line 3. {WAYS}"),
        (
            ["2020-01-31T13:00:00.5", "2020-01-31T13:00:01.0"],
            "a.csv: the times of ds must be whole seconds, got fractions of a second. Leave the times out with --time "
            "none, so that rows count as steps.",
        ),
        (
            ["1580475600001", "1580475600002"],
            "a.csv: the times of ds must be whole seconds, got fractions of a second. Leave the times out with --time "
            "none, so that rows count as steps.",
        ),
        (
            ["2020-01-31T13:00Z", "2020-01-31T14:00"],
            "a.csv: the times of ds must be all with a time zone, or all without, got '2020-01-31T14:00' at line 3. "
            "Write them in one way.",
        ),
        (
            ["0001-01-02T00:00:00+05:00", "0001-01-01T00:30:00+05:00"],
            "a.csv: the times of ds must be in the years 1 to 9999, got '0001-01-01T00:30:00+05:00' at line 3, read as "
            "0000-12-31 19:30:00. Correct it, or leave the row out.",
        ),
        (
            ["9999-12-31T22:00:00-02:00", "9999-12-31T21:00:00-02:00"],
            "a.csv: the times of ds must be in the years 1 to 9999, got '9999-12-31T22:00:00-02:00' at line 2, read as "
            "10000-01-01. Correct it, or leave the row out.",
        ),
        (
            ["0000-12-31", "0001-01-01"],
            "a.csv: the times of ds must be in the years 1 to 9999, got '0000-12-31' at line 2. Correct it, or leave "
            "the row out.",
        ),
    ],
)
def test_times_that_cannot_be_told_are_refused(values, message):
    assert refusal(values) == message


def test_a_column_of_other_values_is_refused():
    assert (
        refusal([[1.0], [2.0]]) == f"a.csv: the column ds must be of dates or whole numbers, got List(Float64). {WAYS}"
    )


def test_months_of_many_years_are_no_numbers():
    whole = [int(month.replace("-", "")) for month in months(30)]
    assert written(read(whole).values)[:2] == ["2000-01-01", "2000-02-01"]
