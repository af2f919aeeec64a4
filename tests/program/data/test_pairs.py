"""Pairs of texts as rows of translation: tables, and the rules that recognise them."""

import random

import pytest

from ostinato.errors import InputError
from ostinato.program.data.check import check
from ostinato.program.data.describe import describe
from ostinato.program.data.examples import Examples
from ostinato.program.data.from_python import examples_from
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from program.data.made import findings, options, read_made, refusal, write

PAIRS = "".join(f"Row {n}.\tLigne {n} !\n" for n in range(30))


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


def test_a_quote_between_tabs_is_a_character_unless_a_cell_needs_quotes(tmp_path):
    raw = '"Go," he said.\t"Va", dit-il.\n"Stay.\tReste.\nNo."\tNon."\n"Yes."\t"Oui."\n'
    found = read_made(tmp_path, "a.txt", raw, columns=("en", "fr"), text="en", target="fr")
    assert found.examples.inputs == ['"Go," he said.', '"Stay.', 'No."', '"Yes."']
    whole = '"Stay.\tReste.\nNo."\tNon."\n' + "".join(f"w {n}\tv {n}\n" for n in range(9))
    found = read_made(tmp_path, "b.txt", '"A."\t"B."\n' + whole, columns=("en", "fr"), text="en", target="fr")
    assert found.examples.inputs[:3] == ['"A."', '"Stay.', 'No."'] and found.examples.targets[0] == '"B."'
    enclosed = "en\tfr\n" + '"A."\t"B."\n' + "".join(f"w {n}\tv {n}\n" for n in range(9))
    found = read_made(tmp_path, "c.tsv", enclosed, text="en", target="fr")
    assert (found.examples.inputs[0], found.examples.targets[0]) == ('"A."', '"B."')
    assert "c.tsv: quotes are read as characters, as between tabs they are." in found.notes
    for name, cell, value in (("d", '"he ""said"""', 'he "said"'), ("e", '"two\nlines"', "two\nlines")):
        content = f"en\tfr\n{cell}\tx\n" + "".join(f"w {n}\tv {n}\n" for n in range(9))
        found = read_made(tmp_path, f"{name}.tsv", content, text="en", target="fr")
        assert found.examples.inputs[0] == value and not any("quotes" in note for note in found.notes)


def test_a_file_with_more_columns_than_names_says_what_to_do(tmp_path):
    content = "Go.\tVa !\tCC-BY 2.0\nHi.\tSalut !\tCC-BY 2.0\n"
    message = refusal(tmp_path, "a.txt", content, columns=("en", "fr"), text="en", target="fr")
    assert message == (
        "a.txt: --columns must be 3 names, one for each cell, got 2 names (en, fr). Name every column; one that no "
        "other option names is left out. The first line is ['Go.', 'Va !', 'CC-BY 2.0']."
    )
    found = read_made(tmp_path, "a.txt", content, columns=("en", "fr", "by"), text="en", target="fr")
    assert "1 column left out: by." in found.notes


def test_spaces_of_fixed_width_are_plain_on_both_sides_and_counted(tmp_path):
    content = "Go\u00a0!\tVa\u202f!\nHi.\tSalut\u202f!\n" + PAIRS
    found = read_made(tmp_path, "a.txt", content, columns=("en", "fr"), text="en", target="fr")
    assert (found.examples.inputs[0], found.examples.targets[:2]) == ("Go !", ["Va !", "Salut !"])
    assert "Spaces of fixed width (U+00A0, U+2007, U+202F) of 3 texts are read as plain spaces." in found.notes


def test_rows_of_which_a_side_is_empty_are_left_out_and_counted(tmp_path):
    content = PAIRS + "only\t\n\tseul\n \t\n"
    found = read_made(tmp_path, "a.txt", content, columns=("en", "fr"), text="en", target="fr")
    assert len(found.examples) == 30 == len(found.examples.origins)
    assert findings(found)["2 pairs left out, of which one side is empty."] == ("warning", 2)
    assert findings(found)["1 pair left out, of which both sides are empty."] == ("warning", 1)


def test_findings_of_pairs(tmp_path):
    content = PAIRS + "same\tsame\n" + "Go.\tVa !\nGo.\tAllez !\n" + "Hi.\t" + "tres " * 30 + "long\n"
    found = read_made(tmp_path, "a.txt", content, columns=("en", "fr"), text="en", target="fr")
    said = findings(found)
    assert said["1 row has the same text on both sides."] == ("note", 1)
    sentence = "1 source has several translations, up to 2: all of them are references where the source is held out."
    assert said[sentence] == ("note", 1)
    sentence = (
        "1 row has one side more than 4 times as long as usual, the first at line 34: they may be no translations "
    )
    assert said[sentence + "of each other."] == ("warning", 1)
    assert not any("several different targets" in text for text in said)


def test_shifted_lines_are_found_by_their_lengths(tmp_path):
    draw = random.Random(0)
    texts = ["word " * draw.randint(1, 20) for _ in range(300)]
    rows = list(zip(texts, [text.replace("word", "mot") + str(n) for n, text in enumerate(texts)]))
    shifted = list(zip(texts, [target for _, target in rows[1:] + rows[:1]]))
    for pairs, count in ((rows, 0), (shifted, 1)):
        content = "".join(f"{a} {n}\t{b}\n" for n, (a, b) in enumerate(pairs))
        found = read_made(tmp_path, f"{count}.txt", content, columns=("en", "fr"), text="en", target="fr")
        assert sum("may be shifted" in text for text in findings(found)) == count


def test_a_translation_that_both_parts_have_is_counted(tmp_path):
    train = write(tmp_path, "a.tsv", "en\tfr\n" + "".join(f"Row {n}.\tLigne {n}.\n" for n in range(30)))
    test = write(tmp_path, "b.tsv", "en\tfr\nLine 3.\tLigne 3.\nRow 4.\tRang 4.\n")
    found = read(options(train, test=test, text="en", target="fr"))
    said = findings(found, valid_share=0.0)
    assert said["1 row of test (50.0 %) has a translation that a row of train has, too."] == ("note", 1)
    assert said["1 row of test (50.0 %) has an input that train has, too."] == ("warning", 1)


def test_what_check_prints_of_pairs(tmp_path):
    found = read_made(tmp_path, "a.txt", PAIRS + "Row 1.\tRang 1.\n", columns=("en", "fr"), text="en", target="fr")
    parts = split(found, found.options)
    lines = describe(found, parts, check(found, parts)).splitlines()
    assert lines[3].startswith("split (by a hash of each source): train ")
    assert lines[4] == "en to fr: 30 sources with 31 translations"


def test_rows_to_predict_are_translations_without_targets(tmp_path):
    known = {"task": "translate", "text": "en", "target": "fr"}
    file = write(tmp_path, "a.csv", "en,more\nGo\u202f!,x\n\nHi.,y\n")
    examples = read(options(file, **known), with_target=False).examples
    assert (examples.target_kind, examples.inputs, examples.targets) == ("translation", ["Go !", "Hi."], None)
