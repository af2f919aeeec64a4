"""Pairs of texts as rows of translation: tables, and the rules that recognise them."""

import pytest

from ostinato.errors import InputError
from ostinato.program.data import infer
from ostinato.program.data.examples import Examples
from ostinato.program.data.from_python import examples_from
from program.data.made import findings, read_made, refusal

PAIRS = "".join(f"Row {n}.\tLigne {n} !\n" for n in range(30))


@pytest.fixture(autouse=True)
def _trained(monkeypatch):
    if "translate" not in infer.TRAINED:
        monkeypatch.setattr(infer, "TRAINED", (*infer.TRAINED, "translate"))


def table(**columns):
    """A CSV text of equally long columns."""
    rows = zip(*columns.values())
    return ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def test_many_different_texts_beside_texts_are_translations(tmp_path):
    found = read_made(tmp_path, "a.txt", PAIRS, columns=("en", "fr"), text="en", target="fr")
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind) == ("translate", "text", "translation")
    assert (examples.inputs[1], examples.targets[1]) == ("Row 1.", "Ligne 1 !")
    assert found.because == "The task is translate: fr has 30 different texts in 30 rows, and en is read as text."


def test_dates_in_another_form_are_texts(tmp_path):
    rows = table(said=[f"day {n + 1} of May" for n in range(20)], iso=[f"2020-05-{n + 1:02}" for n in range(20)])
    found = read_made(tmp_path, "a.csv", rows, target="iso")
    assert (found.task, found.examples.targets[0]) == ("translate", "2020-05-01")


def test_any_column_is_a_text_where_translation_is_asked_for(tmp_path):
    rows = table(letters=["b a", "c a"] * 10, numbers=["1 2", "3 4"] * 10)
    found = read_made(tmp_path, "a.csv", rows, text="letters", target="numbers", task="translate")
    assert (found.task, found.examples.targets[:2]) == ("translate", ["1 2", "3 4"])
    rows = table(said=["ten", "two"] * 10, number=["10", "2"] * 10)
    assert read_made(tmp_path, "b.csv", rows, target="number", task="translate").examples.targets[:2] == ["10", "2"]


def test_words_with_as_many_tags_stay_tags_unless_translation_is_asked_for(tmp_path):
    rows = table(words=["the dog", "a dog", "the cat"] * 20, tags=["D N", "A N", "D N"] * 20)
    assert read_made(tmp_path, "a.csv", rows, text="words", target="tags", task="tag").task == "tag"
    assert read_made(tmp_path, "a.csv", rows, text="words", target="tags", task="translate").task == "translate"


def test_a_source_is_never_divided_by_the_split(tmp_path):
    from ostinato.program.data.split import split

    rows = "".join(f"Row {n % 40}.\tLigne {n} !\n" for n in range(160))
    found = read_made(tmp_path, "a.txt", rows, columns=("en", "fr"), text="en", target="fr")
    parts = split(found, found.options)
    inputs = [{found.examples.inputs[row] for row in rows} for rows in (parts.train, parts.valid, parts.test)]
    assert sum(map(len, inputs)) == 40 and all(inputs)
    assert len(parts.train) + len(parts.valid) + len(parts.test) == 160


def test_one_translation_of_all_sources_is_said(tmp_path):
    rows = table(a=[f"text {n}" for n in range(9)], b=["same"] * 9)
    found = read_made(tmp_path, "a.csv", rows, target="b", task="translate")
    assert findings(found)["b is the same text in every row."] == ("error", 9)


def test_texts_of_python_are_pairs():
    found = examples_from(["a", "b"], ["c", 2], target_kind="translation")
    assert found == Examples("text", ["a", "b"], "translation", ["c", "2"], ["text"])
    with pytest.raises(InputError) as error:
        examples_from(["a"], [None], target_kind="translation")
    assert str(error.value) == "fit: y[0] must be a text, got None. Leave such rows out."


def test_a_list_of_texts_is_no_target_of_a_translation(tmp_path):
    rows = '{"a": "x y", "b": ["c", "d"]}\n' * 3
    assert "a.jsonl: the data must be for translate, got columns" in refusal(
        tmp_path, "a.jsonl", rows, text="a", target="b", task="translate"
    )
