"""Which column of a table is the time, the series, the target and what is known beside it; and what is refused."""

import pytest

from ostinato.errors import InputError
from program.data.made import options, refusal, write
from program.data.made_series import csv, data_of, days, months, ramp

N = 30
TIMES = days(N)
FIRST = [n * 0.25 for n in range(N)]


def roles(folder, name="a.csv", content=None, **named):
    """(time, id, target) of the resolved options, and the sentence of the inference."""
    found = data_of(folder, content, name, **named).dataset
    return found.options.time, found.options.id, found.options.target, found.because


@pytest.mark.parametrize("name", ["ds", "date", "Date", "timestamp", "YEAR", "Month", "time"])
def test_a_usual_name_of_the_times_is_found_and_said(tmp_path, name):
    times = range(1900, 1900 + N) if name == "YEAR" else months(N)
    time, series, target, because = roles(tmp_path, content=csv(**{name: times, "y": ramp(N)}), horizon=2)
    assert (time, series, target) == (name, None, "y")
    step = "1" if name == "YEAR" else "a month"
    assert because == (
        f"The task is forecast: --horizon asks for it; the column of times is {name}, by its name; the target is y, "
        f"by its name; one step is {step}."
    )


def test_a_column_of_dates_under_another_name_is_the_time(tmp_path):
    time, _, _, because = roles(tmp_path, content=csv(shipped=TIMES, y=ramp(N)), horizon=2)
    assert time == "shipped" and "the column of times is shipped, by its dates" in because


def test_the_only_column_of_numbers_is_the_target(tmp_path):
    _, _, target, because = roles(tmp_path, content=csv(ds=TIMES, sales=ramp(N)), horizon=2)
    assert target == "sales" and "the target is sales, the only column of numbers" in because


def test_without_a_column_of_times_the_rows_count_as_steps(tmp_path):
    data = data_of(tmp_path, "".join(f"{v}\n" for v in ramp(N)), columns=("y",), horizon=2)
    assert data.dataset.options.time == "none"
    assert "without a column of times, the rows count as steps; " in data.dataset.because
    assert data.dataset.examples.inputs[-1].times[-2:].tolist() == [N - 2, N - 1]


def test_times_that_are_turned_off_are_not_read(tmp_path):
    broken = csv(ds=["no date"] * N, y=ramp(N))
    data = data_of(tmp_path, broken, time="none", horizon=2)
    assert data.dataset.examples.inputs[0].series.times.tolist() == list(range(N))
    assert "1 column left out: ds." in data.dataset.notes


@pytest.mark.parametrize("name", ["unique_id", "item_id", "series_id"])
def test_a_usual_name_of_series_is_found(tmp_path, name):
    content = csv(**{name: ["a", "b"] * N, "ds": [t for t in TIMES for _ in "ab"], "y": ramp(2 * N)})
    _, series, _, because = roles(tmp_path, content=content, horizon=2)
    assert series == name and f"the series are named by {name}" in because


def test_a_table_of_several_series_may_be_a_forecast(tmp_path):
    content = csv(unique_id=["a"] * N + ["b"] * N, ds=TIMES * 2, y=ramp(2 * N))
    message = refusal(tmp_path, "a.csv", content)
    assert "forecast (y is a number, ds holds times and unique_id the names of series)" in message
    assert message.endswith("Choose by --task regress or --task forecast.")
    assert data_of(tmp_path, content, task="forecast").dataset.options.id == "unique_id"


def test_a_file_of_text_is_a_table_where_a_horizon_is_given(tmp_path):
    assert roles(tmp_path, "a.txt", csv(ds=TIMES, y=ramp(N)), horizon=2)[:3] == ("ds", None, "y")


def test_several_targets_and_all_of_them(tmp_path):
    content = csv(ds=TIMES, a=ramp(N), b=ramp(N), text=["x"] * N, c=ramp(N))
    assert roles(tmp_path, content=content, target="b,a", horizon=2)[2] == "b,a"
    data = data_of(tmp_path, content, target="all", horizon=2)
    assert list(data.dataset.examples.channels) == ["a", "b", "c"]
    assert data.dataset.examples.targets[0].shape == (2, 3)
    assert "1 column left out: text." in data.dataset.notes


