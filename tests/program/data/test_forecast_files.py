"""Real series are read right: their frequency, season, missing values, and the windows of their usual splits."""

import gzip

import numpy as np

from ostinato.program.data.describe import describe
from ostinato.program.data.found import read_data
from program.data.made import options, real, write
from program.data.made_series import sentences


def read_real(name, **named):
    return read_data(options(real(f"forecasting/{name}"), **named))


def parts(data):
    split = data.split
    return len(split.train), len(split.valid), len(split.test)


def test_monthly_air_passengers(tmp_path):
    data = read_real("air_passengers.csv", target="Passengers", horizon=12, origins=36)
    series = data.dataset.examples.inputs[0].series
    assert (series.frequency.name, series.season, len(series.values)) == ("MS", 12, 144)
    assert (str(series.times[0])[:7], str(series.times[-1])[:7]) == ("1949-01", "1960-12")
    assert series.values[[0, -1], 0].tolist() == [112, 432]
    assert parts(data)[2] == 36 and data.findings == []
    last = data.dataset.examples.inputs[-1]
    assert last.future[:, 0].tolist() == [417, 391, 419, 461, 472, 535, 622, 606, 508, 461, 390, 432]


def test_yearly_sunspots_whose_season_is_eleven_years(tmp_path):
    data = read_real("sunspots_yearly.csv", target="SUNACTIVITY", horizon=1)
    series = data.dataset.examples.inputs[0].series
    assert (series.frequency.name, series.season) == ("1", 11)
    assert series.times[[0, -1]].tolist() == [1700, 2008] and len(series.values) == 309


def test_weekly_carbon_dioxide_with_missing_values(tmp_path):
    data = read_real("co2_mauna_loa_weekly.csv", horizon=52)
    series = data.dataset.examples.inputs[0].series
    assert (series.frequency.name, series.season, len(series.values)) == ("W", 52, 2_284)
    assert sentences(data) == {"co2 has 59 missing values in 2,284 steps.": ("note", 59)}
    assert "date is read as dates, such as 19580329 as YYYYMMDD." in data.dataset.notes
    assert str(series.times[-1])[:10] == "2001-12-29"


def test_monthly_sunspots_from_a_table_of_years_and_months(tmp_path):
    lines = [line.split() for line in real("forecasting/sunspots_monthly.dat").read_text().splitlines()]
    years = [line for line in lines if len(line) == 13 and line[0].isdigit()]
    rows = [f"{year[0]}-{month:02},{value}\n" for year in years for month, value in enumerate(year[1:], 1)]
    data = read_data(options(write(tmp_path, "spots.csv", "month,spots\n" + "".join(rows)), horizon=12))
    series = data.dataset.examples.inputs[0].series
    assert (series.frequency.name, len(series.values)) == ("MS", 12 * len(years))
    assert 120 <= series.season <= 140  # about 11 years


def test_hourly_transformers_in_the_split_of_the_literature(tmp_path):
    """12, 4 and 4 months of 30 days: the targets of the test part are the rows 11,520 to 14,399."""
    lines = gzip.decompress(real("forecasting/ETTh1.csv.gz").read_bytes()).decode().splitlines(keepends=True)
    file = write(tmp_path, "ETTh1.csv", "".join(lines[:14_401]))
    data = read_data(options(file, target="all", horizon=96, valid_share=0.2, test_share=0.2))
    examples = data.dataset.examples
    assert list(examples.channels) == ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    test = [w.origin for w, part in zip(examples.inputs, examples.parts) if part == "test"]
    assert (test[0], test[-1], len(test)) == (11_520, 14_400 - 96, 2_785)
    train = [w.origin + 96 for w, part in zip(examples.inputs, examples.parts) if part == "train"]
    assert max(train) == 8_640
    series = examples.inputs[0].series
    assert (series.frequency.name, series.season, series.values.shape) == ("h", 24, (14_400, 7))
    assert all(np.shares_memory(w.values, series.values) for w in examples.inputs[200:210])
    marks = ["split", *["train"] * 8_640, *["valid"] * 2_880, *["test"] * 2_880, *[""] * 3_020]
    marked = "".join(f"{line.rstrip()},{mark}\n" for line, mark in zip(lines, marks))
    by_column = read_data(options(write(tmp_path, "marked.csv", marked), target="all", horizon=96))
    assert parts(by_column) == parts(data)
    assert "3,020 steps of no part of the split." in by_column.dataset.notes


def test_check_says_what_was_found(tmp_path):
    data = read_real("air_passengers.csv", target="Passengers", horizon=12)
    lines = describe(data.dataset, data.split, data.findings).splitlines()
    assert lines[0] == (
        "The task is forecast: --horizon asks for it; the column of times is Date, by its name; one step is a month."
    )
    assert lines[3] == "split (by time): train 75, valid 12, test 12"
    assert "No problem was found." in lines
