"""What check finds, each with its count, and how it is described."""

import numpy as np

from ostinato.program.data.check import check
from ostinato.program.data.describe import describe
from ostinato.program.data.examples import DataSet, Examples
from ostinato.program.data.findings import Finding, many
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions
from program.data.made import findings, options, read_made, reviews, write


def found_in(examples, **named):
    return findings(DataSet(examples, "classify", ""), **named)


def texts(inputs, targets, **named):
    return Examples("text", inputs, "class", targets, target_name="label", **named)


CLEAN = [f"row {n}" for n in range(40)]
LABELS = ["ab"[n % 2] for n in range(40)]
WITHOUT = {"valid_share": 0.0, "test_share": 0.0}
EMPTY = {"The part valid has no rows.": ("error", 0), "The part test has no rows.": ("warning", 0)}


def test_clean_data_have_no_findings():
    assert found_in(texts(CLEAN, LABELS)) == {}


def test_duplicates_and_inputs_of_several_targets_are_counted():
    found = found_in(texts([*CLEAN, "row 0", "row 0", "row 1"], [*LABELS, "a", "a", "a"]))
    assert found["2 rows repeat the input and the target of an earlier row."] == ("note", 2)
    assert found["1 input has several different targets: no model can be right in all of these rows."] == ("warning", 1)


def test_leakage_of_a_given_split_is_counted_by_part():
    parts = ["train"] * 30 + ["valid"] * 5 + ["test"] * 5
    inputs = [*CLEAN[:30], "row 1", *CLEAN[31:35], "row 2", "row 3", *CLEAN[37:]]
    found = found_in(texts(inputs, LABELS, parts=parts))
    assert found["1 row of valid (20.0 %) has an input that train has, too."] == ("warning", 1)
    assert found["2 rows of test (40.0 %) have an input that train has, too."] == ("warning", 2)


