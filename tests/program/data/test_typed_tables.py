"""JSON lines, JSON lists and Parquet: types, lists, missing values, and what is refused."""

import json
import math

import polars as pl
import pytest

from ostinato.program.data import bounded
from ostinato.program.data.examples import Origin
from ostinato.program.data.read import read
from program.data.made import REVIEWS, findings, options, read_made, refusal, write

ROWS = [{"review": text, "label": label} for text, label in REVIEWS]


def test_json_lines_and_a_json_list_give_the_same_rows_with_their_lines(tmp_path):
    lines = "\r\n".join(json.dumps(row) for row in ROWS)
    found = read_made(tmp_path, "a.jsonl", lines, target="label")
    listed = read_made(tmp_path, "a.json", json.dumps(ROWS, indent=1), target="label")
    assert found.examples.inputs == listed.examples.inputs == [text for text, _ in REVIEWS]
    assert found.examples.origins[3] == Origin("a.jsonl", 4)
    assert [origin.line for origin in listed.examples.origins[:2]] == [2, 6]
    assert read_made(tmp_path, "b.json", lines, target="label").examples.inputs == found.examples.inputs


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"a": 1}\n{"a": \n', "line 2 must be one JSON object"),
        ('{"a": 1}\n[1]\n', "line 2 must be a JSON object, got [1]"),
        ('{"a": 1}\n{"a": "x"}\n', "of one kind in every row (whole number at line 1), got string at line 2"),
        ('{"a": {"b": 1}}\n', "the value of 'a' at line 1 must be a value or a list, got object"),
        ('{"a": [1, "x"]}\n', "got list of different kinds"),
        ("{}\n{}\n", "the objects must be of at least one key"),
        ('{"a": "\\ud800"}\n', "the values of 'a' must be each a string"),
        ("[" * 100_000 + "\n", "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}\n", "line 1 must be one JSON object"),
    ],
)
def test_what_is_no_row_is_refused_with_its_line(tmp_path, content, message):
    assert message in refusal(tmp_path, "a.jsonl", content)


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"a": 1},\n {"a": ', "line 2 must be a JSON object"),
        ('[{"a": 1}\n', "line 2 must be a comma or the end of the list, got the end of the file"),
        ('[{"a": 1} {"a": 2}]', "must be a comma or the end of the list"),
        ('[{"a": 1},]', "line 1 must be a JSON object, got ']'"),
        ('[{"a": 1}]\nx', "text after the list"),
        ('{"a": [1, 2],\n "b": [3, 4]}', "got one object"),
        ("[]", "the table must be one with rows"),
        ('{"a"', "line 1 must be one JSON object"),
    ],
)
def test_what_is_no_json_list_is_refused_with_its_line(tmp_path, content, message):
    assert message in refusal(tmp_path, "a.json", content)


def test_a_key_that_a_row_lacks_is_a_missing_value(tmp_path):
    rows = [
        {"x": 1, "y": 0.5, "label": "a"},
        {"x": 2, "label": "b"},
        {"y": 3, "x": None, "label": "a"},
        {"label": "b", "x": 5, "y": 1},
    ]
    found = read_made(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)), target="label")
    values = [row.tolist() for row in found.examples.inputs]
    assert values[0] == [1.0, 0.5] and math.isnan(values[1][1]) and math.isnan(values[2][0])
    assert findings(found)["Channel x has 1 missing number in 4 steps."] == ("note", 1)


def test_tokens_and_tags_as_lists_are_for_tagging(tmp_path):
    rows = [{"tokens": ["a", "dog"], "tags": ["DET", "NOUN"]}, {"tokens": ["runs"], "tags": ["VERB"]}]
    found = read_made(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert (found.task, found.examples.kind, found.examples.target_kind) == ("tag", "tokens", "tags")
    assert found.examples.targets == [["DET", "NOUN"], ["VERB"]]
    assert "the target is tags, by its name" in found.because
    rows[1]["tags"] = []
    message = refusal(tmp_path, "b.jsonl", "\n".join(map(json.dumps, rows)))
    assert "the column tags must be of as many words as tokens, 1 in row 2, got 0" in message


def test_series_as_lists_have_their_own_lengths(tmp_path):
    rows = [
        {"s": [[1, 2], [3, None]], "label": "a"},
        {"s": [], "label": "b"},
        {"s": [[5, 6]], "label": "a"},
        {"s": [[7, 8]], "label": "b"},
    ]
    found = read_made(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)), target="label")
    assert [x.shape for x in found.examples.inputs] == [(2, 2), (0, 2), (1, 2), (1, 2)]
    assert math.isnan(found.examples.inputs[0][1, 1])
    assert list(found.examples.channels) == ["s_1", "s_2"]
    rows[2]["s"] = [[5, 6, 7]]
    message = refusal(tmp_path, "b.jsonl", "\n".join(map(json.dumps, rows)), target="label")
    assert "the series at line 3 of b.jsonl must be of 2 channels, got 3 channels" in message


