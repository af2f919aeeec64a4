"""The task that is inferred from what a file holds, the columns that are chosen, and the refusal of two readings."""

import math

import pytest

from ostinato.errors import InputError
from ostinato.program.data.infer import RULES, TRAINED, Reading, Seen, infer
from ostinato.program.data.read import read
from ostinato.program.options import DataOptions
from program.data.made import REVIEWS, findings, options, read_made, real, refusal, reviews, write


def table(**columns):
    """A CSV text of equally long columns."""
    rows = zip(*columns.values())
    return ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


N = range(12)
HALVES = [n + 0.5 for n in N]
CLASSES = ["ab"[n % 2] for n in N]
NOTES = [f"note number {n}" for n in N]


@pytest.mark.parametrize(
    "columns, named, task, kind, target_kind, inputs",
    [
        ({"x": HALVES, "z": HALVES, "label": CLASSES}, {}, "classify", "features", "class", ["x", "z"]),
        ({"x": HALVES, "y": [n * n for n in HALVES]}, {"target": "y"}, "regress", "features", "number", ["x"]),
        ({"t": NOTES, "Label": CLASSES}, {}, "classify", "text", "class", ["t"]),
        ({"t": NOTES, "stars": HALVES}, {"target": "stars"}, "regress", "text", "number", ["t"]),
        ({"t": NOTES, "ok": ["true", "false"] * 6}, {"target": "ok"}, "classify", "text", "class", ["t"]),
        ({"t": NOTES, "n": N, "label": CLASSES}, {"text": "t"}, "classify", "text", "class", ["t"]),
        ({"t": NOTES, "n": HALVES, "label": CLASSES}, {"features": ("n",)}, "classify", "features", "class", ["n"]),
        ({"t": NOTES, "label": N}, {"task": "classify"}, "classify", "text", "class", ["t"]),
        ({"t": NOTES, "label": [1, 2] * 6}, {"task": "classify"}, "classify", "text", "class", ["t"]),
        ({"t": NOTES, "label": [1, 2] * 6}, {"task": "regress"}, "regress", "text", "number", ["t"]),
        ({"t": NOTES, "label": ["a|b", "", "b"] * 4}, {"label_separator": "|"}, "classify", "text", "labels", ["t"]),
        ({"t": NOTES, "tags": NOTES}, {"task": "tag"}, "tag", "tokens", "tags", ["t"]),
        ({"t": ["the cat runs"] * 20, "tags": ["D N V"] * 20}, {"task": "tag"}, "tag", "tokens", "tags", ["t"]),
        ({"s": ["1 2 3", "4 5"] * 6, "label": CLASSES}, {}, "classify", "series", "class", ["s"]),
        ({"id": N, "t": NOTES, "label": CLASSES}, {}, "classify", "text", "class", ["t"]),
    ],
)
def test_the_table_of_inference(tmp_path, columns, named, task, kind, target_kind, inputs):
    found = read_made(tmp_path, "a.csv", table(**columns), **named)
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind, list(examples.channels)) == (
        task,
        kind,
        target_kind,
        inputs,
    )
    assert found.because.startswith(f"The task is {task}: ") and found.because.endswith(".")
    assert found.options.task == task
    chosen = {"text": [found.options.text], "tokens": [found.options.text]}
    chosen |= {"series": list(found.options.series), "features": list(found.options.features)}
    assert chosen[kind] == inputs


def test_a_text_with_a_tag_for_each_word_is_for_tagging_not_for_translation(tmp_path):
    texts = [f"the {n} cats of {n} run" if n % 3 else f"cat {n} runs" for n in range(60)]
    tags = ["D M N P M V" if n % 3 else "N M V" for n in range(60)]
    tags = [t if n % 7 else t.replace("N", "X") for n, t in enumerate(tags)]
    content = table(t=texts, words=tags)
    message = refusal(tmp_path, "a.csv", content, target="words")
    assert "got 2 that fit: classify" in message and "tag (words has as many words as t in every row)" in message
    assert message.endswith("Choose by --task classify or --task tag.")
    texts = [" ".join(f"word{(n * 31 + w) % 97}" for w in range(8)) for n in range(200)]
    tags = [" ".join(f"T{n >> w & 1}" for w in range(8)) for n in range(200)]
    found = read_made(tmp_path, "b.csv", table(t=texts, words=tags), target="words")
    assert found.task == "tag"
    assert found.examples.targets[3] == tags[3].split()