def test_groups_on_both_sides_of_a_given_split_are_named():
    parts = ["train"] * 30 + ["valid"] * 5 + ["test"] * 5
    groups = [str(n // 4) for n in range(40)]
    found = found_in(texts(CLEAN, LABELS, parts=parts, groups=groups))
    assert found["1 group has rows in train and in another part: 7."] == ("warning", 1)


def test_classes_of_one_row_and_labels_outside_train_are_named():
    labels = [*LABELS[:38], "b", "rare"]
    parts = ["train"] * 30 + ["valid"] * 5 + ["test"] * 5
    found = found_in(texts(CLEAN, labels, parts=parts))
    assert found["1 class has one row: rare."] == ("warning", 1)
    assert found["1 label of test is not in train: rare. No model can predict a label without training rows."] == (
        "warning",
        1,
    )


def test_one_class_one_number_and_one_input_are_errors():
    assert found_in(texts(CLEAN, ["a"] * 40))["label is a in every row."] == ("error", 40)
    numbers = Examples("text", CLEAN, "number", [2.0] * 40, target_name="price")
    assert found_in(numbers)["price is 2 in every row."] == ("error", 40)
    assert found_in(texts(["x"] * 40, LABELS), **WITHOUT)["Every row has the same input."] == ("error", 40)
    labels = Examples("text", CLEAN, "labels", [()] * 40, target_name="topics")
    found = found_in(labels)
    assert found["topics has no label in any row."] == ("error", 40)
    assert found["40 rows have no label."] == ("note", 40)


def test_empty_texts_sentences_and_series_are_counted():
    assert found_in(texts([*CLEAN[:-1], " "], LABELS))["1 text is empty."] == ("warning", 1)
    tokens = Examples("tokens", [[], [], ["a"], ["b"], ["c"]], "tags", [[], [], ["X"], ["X"], ["Y"]])
    found = found_in(tokens, **WITHOUT)
    assert found["2 sentences are empty."] == ("warning", 2)
    assert found["1 tag has one token: Y."] == ("warning", 1)
    series = Examples("series", [np.empty((0, 1))] * 2, "class", ["a", "b"], channels=["x"])
    assert found_in(series, **WITHOUT)["2 series are empty."] == ("error", 2)


def test_missing_numbers_and_constant_channels_are_counted_by_channel():
    rows = [np.array([[1.0, n, np.nan], [1.0, np.nan, np.nan]]) for n in range(4)]
    found = found_in(Examples("series", rows, "class", list("abab"), channels=["x", "y", "z"]), **WITHOUT)
    assert found == EMPTY | {
        "Channel x is constant: 1 in all rows that have it.": ("warning", 4),
        "Channel y has 4 missing numbers in 8 steps.": ("note", 4),
        "Channel z is empty in every row.": ("warning", 4),
    }
    found = found_in(
        Examples("features", [r[0] for r in rows], "class", list("abab"), channels=["x", "y", "z"]), **WITHOUT
    )
    assert found["Channel x is constant: 1 in all rows that have it."] == ("warning", 4)


def test_dates_that_cannot_be_read_and_numbers_among_text_are_named_with_their_line(tmp_path):
    rows = [
        ("2020-01-01", "1.5", "fine", "a"),
        ("2020-13-45", "2", "good", "b"),
        ("2020-03-01", "about 3", "bad", "a"),
        ("2020-04-01", "4", "dull", "b"),
    ]
    content = "day,size,text,label\n" + "".join(",".join(row) + "\n" for row in rows)
    found = findings(read_made(tmp_path, "a.csv", content, text="text"), **WITHOUT)
    assert found["Column day has 1 cell that cannot be read as a date, the first '2020-13-45' at line 3."] == (
        "warning",
        1,
    )
    assert found["Column size is text because 1 cell of 4 is no number, the first 'about 3' at line 4."] == (
        "warning",
        1,
    )


def test_months_and_national_dates_are_dates(tmp_path):
    for days in (["1949-01", "1949-02"], ["1.2.2020", "31.12.2020"], ["2020-01-01 10:00:00", "2020-01-02 11:30:00"]):
        content = "day,text,label\n" + "".join(f"{days[n % 2]},text {n},{'ab'[n % 2]}\n" for n in range(6))
        found = findings(read_made(tmp_path, "a.csv", content), **WITHOUT)
        assert found == EMPTY


def test_graver_findings_come_first(tmp_path):
    found = read_made(tmp_path, "a.csv", reviews() + "\n\nfine film,good\n")
    result = split(found, DataOptions())
    severities = [finding.severity for finding in check(found, result)]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert len(set(severities)) >= 1


def test_the_description_says_the_task_the_files_the_split_and_the_findings(tmp_path):
    path = write(tmp_path, "a.csv", reviews())
    dataset = read(
        options(path, target="label", test=write(tmp_path, "b.csv", "review,label\nfine film,good\nnew,odd\n"))
    )
    result = split(dataset, DataOptions(valid_share=0))
    lines = describe(dataset, result, check(dataset, result)).splitlines()
    assert lines == [
        "The task is classify: label has 3 different values in 8 rows, and review is read as text.",
        "",
        "a.csv: 6 rows, 7 physical lines, utf-8",
        "b.csv: 2 rows, 3 physical lines, utf-8",
        "split (given): train 6, valid 0, test 2",
        "label: good 4, bad 3, odd 1",
        "",
        "error    The part valid has no rows.",
        "warning  1 class has one row: odd.",
        "warning  1 row of test (50.0 %) has an input that train has, too.",
        "warning  1 label of test is not in train: odd. No model can predict a label without training rows.",
        "note     1 row repeats the input and the target of an earlier row.",
    ]


def test_the_description_of_numbers_and_channels():
    examples = Examples(
        "features", [np.array([n, n * n]) for n in range(30)], "number", [n / 4 for n in range(30)], ["x", "z"], "price"
    )
    dataset = DataSet(examples, "regress", "The task is regress: price is a number in every row.", notes=["A note."])
    result = split(dataset, DataOptions())
    text = describe(dataset, result, [])
    assert "price: from 0 to 7.25" in text and "2 channels: x, z" in text and "A note." in text
    assert text.endswith("No problem was found.")


def test_counts_are_written_with_their_nouns():
    assert [many(1, "row"), many(2500, "row"), many(0, "class", "classes")] == ["1 row", "2,500 rows", "0 classes"]
    assert Finding("note", "x", 1) == Finding("note", "x", 1)