def test_series_in_cells_of_text_are_read_and_channels_need_equal_lengths(tmp_path):
    content = "x,y,label\n1 2 3,4 5 6,a\n1 2,3 NaN,b\n4 5,6 7,a\n4 5,6 7,b\n"
    found = read_made(tmp_path, "a.csv", content, target="label")
    assert found.examples.kind == "series"
    assert found.examples.inputs[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert math.isnan(found.examples.inputs[1][1, 1])
    message = refusal(tmp_path, "b.csv", content.replace("4 5,6 7,a", "4 5,6,a"), target="label", series=("x", "y"))
    assert "whole series" in message
    message = refusal(tmp_path, "c.csv", content.replace("4 5,6 7,a", "4 5,6 7 8,a"), target="label")
    assert "the series at line 4 of c.csv must be of one length in all columns, got 2 and 3 steps" in message


def test_numbers_that_are_infinite_are_missing_and_counted(tmp_path):
    rows = [{"x": float("inf"), "y": 1, "label": "a"}, {"x": 1.0, "y": 10**400, "label": "b"}] * 2
    found = read_made(
        tmp_path,
        "a.jsonl",
        "\n".join(map(json.dumps, rows[:1] + rows[2:3])) + '\n{"x": 1, "y": 1e999, "label": "b"}' * 2,
        target="label",
    )
    assert "4 infinite numbers read as missing." in found.notes


def test_numbers_stored_as_text_are_read_and_said(tmp_path):
    rows = [{"x": str(n), "label": "ab"[n % 2]} for n in range(6)]
    found = read_made(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)), target="label")
    assert found.examples.inputs[3].tolist() == [3.0]
    assert findings(found)["Column x stores its numbers as text; they are read as numbers."] == ("note", 6)


def test_parquet_gives_typed_columns(tmp_path):
    frame = pl.DataFrame(
        {
            "t": [f"text {n}" for n in range(8)],
            "label": pl.Series(["a", "b"] * 4, dtype=pl.Categorical),
            "when": pl.Series([None] * 8, dtype=pl.Datetime),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    found = read(options(tmp_path / "a.parquet"))
    assert found.examples.inputs == frame["t"].to_list()
    assert found.examples.targets == ["a", "b"] * 4
    assert found.examples.origins[0] == Origin("a.parquet", 0) and found.examples.origins[1].place == "row 2"
    assert found.sources[0].lines == 0


def test_parquet_series_and_tokens(tmp_path):
    pl.DataFrame({"s": [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0], [1.0]], "label": [True, False, True, False]}).write_parquet(
        tmp_path / "a.parquet"
    )
    found = read(options(tmp_path / "a.parquet"))
    assert [x.shape for x in found.examples.inputs] == [(2, 1), (1, 1), (3, 1), (1, 1)]
    assert found.examples.targets == ["true", "false", "true", "false"]


def test_a_damaged_parquet_file_and_one_of_too_many_rows_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"x": [0] * 10_000}).write_parquet(path)
    whole = path.read_bytes()
    assert "a whole Parquet file" in refusal(tmp_path, "b.parquet", whole[:-30])
    assert "a whole Parquet file" in refusal(tmp_path, "c.parquet", b"PAR1")
    monkeypatch.setattr(bounded, "LIMIT", 1000)
    assert "10,000 rows of 1 columns" in refusal(tmp_path, "d.parquet", whole)


def test_a_column_of_objects_is_no_input(tmp_path):
    pl.DataFrame({"x": [{"a": 1}] * 4, "label": ["a", "b"] * 2}).write_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    assert "the column x must be of text, got other" in refusal(tmp_path, "b.parquet", content, text="x")
    assert "the column x must be of numbers, got other" in refusal(tmp_path, "b.parquet", content, features=("x",))
    assert "of whole series" in refusal(tmp_path, "b.parquet", content, series=("x",))


def test_columns_of_different_types_in_two_files_are_refused(tmp_path):
    a = write(tmp_path, "a.jsonl", '{"x": "t", "label": "a"}\n' * 2)
    b = write(tmp_path, "b.jsonl", '{"x": [1], "label": "a"}\n' * 2)
    with pytest.raises(ValueError, match="a column must be of one type in all files"):
        read(options(a, b, target="label"))
