"""The benchmark of time budgets: what it calls kept, and the texts that it makes."""

import csv

import minutes
import pytest


@pytest.mark.parametrize(
    ("asked", "seconds", "kept"),
    [(0.5, 39.9, True), (0.5, 40.1, False), (2, 131.9, True), (2, 132.1, False), (1, 30, True)],
)
def test_a_run_is_kept_within_ten_percent_or_ten_seconds(asked, seconds, kept):
    assert minutes.Timed(asked, 0, seconds, 0).kept is kept


def test_the_class_of_a_made_text_is_the_word_that_comes_last(tmp_path, monkeypatch):
    monkeypatch.setattr(minutes, "ROWS", 20)
    with minutes.made_file(tmp_path).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and {row["label"] for row in rows} == {"good", "bad"}
    for row in rows:
        words = row["text"].split()
        assert [w for w in words if w in ("good", "bad")][-1] == row["label"]


def test_the_table_says_how_late_a_run_was():
    assert minutes.report([minutes.Timed(0.5, 2, 31.26, 0)]).splitlines()[-1] == "| 30 | 2 | 31.3 | +1.3 | yes |"