def test_a_column_of_numbers_under_the_id_of_a_series_is_one_channel(tmp_path):
    rows = [
        ("a", 1, 0.1, "up"),
        ("a", 2, 0.2, "up"),
        ("b", 3, 0.3, "down"),
        ("c", 4, "", "up"),
        ("c", 5, 0.5, "up"),
        ("d", 6, 1, "down"),
    ]
    content = "id,x,z,label\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    found = read_made(tmp_path, "a.csv", content, series=("x", "z"), group="id", target="label")
    assert found.examples.kind == "series"
    assert [len(x) for x in found.examples.inputs] == [2, 1, 2, 1]
    assert found.examples.inputs[0].tolist() == [[1, 0.1], [2, 0.2]]
    assert math.isnan(found.examples.inputs[2][0, 1])
    assert found.examples.targets == ["up", "down", "up", "down"]
    assert [origin.line for origin in found.examples.origins] == [2, 4, 5, 7]
    assert found.examples.groups is None
    assert found.options.group == "id"
    assert "6 rows are the steps of 4 series, one for each id." in found.notes
    again = read(
        DataOptions(
            paths=[tmp_path / "a.csv"], **{"series": ("x", "z"), "group": "id", "task": "classify", "target": "label"}
        ),
        False,
    )
    assert [len(x) for x in again.examples.inputs] == [2, 1, 2, 1]
    message = refusal(
        tmp_path, "b.csv", content.replace("a,2,0.2,up", "a,2,0.2,down"), series=("x", "z"), group="id", target="label"
    )
    assert (
        "the column label must be the same in all rows of one id, got 1 group with several values, such as a" in message
    )


