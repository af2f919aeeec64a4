"""Texts that are generated: the columns they are given, their kinds, and what makes two rows equal."""

import numpy as np
import pytest

from ostinato.program.data.check import check
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions
from program.data.made import findings, read_made, refusal

NAMES = [f"name{k}" for k in range(20)]
ROWS = "language,sort,name\n" + "".join(f"{'de' if k % 3 else 'fr'},{k % 2},{n}\n" for k, n in enumerate(NAMES))


def named(**more):
    return {"target": "name", "given": ("language",), **more}


def test_given_columns_are_tuples_of_names_and_whole_numbers(tmp_path):
    found = read_made(tmp_path, "a.csv", ROWS, **named(given=("language", "sort")))
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind) == ("generate", "given", "text")
    assert examples.inputs[:2] == [("fr", "0"), ("de", "1")] and examples.targets[:2] == ["name0", "name1"]
    assert list(examples.channels) == ["language", "sort"] and found.options.given == ("language", "sort")
    said = "The task is generate: name is a text to generate, and language, sort are read as given values."
    assert found.because == said


def test_numbers_of_many_values_are_features(tmp_path):
    content = "size,name\n" + "".join(f"{k + 0.5},{n}\n" for k, n in enumerate(NAMES))
    found = read_made(tmp_path, "a.csv", content, **named(given=("size",)))
    assert (found.task, found.examples.kind, found.options.features) == ("generate", "features", ("size",))
    assert found.examples.inputs[3].tolist() == [3.5]
    inferred = read_made(tmp_path, "b.csv", content, target="name")
    assert (inferred.task, inferred.examples.kind) == ("generate", "features")


def test_names_beside_numbers_of_many_values_are_refused(tmp_path):
    content = "size,language,name\n" + "".join(f"{k + 0.5},de,{n}\n" for k, n in enumerate(NAMES))
    message = refusal(tmp_path, "a.csv", content, **named(given=("size", "language")))
    assert message == (
        "a.csv: the columns of --given must be all numbers, or all names and whole numbers of few values, got size "
        "with 20 different numbers beside language. Leave one of them out."
    )


def test_without_given_columns_the_target_alone_is_generated(tmp_path):
    found = read_made(tmp_path, "a.csv", ROWS, target="name", task="generate")
    assert found.examples.inputs[0] == () and found.because == "The task is generate: name is a text to generate."
    assert "2 columns left out: language, sort." in found.notes


def test_an_empty_cell_is_a_value_of_its_own(tmp_path):
    found = read_made(tmp_path, "a.csv", ROWS.replace("de,1,name1\n", ",1,name1\n"), **named())
    assert found.examples.inputs[1] == ("",)
    assert "1 empty cell of language read as a value of its own." in found.notes


def test_arrays_of_features_and_captions_are_generated(tmp_path):
    path = tmp_path / "scenes.npz"
    features = np.arange(40.0).reshape(20, 2)
    np.savez(path, features=features, caption=np.array(NAMES))
    for options in ({"given": ("features",)}, {}):
        found = read(DataOptions(paths=(path,), target="caption", **options))
        assert (found.task, found.examples.kind, found.examples.target_kind) == ("generate", "features", "text")
        assert read(found.options).examples.targets == NAMES


def test_given_columns_of_arrays_name_the_features(tmp_path):
    np.savez(tmp_path / "a.npz", series=np.zeros((20, 3)), y=np.array(NAMES))
    with pytest.raises(ValueError) as refused:
        read(DataOptions(paths=(tmp_path / "a.npz",), target="y", given=("series",)))
    assert str(refused.value) == (
        "a.npz: --given must be the array features, got series of a file of series. Give a table, or an .npz file with "
        "features."
    )


@pytest.mark.parametrize(
    "more, message",
    [
        (
            {"given": ("langage",)},
            "the column 'langage' must be in the file, got a file with the columns language, sort, name. Did you mean",
        ),
        ({"given": ("name",)}, "the column name must be in one role, got two. Name each column once among --target"),
        ({"text": "sort"}, "the inputs must be chosen by one option, got --text and --given. Leave out the others."),
        ({"task": "classify"}, "the data must be for classify"),
    ],
)
def test_columns_that_are_absent_or_in_two_roles_are_refused(tmp_path, more, message):
    assert message in refusal(tmp_path, "a.csv", ROWS, **{**named(), **more})


def test_lists_are_no_values_to_be_given(tmp_path):
    content = "".join(f'{{"language": ["a", "b"], "name": "{name}"}}\n' for name in NAMES)
    message = refusal(tmp_path, "a.jsonl", content, **named())
    assert "the column language must be of names or numbers, got tokens" in message


def test_equal_texts_are_in_one_part_whatever_they_are_given(tmp_path):
    rows = [(language, f"name{k}") for k in range(200) for language in ("de", "fr", "de")]
    content = "language,name\n" + "".join(f"{a},{b}\n" for a, b in rows)
    dataset = read_made(tmp_path, "a.csv", content, **named())
    parts = split(dataset, dataset.options)
    inside = [{dataset.examples.targets[r] for r in rows} for rows in (parts.train, parts.valid, parts.test)]
    assert sum(map(len, inside)) == 200 and all(len(p) % 3 == 0 for p in (parts.train, parts.valid, parts.test))
    assert not inside[0] & inside[2] and min(map(len, inside)) > 5
    sentences = [finding.sentence for finding in check(dataset, parts)]
    assert sentences == ["200 rows repeat the input and the target of an earlier row."]


def test_targets_of_a_given_part_that_train_has_are_counted(tmp_path):
    content = "language,name,split\n" + "".join(f"de,{n},train\n" for n in NAMES) + "fr,name3,test\nfr,new,test\n"
    said = findings(read_made(tmp_path, "a.csv", content, **named()))
    assert any("1 row of test (50.0 %) has a target that train has, too." in sentence for sentence in said)


def test_a_given_column_of_one_value_is_said(tmp_path):
    content = "language,name\n" + "".join(f"de,{n}\n" for n in NAMES)
    said = findings(read_made(tmp_path, "a.csv", content, **named()))
    assert any("language is de in every row." in sentence for sentence in said)
