"""Units of texts: every text is its units joined, parts of it give the same units, tokenizers come back from JSON."""

import json

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.texts.units import TextUnits

TEXT = "Hello  world,\n\n it's a\ttest — naïve 日本語 😀 don’t  \n  x [UNK] <|end|>\r y " * 3
UNITS = ("char", "word", "bpe:400")


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_of_known_units_comes_back_exactly(unit):
    units = TextUnits.of([TEXT], NetworkOptions(unit=unit))
    entries = units.encode(TEXT)
    assert entries.dtype == np.int32 and entries.min() >= 1 and entries.max() < len(units)
    assert units.decode(entries) == TEXT and "".join(units.pieces(entries)) == TEXT
    assert len(units.pieces(entries)) == len(entries)


@pytest.mark.parametrize("unit", UNITS)
def test_a_model_folder_gives_the_same_units_back(unit):
    units = TextUnits.of([TEXT], NetworkOptions(unit=unit, lowercase=True))
    again = TextUnits.from_json(json.loads(json.dumps(units.to_json())))
    assert (again.unit, again.lowercase, len(again), again.file) == (units.unit, True, len(units), units.file)
    assert again.encode(TEXT).tolist() == units.encode(TEXT).tolist()
    assert again.decode(again.encode(TEXT)) == TEXT.lower()


@pytest.mark.parametrize("unit", UNITS)
def test_parts_that_end_with_a_line_or_before_a_single_space_give_the_units_of_the_whole(unit):
    options = NetworkOptions(unit=unit)
    whole = TextUnits.of([TEXT], options)
    lines = TEXT.splitlines(keepends=True)
    assert TextUnits.of(lines, options).to_json() == whole.to_json()
    cut = TEXT.index(" it's")
    joined = [*whole.encode(TEXT[: cut + 5]), *whole.encode(TEXT[cut + 5 :])]
    assert joined == whole.encode(TEXT).tolist()


def test_characters_are_numbered_by_how_often_they_occur():
    units = TextUnits.of(["aab", "b\na"], NetworkOptions())
    assert units.unit == "char" and units.entries == ("a", "b", "\n")
    assert units.encode("ab\nx").tolist() == [1, 2, 3, 0] and units.decode([1, 0]) == "a\ufffd"


def test_words_hold_the_space_before_them_and_line_breaks_are_words():
    units = TextUnits.of(["the cat, the\n dog  sat"], NetworkOptions(unit="word"))
    assert units.pieces(units.encode("the cat, the\n dog  sat")) == [
        "the",
        " cat",
        ",",
        " the",
        "\n",
        " dog",
        " ",
        " sat",
    ]
    assert units.encode("the bird").tolist()[1] == 0


def test_the_vocabulary_holds_at_most_as_many_units_as_are_asked_for():
    assert TextUnits.of(["aaabbc"], NetworkOptions(vocabulary=2)).entries == ("a", "b")


def test_sub_word_units_write_what_no_training_text_has():
    units = TextUnits.of([TEXT], NetworkOptions(unit="bpe:300"))
    assert units.decode(units.encode("ψ Zq\n")) == "ψ Zq\n" and units.unit == f"bpe:{len(units) - 1}"
    half = units.encode("ψ")[:1]
    assert units.pieces(half) == ["\ufffd"] and units.pieces([]) == []


def test_composed_and_decomposed_letters_are_the_same_unit():
    for unit in UNITS:
        units = TextUnits.of(["na\u0308h é"], NetworkOptions(unit=unit))
        assert units.decode(units.encode("nähe\u0301")).startswith("n" if unit != "word" else "\ufffd")
        assert units.encode("na\u0308h").tolist() == units.encode("näh").tolist()


def test_a_tokenizer_that_its_library_cannot_read_is_refused():
    units = TextUnits.from_json
    with pytest.raises(
        InputError, match="load: tokenizer.json must be of the tokenizers library, got .* Copy the folder"
    ):
        units({"model": {"type": "none"}})
