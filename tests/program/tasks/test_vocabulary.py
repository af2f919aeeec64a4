"""Texts as numbers: units, vocabularies, word vectors."""

from dataclasses import replace

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.inputs import TextInputs
from ostinato.program.tasks.networks import embedding
from ostinato.program.tasks.vocabulary import Vocabulary, read_vectors, units_of
from program.tasks.made import texts


def test_words_keep_apostrophes_and_signs_and_tags_are_single_units():
    assert units_of("It's 10 o’clock, no?<br />Ünder_x", "word", False) == [
        "It's", "10", "o’clock", ",", "no", "?", "<br />", "Ünder_x",
    ]  # fmt: skip
    assert units_of("a <b and c", "word", False) == ["a", "<", "b", "and", "c"]


def test_letters_in_two_code_points_are_one_character():
    assert units_of("e\u0301A", "char", True) == ["\u00e9", "a"]


def test_entries_are_the_most_frequent_words_and_zero_stands_for_all_others():
    vocabulary = Vocabulary.of([["b", "a", "a"], ["c", "a", "b"], ["d"]], 3)
    assert vocabulary.entries == ["a", "b", "c"] and vocabulary.seen_once == 3
    assert vocabulary.numbers(["a", "c", "z", "b"]).tolist() == [1, 3, 0, 2]
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary
    assert Vocabulary.of([["b", "a", "a"], ["b"]], 9, least=2).entries == ["b", "a"]


def test_an_unknown_unit_is_refused():
    with pytest.raises(InputError, match="--unit: unit must be word or char, got 'bpe'. Write --unit word"):
        TextInputs.of(texts(4), NetworkOptions(unit="bpe"))


def test_short_texts_such_as_names_are_read_by_characters_where_no_unit_is_given():
    sentences, names = (
        texts(6),
        replace(texts(6), inputs=["Ada", "Grace Hopper", "Emmy", "Alan", "an odd long name", "Kurt"]),
    )
    assert TextInputs.of(sentences, NetworkOptions()).unit == "word"
    assert TextInputs.of(names, NetworkOptions()).unit == "char"
    assert TextInputs.of(names, NetworkOptions(unit="word")).unit == "word"


def test_vectors_start_the_embedding_with_and_without_a_header(tmp_path):
    vocabulary = Vocabulary.of([["The", "film", "film", "odd"]], 9)
    for header in ("", "3 2\n"):
        path = tmp_path / "v.txt"
        path.write_text(header + "the 1 2\nfilm 3 4 \nnew york 5 6\n", encoding="utf-8")
        found = read_vectors(path, vocabulary)
        assert found.places.tolist() == sorted([vocabulary.places["The"], vocabulary.places["film"]])
        assert found.values[found.places.tolist().index(vocabulary.places["film"])].tolist() == [3, 4]
    made = embedding(TextInputs("text", "word", False, vocabulary, 2, found))
    assert made.weight[vocabulary.places["The"]].tolist() == [1, 2]
    assert made.weight.shape == (4, 2)


def test_the_line_of_the_same_letters_comes_before_that_of_the_lower_case(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("US 1 1\nus 2 2\n", encoding="utf-8")
    found = read_vectors(path, Vocabulary.of([["us", "US"]], 9))
    assert found.values.tolist() == [[2, 2], [1, 1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good 1 2\nfilm 3\n", "line 2 must be 2 numbers, got 1. Every line is a word"),
        (b"good 1 x\n", "line 1 must be numbers, got"),
        (b"good 1 nan\n", "line 1 must be finite numbers, got NaN or infinity"),
        (b"other 1 2\n", "must be vectors of words in the training rows, got none"),
        (b"\xff\xfe\n", "the file must be readable UTF-8 text, got"),
        (None, "the file must be readable UTF-8 text, got .*No such file"),
    ],
)
def test_a_file_of_vectors_that_cannot_be_read_is_refused(tmp_path, content, message):
    path = tmp_path / "v.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_vectors(path, Vocabulary.of([["good", "film"]], 9))


def test_words_seen_once_share_the_unknown_entry_and_numbers_are_of_training_rows_alone():
    from ostinato.program.data.examples import Examples

    train = Examples("tokens", [["a", "b", "a"], ["b", "once"]], "class", ["x", "y"])
    inputs = TextInputs.of(train, NetworkOptions(embedding=4))
    other = inputs.encode(Examples("tokens", [["once", "a", "never"]], "class", None))
    assert other.rows[0].tolist() == [0, 1, 0] and np.array_equal(other.lengths, [3])
