"""Every type of column in every role, and random JSON: read, or refused in the package's own words."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.errors import OstinatoError
from ostinato.program.data.check import check
from ostinato.program.data.describe import describe
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions
from program.data.made import options, write

COLUMNS = {
    "string": ["a b", "c", "a b", "c", "d", "", None, "c"],
    "number": [1.5, 2.0, None, float("nan"), float("inf"), 0.5, 1.0, 2.0],
    "whole": [1, 2, 1, 2, 1, 2, 1, None],
    "truth": [True, False, None, True, False, True, False, True],
    "date": [date(2020, 1, 1 + n) for n in range(8)],
    "moment": [datetime(2020, 1, 1 + n) for n in range(8)],
    "clock": [time(n) for n in range(8)],
    "span": [timedelta(n) for n in range(8)],
    "bytes": [b"\xff", b"a"] * 4,
    "record": [{"x": n} for n in range(8)],
    "tokens": [["a", None], []] * 4,
    "steps": [[float(n), None] for n in range(7)] + [[]],
    "channels": [[[1.0, n], [3.0, 4.0]] for n in range(7)] + [[]],
    "ragged": [[[1.0, 2.0], [3.0]], []] * 4,
    "deep": [[[[1.0]]], []] * 4,
    "records": [[{"x": 1}]] * 8,
    "nothing": [None] * 8,
    "empty": [[]] * 8,
    "money": [Decimal("1.50")] * 8,
}
CATEGORIES = pl.Series("category", ["a", "b"] * 4, dtype=pl.Categorical)
NAMES = [*COLUMNS, "category"]


def read_and_describe(chosen):
    """Everything that the command check does."""
    dataset = read(chosen)
    result = split(dataset, DataOptions(valid_share=0.2, test_share=0.2))
    assert describe(dataset, result, check(dataset, result))
    return dataset


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("roles") / "a.parquet"
    pl.DataFrame([*(pl.Series(name, values) for name, values in COLUMNS.items()), CATEGORIES]).write_parquet(found)
    return found


@pytest.mark.parametrize("role", ["text", "series", "features", "group", "target"])
def test_every_type_of_column_in_every_role_is_read_or_refused(path, role):
    outcomes = {"read": 0, "refused": 0}
    for name in NAMES:
        for task in (None, "classify", "regress", "tag"):
            named = {"text": "string", "target": "truth", "task": task}
            if role in ("series", "features"):
                named |= {"text": None, role: (name,)}
            else:
                named[role] = name
            try:
                read_and_describe(options(path, **named))
                outcomes["read"] += 1
            except OstinatoError as error:
                assert " must be " in str(error) and ", got " in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0, outcomes


def test_a_group_of_lists_is_refused(tmp_path):
    rows = [{"t": f"text {n}", "who": ["a"], "label": "ab"[n % 2]} for n in range(6)]
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(OstinatoError, match="--group must be a column of names or numbers, got one of tokens"):
        read(options(path, text="t", group="who", target="label"))


def test_a_series_column_with_ragged_steps_is_refused(tmp_path):
    rows = [{"s": [[1, 2], [3]], "label": "a"}, {"s": [[1, 2]], "label": "b"}] * 2
    with pytest.raises(OstinatoError, match="the series at line 1 of a.jsonl must be of steps of one width"):
        read(options(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows))), target="label"))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "label", "split"]), VALUES, max_size=4), max_size=6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OBJECTS, st.sampled_from([{}, {"text": "a"}, {"features": ("a",)}, {"series": ("a", "b"), "group": "split"}]))
def test_random_json_is_read_or_refused(tmp_path, rows, named):
    path = write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    for task in (None, "classify"):
        try:
            read_and_describe(options(path, task=task, **named))
        except OstinatoError as error:
            assert ", got " in str(error)


CELLS = st.sampled_from(
    [
        "",
        "1",
        "2.5",
        "NA",
        "a",
        "b c",
        "2020-01-01",
        "1 2 3",
        "[[1,2],[3]]",
        "[[1,2],[3,4]]",
        "train",
        "test",
        "1e999",
        "-",
    ]
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES, st.sampled_from([None, "classify", "regress", "tag"]), st.data())
def test_random_tables_are_read_or_refused(tmp_path, rows, task, data):
    names = ["label", "b", "split", "date"][: len(rows[0])]
    column = st.sampled_from([None, *names])
    named = {"target": data.draw(column), "group": data.draw(column), "text": data.draw(column)}
    if data.draw(st.booleans()):
        named |= {"text": None, "series": tuple(n for n in names if n != named["target"])}
    path = write(
        tmp_path,
        "a.csv",
        ",".join(names) + "\n" + "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows),
    )
    try:
        read_and_describe(options(path, task=task, **named))
    except OstinatoError as error:
        assert ", got " in str(error)


def test_rows_that_may_be_steps_of_series_are_pointed_out(tmp_path):
    """A table of one step a row is read row by row unless --group says otherwise; the finding says what to write."""
    lines = ["id,t,x,label", *(f"{k // 5},{k % 5},{k * 0.5},{'ab'[(k // 5) % 2]}" for k in range(40))]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    found = {f.sentence for f in read(DataOptions(paths=(path,), target="label", features=("id", "t", "x"))).findings}
    expected = (
        "Column id has 8 values, each in a block of rows. If a block is one series, write --group id --series t,x."
    )
    assert expected in found
    grouped = read(DataOptions(paths=(path,), target="label", series=("t", "x"), group="id"))
    assert len(grouped.examples) == 8 and expected not in {f.sentence for f in grouped.findings}