def test_covariates_of_the_past_and_of_the_future_are_read_where_they_are_named(tmp_path):
    content = csv(ds=TIMES, y=ramp(N), promo=["true", "false"] * 15, rain=FIRST, price=ramp(N))
    data = data_of(tmp_path, content, horizon=2, target="y", future=("promo",), series=("rain",))
    window = data.dataset.examples.inputs[-1]
    assert window.known[-2:].tolist() == [[1.0], [0.0]]
    assert window.past[-1].tolist() == [FIRST[N - 3]]
    assert "1 column left out: price." in data.dataset.notes


def test_a_table_of_numbers_and_times_has_two_readings_until_one_is_chosen(tmp_path):
    content = csv(date=TIMES, load=FIRST, y=ramp(N))
    message = refusal(tmp_path, "a.csv", content, target="y")
    assert message == (
        "a.csv: the task must be clear from the data, got 2 that fit: regress (y is a number in every row); forecast "
        "(y is a number and date rises or falls from row to row as times do). Choose by --task regress or "
        "--task forecast."
    )
    assert data_of(tmp_path, content, target="y", task="forecast").dataset.task == "forecast"
    assert data_of(tmp_path, content, target="y", task="regress").dataset.task == "regress"
    assert data_of(tmp_path, content, target="y", features=("load",)).dataset.task == "regress"
    assert data_of(tmp_path, content, target="y", horizon=2).dataset.task == "forecast"


@pytest.mark.parametrize(
    "named, because",
    [
        ({"task": "forecast"}, "--task forecast asks for it"),
        ({"origins": 3}, "--origins asks for it"),
        ({"time": "date"}, "--time asks for it"),
        ({"future": ("load",)}, "--future asks for it"),
        ({"target": "y,load"}, "--target names several columns"),
        ({"target": "all"}, "--target names several columns"),
    ],
)
def test_an_option_that_only_forecasts_have_asks_for_one(tmp_path, named, because):
    content = csv(date=TIMES, load=FIRST, y=ramp(N))
    data = data_of(tmp_path, content, **{"target": "y", **named})
    assert data.dataset.because.startswith(f"The task is forecast: {because}; ")


@pytest.mark.parametrize("times", [TIMES, TIMES[::-1]])
def test_dates_that_rise_or_fall_beside_one_column_of_numbers_are_for_a_forecast(tmp_path, times):
    data = data_of(tmp_path, csv(date=times, y=ramp(N)), target="y")
    assert data.dataset.task == "forecast"
    assert "y is a number and date rises or falls from row to row as times do" in data.dataset.because


@pytest.mark.parametrize("name, separator", [("a.tsv", "\t"), ("a.csv", ";")])
def test_other_separators_are_read(tmp_path, name, separator):
    content = csv(ds=TIMES, y=ramp(N)).replace(",", separator)
    assert roles(tmp_path, name, content, horizon=2)[:3] == ("ds", None, "y")


def test_json_lines_parquet_and_compressed_files_are_read(tmp_path):
    import gzip

    import polars as pl

    frame = pl.DataFrame({"ds": TIMES, "y": ramp(N)}).with_columns(pl.col("ds").str.to_date())
    frame.write_parquet(tmp_path / "b.parquet")
    frame.write_ndjson(tmp_path / "c.jsonl")
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(frame.write_csv().encode()))
    from ostinato.program.data.read import read

    series = [read(options(tmp_path / name, horizon=2)).examples.inputs[0].series for name in ("b.parquet", "c.jsonl")]
    series.append(read(options(tmp_path / "d.csv.gz", horizon=2)).examples.inputs[0].series)
    for one in series:
        assert (one.times == series[0].times).all() and (one.values == series[0].values).all()
        assert one.frequency.name == "D"


