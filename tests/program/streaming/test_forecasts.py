"""`ostinato stream` of forecasts: every row is answered as `ostinato predict` answers the rows up to it."""

import csv
import io
import json

import numpy as np
import pytest

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


def test_a_row_without_a_value_or_with_a_wrong_cell_leaves_the_forecast_as_predict_has_it(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[:40]
    lines[-1] = lines[-1].partition(",")[0] + ",NA,0.5"
    typed = "\n".join([*lines[:-1], lines[-2], "1999-01,x,1", "soon,1,1", lines[-1]]) + "\n"
    ended = ostinato(sales, "stream", "model", typed=typed)
    (sales / "part.csv").write_text("\n".join(lines) + "\n")
    whole = [row.split(",") for row in ostinato(sales, "predict", "model", "part.csv").out.splitlines()[1:]]
    assert [[c[1], *c[3:]] for c in (r.split(",") for r in ended.out.splitlines()[-3:])] == [c[1:] for c in whole]
    first, second = ended.err.splitlines()
    assert first == "ostinato stream, line 41: a cell must be a number, got 'x'. NA stands for a missing number."
    assert second.startswith("ostinato stream, line 42: series: ") and ended.status == 2


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
