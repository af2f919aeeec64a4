"""`ostinato stream` of forecasts: every row is answered as `ostinato predict` answers the rows up to it."""

import csv
import io
import json

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.data.time.frequency import Frequency
from ostinato.program.data.time.windows import Series, Window
from ostinato.program.running.model import open_model
from ostinato.program.training.evaluate import predict
from program.commands import ostinato


def months(rows, count):
    """CSV lines of months and values."""
    first = np.datetime64("1990-01", "M")
    return [",".join([str(first + k), *(f"{v:.4f}" for v in np.atleast_1d(row))]) for k, row in enumerate(rows[:count])]


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """A model of a series with a season and a covariate of the past."""
    place, t = tmp_path_factory.mktemp("sales"), np.arange(120)
    noise = np.random.default_rng(0).normal(size=(2, 120))
    rows = np.c_[50 + 0.2 * t + 8 * np.sin(2 * np.pi * t / 12) + noise[0], noise[1]]
    (place / "sales.csv").write_text("\n".join(["month,y,rain", *months(rows, 120)]) + "\n", encoding="utf-8")
    words = ("--target", "y", "--series", "rain", "--horizon", 3, "--hidden", 8, "--embedding", 8, "--updates", 20)
    ended = ostinato(place, "train", "sales.csv", *words, "--no-lens", "--no-baselines", "--quiet", "--out", "model")
    assert ended.status < 2, ended.err
    return place