@pytest.mark.parametrize(
    "columns, named, message",
    [
        (
            {"ds": TIMES, "y": ramp(N)},
            {"time": "dsx"},
            "a.csv: the column 'dsx' must be in the file, got a file with the columns ds, y. Did you mean "
            "'ds'? If the file has no header, name its columns: --columns a,b,c.",
        ),
        (
            {"date": TIMES, "time": TIMES, "y": ramp(N)},
            {},
            "a.csv: --time must be the column of times, got date, time, any of which could be it. Choose by --time "
            "date, or --time none where rows count as steps.",
        ),
        (
            {"ds": TIMES, "a": ramp(N), "b": ramp(N)},
            {},
            "a.csv: --target must be the column to be forecast, got a, b, any of which could be it. Give --target "
            "COLUMN, several with commas between, or --target all.",
        ),
        (
            {"ds": TIMES, "a": ["x"] * N},
            {},
            "a.csv: --target must be the column to be forecast, got columns ds, a. Give --target COLUMN, several with "
            "commas between, or --target all.",
        ),
        (
            {"ds": TIMES, "a": ["x"] * N},
            {"target": "all"},
            "a.csv: --target all must be columns of numbers, got columns ds, a. Name the target.",
        ),
        (
            {"ds": TIMES, "y": ramp(N)},
            {"target": "y", "future": ("y",)},
            "a.csv: the column y must be in one role, got two. Name each column once among --time, --id, --target, "
            "--future and --series.",
        ),
        (
            {"ds": TIMES, "y": ramp(N), "shop": ["a"] * N},
            {"future": ("shop",)},
            "a.csv: the column shop must be of numbers, got string (String). Give classes as numbers, such as 0 and 1, "
            "or name other columns.",
        ),
        (
            {"ds": TIMES, "y": [None] * N},
            {"target": "y"},
            "a.csv: the column y must be of numbers, got no value in any row. Write the numbers, and NA where one is "
            "missing.",
        ),
        (
            {"ds": TIMES, "y": ["NA"] * N},
            {"target": "y"},
            "a.csv: the column y must be of numbers, got no value in any row. Write the numbers, and NA where one is "
            "missing.",
        ),
        (
            {"ds": TIMES, "y": [*ramp(N)[:-2], "x", "z"]},
            {"target": "y"},
            "a.csv: the column y must be of numbers, got 2 cells that are none, the first 'x' at line 30. Correct it, "
            "or write NA where the number is missing.",
        ),
        (
            {"112": ramp(N)},
            {},
            "a.csv: the first line must be the names of the columns, got '112'. If the file has no header, name its "
            "columns: --columns y.",
        ),
        (
            {"ds": TIMES, "y": ramp(N), "x": ramp(N)},
            {"target": "y", "features": ("x",)},
            "a.csv: --features must be left out, as the task is forecast, got it. Name covariates by --future "
            "where they are known ahead, else by --series.",
        ),
        (
            {"ds": TIMES, "y": ramp(N), "x": ramp(N)},
            {"target": "y", "task": "regress", "origins": 3},
            "a.csv: --horizon, --origins must be left out, as the task is regress, got them. Leave out --task, or "
            "give --task forecast.",
        ),
        (
            {"ds": TIMES, "y": ramp(N)},
            {"id": "shop"},
            "a.csv: the column 'shop' must be in the file, got a file with the columns ds, y. If the file has "
            "no header, name its columns: --columns a,b,c.",
        ),
    ],
)
def test_columns_that_do_not_fit_a_forecast_are_refused(tmp_path, columns, named, message):
    assert refusal(tmp_path, "a.csv", csv(**columns), horizon=2, **named) == message


def test_an_empty_name_of_a_series_is_refused(tmp_path):
    content = csv(unique_id=["a"] * (N - 1) + [None], ds=TIMES, y=ramp(N))
    with pytest.raises(InputError) as caught:
        from ostinato.program.data.read import read

        read(options(write(tmp_path, "a.csv", content), horizon=2))
    assert str(caught.value) == (
        "a.csv: the column unique_id of --id at line 31 must be filled in every row, got an empty cell. Fill it, or "
        "leave the row out."
    )
