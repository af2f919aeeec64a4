"""Splits: by a hash that other rows do not change, with groups together, and given ones left as they are."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.program.data.examples import DataSet, Examples
from ostinato.program.data.row_keys import row_hashes, row_key
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions


def data(inputs, groups=None, parts=None, kind="text"):
    targets = ["ab"[n % 2] for n in range(len(inputs))]
    return DataSet(Examples(kind, inputs, "class", targets, groups=groups, parts=parts), "classify", "")


def texts(count):
    return [f"row number {n}" for n in range(count)]


def part_of(result):
    """Row → the name of its part."""
    named = (("train", result.train), ("valid", result.valid), ("test", result.test))
    return {int(row): name for name, rows in named for row in rows}


def test_every_row_is_in_one_part_and_the_shares_are_kept():
    result = split(data(texts(5000)), DataOptions(valid_share=0.1, test_share=0.2))
    assert sorted(part_of(result)) == list(range(5000))
    assert abs(len(result.valid) - 500) < 70 and abs(len(result.test) - 1000) < 100
    assert (result.given, len(result.leaked), result.notes) == (False, 0, [])


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 120), st.integers(1, 200), st.integers(0, 5))
def test_rows_that_are_added_move_no_old_row(count, more, seed):
    options = DataOptions(valid_share=0.2, test_share=0.2, split_seed=seed)
    before = part_of(split(data(texts(count)), options))
    after = part_of(split(data([f"new {n}" for n in range(more)] + texts(count)), options))
    assert {row: after[row + more] for row in range(count)} == before


def test_the_part_of_a_row_is_fixed_by_its_input_and_the_seed():
    """Known digests: the parts of today's files have to be those of tomorrow's program."""
    key = hashlib.sha256(b"text\0fine").digest()
    assert row_key("text", "fine") == key
    digest = hashlib.sha256(b"7\0" + key).digest()
    share = int.from_bytes(digest[:6], "big") / 2**48
    inputs = ["fine", *texts(300)]
    above = split(data(inputs), DataOptions(test_share=share + 1e-6, valid_share=0, split_seed=7))
    below = split(data(inputs), DataOptions(test_share=share - 1e-6, valid_share=0, split_seed=7))
    assert (part_of(above)[0], part_of(below)[0]) == ("test", "train")


def test_equal_inputs_fall_into_one_part():
    result = part_of(split(data(texts(300) * 2), DataOptions()))
    assert len(result) == 600
    assert all(result[row] == result[row + 300] for row in range(300))


def test_groups_are_kept_together_and_duplicates_across_groups_leave_the_held_out_parts():
    groups = [str(n % 40) for n in range(400)]
    inputs = texts(300) + texts(100)
    result = split(data(inputs, groups), DataOptions(valid_share=0.2, test_share=0.2))
    parts = part_of(result)
    for group in set(groups):
        assert len({parts[n] for n in range(400) if groups[n] == group and n in parts}) <= 1
    trained = {inputs[row] for row in result.train}
    assert not any(inputs[row] in trained for row in (*result.valid, *result.test))
    removed = 400 - len(parts)
    assert removed > 0
    assert sum(int(note.split()[0]) for note in result.notes) == removed
    assert all("removed from" in note and "train has the same input" in note for note in result.notes)


def test_a_given_split_is_never_altered_and_its_leakage_is_listed():
    inputs = ["a", "b", "c", "a", "d", "b"]
    parts = ["train", "train", "train", "valid", "test", "test"]
    result = split(data(inputs, parts=parts), DataOptions())
    assert (result.train.tolist(), result.valid.tolist(), result.test.tolist()) == ([0, 1, 2], [3], [4, 5])
    assert result.given
    assert result.leaked.tolist() == [3, 5]


def test_a_part_that_is_not_given_is_taken_from_train():
    inputs = texts(400)
    parts = ["train"] * 350 + ["test"] * 50
    inputs[360] = inputs[10]
    result = split(data(inputs, parts=parts), DataOptions(valid_share=0.2))
    assert result.test.tolist() == list(range(350, 400))
    assert len(result.valid) + len(result.train) == 350
    assert 40 < len(result.valid) < 100
    assert result.leaked.tolist() == [360]


def test_a_part_of_share_zero_is_empty():
    result = split(data(texts(50)), DataOptions(valid_share=0, test_share=0))
    assert (len(result.train), len(result.valid), len(result.test)) == (50, 0, 0)


@pytest.mark.parametrize("count", [3, 4, 5, 8])
@pytest.mark.parametrize("seed", range(12))
def test_no_part_of_a_small_file_is_empty_and_that_is_said(count, seed):
    options = DataOptions(valid_share=0.3, test_share=0.4, split_seed=seed)
    result = split(data(texts(count)), options)
    assert min(len(result.train), len(result.valid), len(result.test)) >= 1
    assert sorted(part_of(result)) == list(range(count))


def test_a_part_that_was_filled_by_hand_is_said():
    result = split(data(texts(4)), DataOptions(valid_share=1e-9, test_share=1e-9))
    assert len(result.train) == 2
    assert [note.split(" left ")[1].split()[0] for note in result.notes] == ["test", "valid"]
    result = split(data(texts(3)), DataOptions(valid_share=0.5, test_share=0.5 - 1e-12))
    assert len(result.train) == 1
    assert "left train empty" in result.notes[-1]


@pytest.mark.parametrize(
    "named, message",
    [
        ({"valid_share": 1.0}, "valid_share must be at least 0 and below 1, got 1.0"),
        ({"test_share": -0.1}, "test_share must be at least 0 and below 1, got -0.1"),
        ({"test_share": float("nan")}, "test_share must be at least 0"),
        (
            {"valid_share": 0.5, "test_share": 0.5},
            "valid_share and test_share must be below 1 together, got 1 together",
        ),
    ],
)
def test_other_shares_are_refused(named, message):
    with pytest.raises(InputError, match=message):
        split(data(texts(50)), DataOptions(**named))


def test_fewer_different_rows_than_parts_are_refused():
    with pytest.raises(InputError, match="at least 3 different rows or groups, one for each part, got 2"):
        split(data(["a", "b"] * 20), DataOptions())


def test_keys_are_equal_exactly_where_inputs_are():
    nan = np.array([[np.nan, 0.0]])
    other = np.array([[-np.nan, -0.0]])
    assert row_key("series", nan) == row_key("series", other)
    assert row_key("series", np.zeros((2, 3))) != row_key("series", np.zeros((3, 2)))
    assert row_key("features", np.zeros(3)) != row_key("series", np.zeros(3))
    assert row_key("tokens", ["ab", "c"]) != row_key("tokens", ["a", "bc"])
    assert row_key("tokens", ["a\0", "b"]) != row_key("tokens", ["a", "\0b"])
    assert row_hashes(Examples("text", ["fine"], "class", None)) == [hashlib.sha256(b"text\0fine").hexdigest()]