def test_every_row_is_answered_with_the_forecast_that_predict_gives_after_it(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[:61]
    ended = ostinato(sales, "stream", "model", typed="\n".join(lines) + "\n")
    assert ended.status == 0, ended.err
    heading, *rows = ended.out.splitlines()
    assert heading == "unique_id,ds,cutoff,median,lo-80,hi-80,lo-95,hi-95" and len(rows) == 3 * 59
    for count in (2, 30, 60):
        (sales / "part.csv").write_text("\n".join(lines[: count + 1]) + "\n")
        whole = ostinato(sales, "predict", "model", "part.csv").out.splitlines()[1:]
        own = [row.split(",") for row in rows[3 * (count - 2) : 3 * (count - 1)]]
        assert [[c[1], *c[3:]] for c in own] == [row.split(",")[1:] for row in whole]
        assert {c[2][:7] for c in own} == {lines[count].partition(",")[0]}


def test_a_forecast_goes_on_from_its_file_with_no_more_rows_than_it_reads(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[1:61]
    whole = ostinato(sales, "stream", "model", "--json", typed="\n".join(lines) + "\n").out.splitlines()
    first = ostinato(sales, "stream", "model", "--json", "--state", "kept", typed="\n".join(lines[:50]) + "\n")
    assert first.status == 0
    content = (sales / "kept").read_bytes()
    header = json.loads(content[16 : 16 + int.from_bytes(content[12:16], "little")])
    length = json.loads((sales / "model/scaling.json").read_text())["shape"]["length"]
    assert len(header["sequences"][0]["own"]["rows"]) == length < 50
    rest = ostinato(sales, "stream", "model", "--json", "--state", "kept", typed="\n".join(lines[50:]) + "\n")
    for own, other in zip(rest.out.splitlines(), whole[50:], strict=True):
        assert json.loads(own)["forecast"] == json.loads(other)["forecast"]
    one = json.loads(whole[-1])["forecast"][0]
    assert set(one) == {"unique_id", "ds", "cutoff", "median", "lo-80", "hi-80", "lo-95", "hi-95"}


def test_every_line_of_a_forecast_has_the_id_of_its_row(sales):
    rows = (sales / "sales.csv").read_text().splitlines()[1:4]
    alone = ostinato(sales, "stream", "model", typed="\n".join(rows) + "\n").out.splitlines()
    typed = "".join(f"{name}\t{row}\n" for row in rows for name in ("a", "b"))
    heading, *found = ostinato(sales, "stream", "model", "--ids", typed=typed).out.splitlines()
    assert heading == f"id\t{alone[0]}" and len(found) == 2 * len(alone[1:]) == 12
    for name in ("a", "b"):
        assert [line.partition("\t")[2] for line in found if line.startswith(f"{name}\t")] == alone[1:]


def test_a_row_without_a_value_is_answered_with_what_comes_after_it(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[1:40]
    for place in (-3, -1):
        lines[place] = lines[place].partition(",")[0] + ",NA,0.5"
    ended = ostinato(sales, "stream", "model", typed="\n".join(lines) + "\n")
    assert ended.status == 0, ended.err
    rows = [line.split(",") for line in ended.out.splitlines()[-6:]]
    assert [row[1:3] for row in rows[3:]] == [[f"1993-{m:02}-01", "1993-03-01"] for m in (4, 5, 6)]
    opened = open_model(sales / "model")
    numbers = np.array([[float("nan" if cell == "NA" else cell) for cell in line.split(",")[1:]] for line in lines])
    times = (np.datetime64("1990-01") + np.arange(39)).astype("datetime64[s]")
    for count, found in ((38, rows[:3]), (39, rows[3:])):
        known = numbers[:count]
        series = Series("series", times[:count], known[:, :1], known[:, 1:], np.empty((count, 0)), Frequency("month"))
        encoded = opened.task.encode(Examples("window", [Window(series, count, 9, 3)], "future", None, ["y"]))
        expected, _ = predict(opened.task, opened.network, encoded)
        assert [float(row[3]) for row in found] == pytest.approx(expected.values[0][:, 0], rel=1e-12)


def test_a_wrong_cell_or_time_is_refused_and_changes_nothing(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[:41]
    wrong = ["1993-04,x,1", "soon,1,1", "1993-03,7,1", "1990-01,99999,1", "1993-02,NA,1"]
    ended = ostinato(sales, "stream", "model", typed="\n".join([*lines[:40], *wrong, lines[39], lines[40]]) + "\n")
    clean = ostinato(sales, "stream", "model", typed="\n".join(lines) + "\n")
    first, second, *late = ended.err.splitlines()
    assert first == "ostinato stream, line 41: a cell must be a number, got 'x'. NA stands for a missing number."
    assert second.startswith("ostinato stream, line 42: series: ") and ended.status == 2
    assert late == [
        f"ostinato stream, line {number}: the time must be after 1993-03, the last one of its series, got {time}. Give "
        "the rows of a series in the order of time."
        for number, time in ((43, "1993-03"), (44, "1990-01"), (45, "1993-02"))
    ]
    repeated, after = ended.out.splitlines()[-6:-3], ended.out.splitlines()[-3:]
    assert repeated == clean.out.splitlines()[-6:-3] and after == clean.out.splitlines()[-3:]


def test_rows_before_the_first_value_and_after_a_long_gap_have_no_answer(sales):
    months = [str(np.datetime64("1990-01") + k) for k in range(60)]
    length = json.loads((sales / "model/scaling.json").read_text())["shape"]["length"]
    rows = [f"{months[k]},{50 + k if k in (2, 3, 50) else 'NA'},1" for k in range(51)]
    ended = ostinato(sales, "stream", "model", "--json", typed="\n".join(rows) + "\n")
    answers = {one["line"]: one["forecast"] for one in map(json.loads, ended.out.splitlines())}
    assert [line for line, forecast in answers.items() if not forecast] == [1, 2, 3]
    assert list(answers) == [*range(1, 4 + length), 51]
    assert ended.err.splitlines()[0] == (
        f"ostinato stream, line {4 + length}: the last {length} steps must be with at least one value, got none. The "
        "row is left out, until one with a value comes."
    )
    assert answers[51][0]["cutoff"] == "1994-03-01"


def test_rows_of_several_series_are_kept_apart_by_the_column_of_the_training(tmp_path):
    rng, day = np.random.default_rng(3), np.datetime64("2020-01-01")
    rows = [f"{name},{day + k},{level + rng.normal():.3f}" for k in range(40) for name, level in (("a", 5), ("b", 50))]
    (tmp_path / "shops.csv").write_text("\n".join(["shop,ds,y", *rows]) + "\n")
    words = ("--id", "shop", "--target", "y", "--horizon", 2, "--hidden", 8, "--embedding", 8, "--updates", 5)
    rest = ("--no-lens", "--no-baselines", "--quiet", "--out", "model")
    assert ostinato(tmp_path, "train", "shops.csv", *words, *rest).status < 2
    ended = ostinato(tmp_path, "stream", "model", typed="shop,ds,y\n" + "\n".join(rows) + "\na,1,2,3\n")
    whole = list(csv.DictReader(io.StringIO(ostinato(tmp_path, "predict", "model", "shops.csv").out)))
    found = list(csv.DictReader(io.StringIO(ended.out)))[-4:]
    assert [{k: v for k, v in row.items() if k != "cutoff"} for row in found] == whole
    assert ended.status == 2 and ended.err.startswith(
        "ostinato stream, line 82: a line must be 3 cells, as the first has"
    )
    ended = ostinato(tmp_path, "stream", "model", typed="2021-01-01,c,2\n")
    assert ended.err == (
        "ostinato stream, line 1: the series must be one of the training: a, b, got c. "
        "`ostinato predict MODEL FILE` takes the scale of a new series from all of its values.\n"
    )
    ended = ostinato(tmp_path, "stream", "model", "--ids", typed="")
    assert ended.err == (
        "ostinato stream: --ids must be left out, got a value, as the column shop names the series. Leave --ids out.\n"
    )


def test_a_row_whose_forecast_has_no_date_is_refused(sales):
    typed = "9999-06,50,0\n9999-07,51,0\n9999-08,52,0\n9999-09,53,0\n9999-10,54,0\n"
    ended = ostinato(sales, "stream", "model", typed=typed)
    assert ended.status == 2 and [row.split(",")[1] for row in ended.out.splitlines()[1:]][-1] == "9999-12-01"
    assert ended.err == (
        "ostinato stream, line 5: series: the 3 steps to forecast must be in the years 1 to 9999, got 10000-01-01 for "
        "series. Leave the last rows out, or train with --time none, where rows count as steps.\n"
    )


def test_rows_lie_on_the_grid_of_the_training_and_gaps_are_filled(sales):
    typed = "\n".join(["1990-01,50,1", "1990-03,51,1", "1990-04,52,1", "1990-04-15,9,9", "2190-04,53,1", "2190-05,5,1"])
    ended = ostinato(sales, "stream", "model", typed=typed + "\n")
    rows = [row.split(",")[1:3] for row in ended.out.splitlines()[1:]]
    assert rows[:3] == [[f"1990-{m:02}-01", "1990-03-01"] for m in (4, 5, 6)]
    assert rows[3:6] == [[f"1990-{m:02}-01", "1990-04-01"] for m in (5, 6, 7)]
    assert rows[-1] == ["2190-08-01", "2190-05-01"]
    wrong, note = ended.err.splitlines()
    assert wrong.startswith("ostinato stream, line 4: series: the times of month must be dates of one form")
    length = json.loads((sales / "model/scaling.json").read_text())["shape"]["length"]
    assert note == (
        f"ostinato stream, line 5: Of the {length} steps that the forecast of series reads, most have no value and are "
        "filled."
    )
    typed = "1990-01-01,50,1\n1990-02-01,51,1\n1990-02-15,9,9\n1990-04-01,52,1\n"
    ended = ostinato(sales, "stream", "model", typed=typed)
    assert ended.err == (
        "ostinato stream, line 3: the time must be whole steps after 1990-02-01, of which one is a month, as in the "
        "training, got 1990-02-15. Give rows with that step; after an empty line another sequence begins.\n"
    )
    assert ended.out.splitlines()[-1].split(",")[1:3] == ["1990-07-01", "1990-04-01"]


def test_rows_without_times_are_answered_from_the_first_on(tmp_path):
    (tmp_path / "y.csv").write_text("y\n" + "".join(f"{k % 5 + k / 100}\n" for k in range(60)))
    words = ("--target", "y", "--horizon", 2, "--hidden", 8, "--embedding", 8, "--updates", 5, "--no-lens")
    assert ostinato(tmp_path, "train", "y.csv", *words, "--no-baselines", "--quiet", "--out", "model").status < 2
    ended = ostinato(tmp_path, "stream", "model", typed="1\n2\n")
    assert ended.status == 0, ended.err
    assert [row.split(",")[1:3] for row in ended.out.splitlines()[1:]] == [
        ["1", "0"],
        ["2", "0"],
        ["2", "1"],
        ["3", "1"],
    ]
