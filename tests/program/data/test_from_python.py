"""Python values as examples: every accepted form, and the refusal of the others with their row."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ostinato.errors import InputError
from ostinato.program.data.from_python import examples_from

TEXTS = ["fine film", "bad film"]


@pytest.mark.parametrize(
    "X",
    [TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS, index=[7, 8]), pl.Series(TEXTS)],
)
@pytest.mark.parametrize(
    "y", [["a", "b"], np.array(["a", "b"]), pd.Series(["a", "b"], index=[7, 8]), pl.Series(["a", "b"])]
)
def test_texts_in_every_container_are_the_same_examples(X, y):
    found = examples_from(X, y)
    assert (found.kind, found.inputs, found.target_kind, found.targets) == ("text", TEXTS, "class", ["a", "b"])


def test_a_missing_text_is_empty():
    assert examples_from(pd.Series(["a", None])).inputs == ["a", ""]
    assert examples_from(pd.Series(["a", float("nan")], dtype=object)).inputs == ["a", ""]


def test_lists_of_strings_are_tokens_and_their_tags():
    found = examples_from([["a", "dog"], []], [["D", "N"], []])
    assert (found.kind, found.target_kind) == ("tokens", "tags")
    assert found.targets == [["D", "N"], []]


def test_arrays_of_unequal_lengths_are_series():
    found = examples_from([np.ones((3, 2)), np.zeros((0, 2)), [[1, 2]]], [0.5, 1, 2])
    assert (found.kind, found.target_kind, list(found.channels)) == ("series", "number", ["channel_1", "channel_2"])
    assert [x.shape for x in found.inputs] == [(3, 2), (0, 2), (1, 2)]
    assert found.inputs[2].dtype == np.float64
    assert examples_from([np.ones(3), np.ones(5)]).inputs[1].shape == (5, 1)
    assert examples_from(np.ones((4, 3, 2)), [1, 2, 1, 2]).target_kind == "class"
    assert examples_from(np.ones((4, 3)), kind="series").inputs[0].shape == (3, 1)


@pytest.mark.parametrize(
    "X",
    [
        np.ones((4, 2)),
        pd.DataFrame({"x": np.ones(4), "z": np.ones(4)}),
        pl.DataFrame({"x": np.ones(4), "z": np.ones(4)}),
    ],
)
def test_a_table_of_numbers_is_features(X):
    found = examples_from(X, np.array([0, 1, 0, 1]))
    assert (found.kind, found.targets) == ("features", ["0", "1", "0", "1"])
    assert found.inputs[0].shape == (2,)
    assert list(found.channels) == (["channel_1", "channel_2"] if isinstance(X, np.ndarray) else ["x", "z"])


def test_sets_of_labels_truth_values_and_whole_floats():
    assert examples_from(TEXTS, [("a", "b", "a"), ()]).targets == [("a", "b"), ()]
    assert examples_from(TEXTS, [True, False]).targets == ["True", "False"]
    assert examples_from(TEXTS, [1.0, 2.0]).targets == ["1", "2"]
    assert examples_from(TEXTS, [1, 2], target_kind="number").targets == [1.0, 2.0]


@pytest.mark.parametrize(
    "X, y, named, message",
    [
        ("one text", None, {}, "X and y must be a list or an array of rows, got 'one text'"),
        (5, None, {}, "X and y must be a list or an array of rows, got 5"),
        ([], None, {}, "X must be of at least one row, got none"),
        (TEXTS, ["a"], {}, "y must be of 2 rows, as X, got 1 rows"),
        (["a", 5], None, {}, r"X\[1\] must be a string, as the rows before, got 5"),
        ([["a"], "b"], None, {}, r"X\[1\] must be a list of strings, got 'b'"),
        ([np.ones(2), "b"], None, {}, r"X\[1\] must be numbers \[T, C\], got 'b'"),
        ([np.ones((2, 2)), np.ones((2, 2, 2))], None, {}, r"X\[1\] must be numbers \[T, C\], got an array of shape"),
        ([np.ones((2, 2)), np.ones((2, 3))], None, {}, r"X\[1\] must be of 2 channels, as the rows before, got 3"),
        ([np.full((2, 2), np.inf)], None, {}, r"X\[0\] must be finite"),
        ([["a", "b"]], [["X"]], {}, r"y\[0\] must be 2 tags, one for each token, got 1"),
        (TEXTS, ["a", None], {}, r"y\[1\] must be a class, got None"),
        (TEXTS, [0.5, None], {}, r"y\[1\] must be a finite number, got None"),
        (TEXTS, [0.5, "x"], {}, r"y\[1\] must be a finite number, got 'x'"),
        (TEXTS, ["a", "b"], {"target_kind": "labels"}, r"y\[0\] must be a list of strings, got 'a'"),
    ],
)
def test_other_values_are_refused_with_their_row(X, y, named, message):
    with pytest.raises(InputError, match=message):
        examples_from(X, y, **named)


def test_tables_without_polars_say_what_to_install():
    code = (
        "import sys; sys.modules['polars'] = None; from ostinato.program.data.from_python import examples_from; "
        "print(examples_from(['a']).kind)\n"
        "try:\n    import ostinato.program.data.read\nexcept ImportError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == "text"
    assert out[1].startswith(
        "reading a table: the package polars must be installed, got none. Install it: pip install polars"
    )


def test_treebanks_without_conllu_say_what_to_install(tmp_path, monkeypatch):
    from ostinato.errors import MissingPackageError
    from ostinato.program.data.read import read
    from ostinato.program.options import DataOptions

    monkeypatch.setitem(sys.modules, "conllu", None)
    (tmp_path / "a.conllu").write_text("1\tYes\n")
    with pytest.raises(MissingPackageError, match="reading CoNLL-U: the package conllu must be installed"):
        read(DataOptions(paths=[tmp_path / "a.conllu"]))
