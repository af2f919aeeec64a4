"""Findings of a private folder: the sentences without values of rows."""

import pytest

from ostinato.program.data.found import read_data
from program.data.made import options, write

SPLIT = [*["train"] * 30, *["valid"] * 5, *["test"] * 5]


def sentences(folder, heading, rows, **named):
    """(the notes as they are printed, those of a private folder)"""
    lines = [",".join(map(str, row)) for row in (heading, *rows)]
    data = read_data(options(write(folder, "a.csv", "\n".join(lines) + "\n"), **named))
    return data.notes, data.notes_for(private=True)


@pytest.mark.parametrize(
    "column, values, named, printed, private",
    [
        (
            "who", [f"p{n // 4}" for n in range(40)], {"group": "who"},
            "1 group has rows in train and in another part: p7.", "1 group has rows in train and in another part.",
        ),
        (
            "day", ["2020-01-01"] * 39 + ["secret"], {},
            "Column day has 1 cell that cannot be read as a date, the first 'secret' at line 41.",
            "Column day has 1 cell that cannot be read as a date.",
        ),
        (
            "size", ["1", "2"] * 19 + ["3", "secret"], {},
            "Column size is text because 1 cell of 40 is no number, the first 'secret' at line 41.",
            "Column size is text because 1 cell of 40 is no number.",
        ),
    ],
)  # fmt: skip
def test_groups_and_cells_are_named_in_print_alone(tmp_path, column, values, named, printed, private):
    rows = [(f"row {n}", "ab"[n % 2], SPLIT[n], values[n]) for n in range(40)]
    found = sentences(tmp_path, ("t", "y", "split", column), rows, text="t", target="y", **named)
    assert printed in found[0] and private not in found[0]
    assert private in found[1] and printed not in found[1]


def test_labels_that_train_lacks_are_named_in_print_alone(tmp_path):
    rows = [(f"row {n}", "c" if n == 39 else "ab"[n % 2], SPLIT[n]) for n in range(40)]
    printed, private = sentences(tmp_path, ("t", "y", "split"), rows, text="t", target="y")
    rest = "No model can predict a label without training rows."
    assert f"1 label of test is not in train: c. {rest}" in printed
    assert f"1 label of test is not in train. {rest}" in private


def test_values_that_are_the_same_everywhere_are_named_in_print_alone(tmp_path):
    rows = [(7, n % 9, "ab"[n % 2]) for n in range(40)]
    printed, private = sentences(tmp_path, ("u", "v", "y"), rows, features=("u", "v"), target="y")
    assert "Channel u is constant: 7 in all rows that have it." in printed and "Channel u is constant." in private


def test_conditions_that_are_the_same_everywhere_are_named_in_print_alone(tmp_path):
    rows = [("secret", f"name{n}") for n in range(40)]
    printed, private = sentences(tmp_path, ("u", "y"), rows, given=("u",), target="y")
    assert "u is secret in every row." in printed and "u is the same in every row." in private


def test_series_and_times_are_named_in_print_alone(tmp_path):
    days = [f"2020-01-{n:02}" for n in range(1, 31)]
    rows = [("anna", day, n % 7) for n, day in enumerate(days) if n != 3]
    rows += [("bob", day, 5) for day in days] + [("carl", day, n) for n, day in enumerate(days[:2])]
    printed, private = sentences(tmp_path, ("id", "ds", "y"), rows, id="id", time="ds", target="y", horizon=2)
    pairs = {
        "1 time has no row: 2020-01-04 of anna; the values count as missing.":
            "1 time has no row; the values count as missing.",
        "1 series has no more steps than the 2 to forecast and no window: carl.":
            "1 series has no more steps than the 2 to forecast and no window.",
        "y is constant in the training steps of 1 series: bob.": "y is constant in the training steps of 1 series.",
        "1 series ends before the last time of the file: carl.": "1 series ends before the last time of the file.",
    }  # fmt: skip
    for said, kept in pairs.items():
        assert said in printed and kept in private, said
    assert not [note for note in private if any(name in note for name in ("anna", "bob", "carl", "2020"))]