def test_a_series_cell_with_a_group_keeps_the_group(tmp_path):
    content = table(s=["1 2 3", "4 5"] * 6, who=[n // 3 for n in N], label=CLASSES)
    found = read_made(tmp_path, "a.csv", content, series=("s",), group="who", target="label")
    assert found.examples.groups[:4] == ["0", "0", "0", "1"]


@pytest.mark.parametrize(
    "columns, named, parts",
    [
        (
            {"t": NOTES, "stars": [1, 2, 3, 4] * 3},
            {"target": "stars"},
            [
                "got 2 that fit: classify (stars has 4 different values in 12 rows)",
                "regress (stars is a number in every row)",
                "--task classify or --task regress",
            ],
        ),
        (
            {"t": NOTES, "x": HALVES, "label": CLASSES},
            {},
            ["classify from t as text", "classify from x as features", "Choose by --text t or --features x."],
        ),
        (
            {"t": NOTES, "u": NOTES, "label": CLASSES},
            {},
            ["Choose by --text t or --text u."],
        ),
        (
            {"date": [f"2020-01-{n + 1:02}" for n in N], "x": HALVES, "y": HALVES},
            {"target": "y"},
            ["regress", "forecast (y is a number and date rises", "Choose by --task regress or --task forecast."],
        ),
    ],
)
def test_what_two_rules_fit_is_refused_with_both_readings_and_the_option(tmp_path, columns, named, parts):
    message = refusal(tmp_path, "a.csv", table(**columns), **named)
    for part in parts:
        assert part in message, message


@pytest.mark.parametrize(
    "columns, named, message",
    [
        (
            {"t": NOTES, "sort": CLASSES},
            {},
            "the column to be predicted, got columns t, sort. A target is never guessed by its position.",
        ),
        ({"t": NOTES, "label": CLASSES, "class": CLASSES}, {}, "got label, class, any of which could be it"),
        (
            {"t": NOTES, "label": CLASSES},
            {"target": "lable"},
            "the column 'lable' must be in the file, got a file with the columns t, label. Did you mean 'label'?",
        ),
        ({"t": NOTES, "label": CLASSES}, {"text": "x"}, "the column 'x' must be in the file"),
        ({"t": NOTES, "label": CLASSES}, {"text": "t", "target": "t"}, "the column t must be in one role, got two"),
        (
            {"x": HALVES, "y": HALVES},
            {"features": ("x", "y"), "target": "y"},
            "the column y must be in one role, got two",
        ),
        (
            {"x": HALVES, "y": HALVES},
            {"features": ("x", "x"), "target": "y"},
            "the column x must be in one role, got two",
        ),
        ({"t": NOTES, "label": CLASSES}, {"target": "label", "group": "label"}, "the column label must be in one role"),
        (
            {"x": HALVES, "label": CLASSES},
            {"series": ("x",), "group": "x"},
            "the column x must be in one role, got two",
        ),
        (
            {"t": NOTES, "x": HALVES, "label": CLASSES},
            {"text": "t", "features": ("x",)},
            "the inputs must be chosen by one option, got --text and --features",
        ),
        (
            {"t": NOTES, "label": CLASSES},
            {"features": ("t",)},
            "12 cells that are none, the first 'note number 0' at line 2 of a.csv",
        ),
        (
            {"t": NOTES, "label": CLASSES},
            {"task": "clasify"},
            f"--task must be one of {', '.join(TRAINED)}, got 'clasify'. Did you mean 'classify'?",
        ),
        (
            {"t": NOTES, "label": CLASSES},
            {"task": "regress"},
            "the data must be for regress, got columns t (string), label (string)",
        ),
        ({"label": CLASSES}, {}, f"the data must be for one of {', '.join(TRAINED)}"),
        (
            {"t": NOTES, "label": CLASSES},
            {"task": "tag"},
            "the column label must be of as many words as t, 3 in row 1, got 1",
        ),
        (
            {"t": NOTES, "who": [*CLASSES[:-1], ""], "label": CLASSES},
            {"group": "who"},
            "the column who of --group at line 13 must be filled",
        ),
        (
            {"t": NOTES, "split": CLASSES, "label": CLASSES},
            {},
            "the column split must be train, valid or test (or 0, 1, 2) in every row, got 'a', 'b'",
        ),
        (
            {"t": NOTES, "label": ["same"] * 12},
            {"task": "music"},
            "target label with 1 different value. Name the columns",
        ),
        ({"t": NOTES, "x": HALVES, "label": [""] * 12}, {"text": "t"}, "target label with 0 different values"),
    ],
)
def test_columns_and_tasks_that_do_not_fit_are_refused(tmp_path, columns, named, message):
    assert message in refusal(tmp_path, "a.csv", table(**columns), **named)


def test_a_usual_name_is_accepted_as_the_target_and_said(tmp_path):
    found = read_made(tmp_path, "a.csv", reviews())
    assert found.because == (
        "The task is classify: label has 2 different values in 6 rows, and review is read as text; "
        "the target is label, by its name."
    )


def test_a_split_column_and_files_of_parts_give_the_split(tmp_path):
    content = table(t=NOTES, split=["train", "dev", "test"] * 4, label=CLASSES)
    found = read_made(tmp_path, "a.csv", content)
    assert found.examples.parts == ["train", "valid", "test"] * 4
    first = write(tmp_path, "b.csv", reviews())
    second = write(tmp_path, "c.csv", reviews())
    given = read(options(first, test=second, target="label"))
    assert given.examples.parts == ["train"] * 6 + ["test"] * 6
    with pytest.raises(InputError, match="got a column split and --valid or --test"):
        read(options(tmp_path / "a.csv", test=tmp_path / "a.csv"))


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    found = read_made(tmp_path, "a.csv", table(t=NOTES, label=["", *CLASSES[1:]]))
    assert len(found.examples) == 11
    assert "1 row without a target left out." in found.notes
    assert findings(found)["1 row without a target left out."] == ("warning", 1)
    content = "@targetlabel true\n@data\n1,2:?\n"
    assert "the target must be given in at least one row" in refusal(tmp_path, "a.ts", content)


def test_rows_are_read_for_predictions_as_a_training_has_read_them(tmp_path):
    trained = read_made(tmp_path, "a.csv", reviews()).options
    bare = write(tmp_path, "b.csv", "n,review\n1,fine\n2,\n")
    found = read(
        DataOptions(paths=[bare], text=trained.text, target=trained.target, task=trained.task), with_target=False
    )
    assert found.examples.inputs == ["fine", ""]
    assert found.examples.targets is None
    with pytest.raises(InputError, match="rows without targets must be read as a training has read them"):
        read(options(bare), with_target=False)
    tokens = read(options(bare, text="review", task="tag"), with_target=False)
    assert tokens.examples.inputs == [["fine"], []]


def test_what_no_rule_fits_is_refused():
    seen = Seen("recipe", "a.rcp", DataOptions())
    with pytest.raises(InputError, match="the data must be for one of"):
        infer(seen)
    assert not [reading for rule in RULES for reading in rule(seen)]
    assert Reading("tag", None, "tags", "x").flags == ""


def test_one_class_of_file_with_and_without_a_target_in_a_text(tmp_path):
    found = read_made(tmp_path, "a.txt", reviews("\t"), target="label")
    assert found.examples.inputs == [text for text, _ in REVIEWS]


def test_the_reviews_have_the_counts_of_their_description():
    path = real("sentiment/imdb.jsonl.gz")
    found = read(options(path, text="text", target="label", task="classify"))
    assert len(found.examples) == 50_000
    assert (found.examples.parts.count("train"), found.examples.parts.count("test")) == (25_000, 25_000)
    assert (found.examples.targets.count("0"), found.examples.targets.count("1")) == (25_000, 25_000)


def test_the_names_have_the_counts_of_their_description():
    path = real("names/names_by_nationality.tsv.gz")
    found = read(options(path, columns=("language", "name"), target="language")).examples
    assert len(found) == 20_050
    assert found.targets.count("Russian") == 9384
    assert len(set(zip(found.inputs, found.targets))) == 18_012
