"""Rows of transcription that are no recordings: numeric series and symbols with a text; findings of transcripts."""

import numpy as np
import pytest

from ostinato.program.data.check import check
from ostinato.program.data.examples import DataSet, Examples
from ostinato.program.data.from_python import examples_from
from ostinato.program.data.split import Split
from program.data.made import read_made

N = range(12)
TEXTS = [f"text {n}" for n in N]


def table(**columns):
    """A CSV text of equally long columns."""
    rows = zip(*columns.values())
    return ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def test_series_with_many_different_texts_are_for_transcription(tmp_path):
    found = read_made(tmp_path, "a.csv", table(s=["1 2 3", "4 5"] * 6, words=TEXTS), target="words")
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind) == ("transcribe", "series", "transcript")
    assert examples.targets == TEXTS and found.options.series == ("s",) and found.options.task == "transcribe"
    assert found.because == (
        "The task is transcribe: words has 12 different texts in 12 rows, and s is read as series."
    )


def test_series_with_sixty_texts_of_ten_rows_each_are_for_transcription_too(tmp_path):
    texts = [f"text {n % 60}" for n in range(600)]
    found = read_made(tmp_path, "a.csv", table(s=["1 2 3"] * 600, words=texts), target="words")
    assert found.task == "transcribe"


def test_series_with_few_texts_are_for_transcription_where_it_is_asked_for(tmp_path):
    content = table(s=["1 2 3", "4 5"] * 6, words=["yes", "no"] * 6)
    assert read_made(tmp_path, "a.csv", content, target="words").task == "classify"
    found = read_made(tmp_path, "a.csv", content, target="words", task="transcribe")
    assert (found.task, found.examples.targets[:2]) == ("transcribe", ["yes", "no"])


def test_arrays_of_series_with_texts_are_for_transcription(tmp_path):
    np.savez(tmp_path / "a.npz", series=np.zeros((12, 5, 3)), y=np.array(TEXTS))
    found = read_made(tmp_path, "a.npz", (tmp_path / "a.npz").read_bytes())
    assert (found.task, found.examples.kind, found.examples.target_kind) == ("transcribe", "series", "transcript")
    assert found.examples.targets == TEXTS and found.examples.inputs[0].shape == (5, 3)


def test_symbols_with_texts_are_for_transcription_only_where_it_is_asked_for(tmp_path):
    keys = [f"kk ee {n}" for n in N]
    content = table(keys=keys, text=TEXTS)
    found = read_made(tmp_path, "a.csv", content, text="keys", target="text", task="transcribe")
    assert (found.task, found.examples.kind, found.examples.target_kind) == ("transcribe", "text", "transcript")
    assert (found.examples.inputs, found.examples.targets, found.options.text) == (keys, TEXTS, "keys")
    assert read_made(tmp_path, "a.csv", content, text="keys", target="text").task == "translate"


def test_digits_that_a_table_writes_as_numbers_are_texts_of_transcription(tmp_path):
    found = read_made(
        tmp_path, "a.csv", table(s=["1 2 3"] * 12, said=[f"0{n}" for n in N]), target="said", task="transcribe"
    )
    assert found.examples.targets[:3] == ["00", "01", "02"]


def test_lists_of_tokens_in_json_lines_are_symbols(tmp_path):
    rows = "".join(f'{{"keys": ["k", "e{n}"], "text": "text {n}"}}\n' for n in N)
    found = read_made(tmp_path, "a.jsonl", rows, target="text", task="transcribe")
    assert (found.examples.kind, found.examples.inputs[1]) == ("tokens", ["k", "e1"])


def test_a_target_of_transcripts_in_python_is_a_text():
    assert examples_from([np.zeros((3, 1))], ["a b"], target_kind="transcript").target_kind == "transcript"
    with pytest.raises(ValueError, match=r"^fit: y\[0\] must be a text, got None\. Leave such rows out\.$"):
        examples_from([np.zeros((3, 1))], [None], target_kind="transcript")


def made(targets, train, valid):
    """What is found of transcripts whose first rows are train and last valid."""
    examples = Examples("series", [np.full((3, 1), n) for n in range(len(targets))], "transcript", targets, ["x"])
    split = Split(np.array(train), np.array(valid), np.array([], int), False, np.array([], int))
    return {f.sentence: (f.severity, f.count) for f in check(DataSet(examples, "transcribe", ""), split)}


def test_characters_that_no_training_row_has_are_found():
    found = made(["ab", "ba", "a zz"], [0, 1], [2])
    sentence = "2 characters of valid are not in train: ' ', 'z'. No model can write a character without training rows."
    assert found[sentence] == ("warning", 3)
    assert not any("character" in sentence for sentence in made(["ab", "ba", "a"], [0, 1], [2]))


def test_one_text_in_every_row_is_an_error():
    assert made(["ab", "ab", "ab"], [0, 1], [2])["target is the same text in every row."] == ("error", 3)
