"""Names of the user's in pictures: no mathematics, no character that the font lacks, whatever the task."""

import warnings

import pytest

from ostinato.program.page.pictures import short
from program import made_files as made
from program.commands import ostinato

FLAGS = ("--updates", 1, "--hidden", 4, "--embedding", 4, "--no-lens", "--quiet", "--out", "model")
NAMES = ("in $ and $\\frac{$", "中文 \x1b[31m")


def test_a_name_is_cut_and_what_cannot_be_drawn_is_a_square():
    assert short("price $ and $") == r"price \$ and \$"
    assert short("中文é") == "□□é"
    assert short("a\x1bb") == r"a\x1bb"
    assert short("x" * 30) == "x" * 17 + "…" and short("x" * 30, 30) == "x" * 30


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_of_several_series_is_drawn(tmp_path, name):
    rows = [(series, t, t % 7 + t % 3) for series in (name, "b") for t in range(60)]
    made.write_table(tmp_path / "a.csv", ("id", "t", name), rows)
    drawn(tmp_path, "--id", "id", "--time", "t", "--target", name, "--horizon", 2)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_drawn(tmp_path, name):
    made.write_table(tmp_path / "a.csv", ("x", name), [(n, 2 * n + 1) for n in range(60)])
    drawn(tmp_path, "--features", "x", "--target", name, "--task", "regress")


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_series_are_drawn(tmp_path, name):
    rows = [(f"[{n}, {n % 3}, {n % 5}]", (name, "b")[n % 2]) for n in range(80)]
    made.write_table(tmp_path / "a.csv", (name, "y"), rows)
    drawn(tmp_path, "--series", name, "--target", "y")


def drawn(place, *words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ended = ostinato(place, "train", "a.csv", *words, *FLAGS)
    assert ended.status in (0, 1), ended.err
    assert "<svg" in (place / "model/report.html").read_text(encoding="utf-8")
