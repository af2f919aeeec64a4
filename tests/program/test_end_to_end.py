"""Every task from a file to a model folder and back, by the commands that a user types.

Each file follows a rule that the network must learn; the options make it small, so that a training takes a second.
"""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

import ostinato as library
from program import made_files as made
from program.commands import ostinato

TASKS = {
    "classes of texts": (made.reviews, "reviews.csv", ("--text", "review", "--target", "label", "--updates", 90)),
    "several labels of texts": (
        made.topics, "topics.csv", ("--target", "topics", "--label-separator", ";", "--updates", 150),
    ),
    "classes of series": (
        made.sensors, "sensors.jsonl", ("--series", "left,right", "--target", "state", "--updates", 100),
    ),
    "classes of features": (made.flowers, "flowers.csv", ("--target", "species", "--updates", 80)),
    "numbers of series": (made.loads, "loads.npz", ("--updates", 150)),
    "tags of words": (made.sentences, "words.txt", ("--updates", 100)),
}  # fmt: skip
"""Name → the file, and the options beside it."""
FILES = {
    "README.md", "config.json", "history.jsonl", "metrics.json", "model.safetensors", "predictions.csv", "report.html",
    "resume", "split.json",
}  # fmt: skip


class Trained:
    """A file and the folder of the model that was trained on it."""

    def __init__(self, place: Path, name: str) -> None:
        maker, self.file, options = TASKS[name]
        maker(place / self.file)
        self.place, self.name = place, name
        looks = [] if name == "classes of series" else ["--no-lens"]  # the lens takes seconds
        self.ended = ostinato(place, "train", self.file, *options, *made.SMALL, *looks, "--out", "model", "--json")
        self.model = place / "model"

    def json(self, name: str):
        return json.loads((self.model / name).read_text(encoding="utf-8"))

    def table(self, text: str):
        return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function from the name of a task to what was trained, once for all tests."""
    kept: dict[str, Trained] = {}

    def of(name: str) -> Trained:
        if name not in kept:
            kept[name] = Trained(tmp_path_factory.mktemp("task"), name)
        return kept[name]

    return of


@pytest.fixture(params=TASKS)
def one(request, trained):
    return trained(request.param)


def test_the_network_learns_the_rule_and_the_command_ends_with_0(one):
    assert one.ended.status == 0, one.ended.err
    document = one.ended.document
    metrics = one.json("metrics.json")
    value = metrics["all"]["model"]["r2"]["value"] if one.name == "numbers of series" else metrics["test"]["model"]
    assert (value > 0.99) if one.name == "numbers of series" else (value["value"] == 1.0)
    assert document["metrics"] == metrics and document["status"] == 0
    assert document["weights_sha256"] == one.json("config.json")["weights_sha256"]
    assert len(metrics["test"]["baselines"]) >= 3
    assert one.ended.err.startswith("The task is "), "what was inferred is said on stderr"
    said = one.ended.err.splitlines()
    assert document["because"] == said[0]
    fitting = next(k for k, line in enumerate(said) if re.fullmatch(r"Fitting \d+ baselines\.", line))
    assert said[-1] == "Evaluating the network on the test rows, and writing the report."
    (first,) = (line for line in said if line.startswith("update 0 "))
    assert " training loss - " in f"{first} " and said.index(first) > fitting


def test_the_folder_holds_what_it_should_and_no_pickle(one):
    names = {path.name for path in one.model.iterdir()}
    assert FILES <= names
    assert names - FILES <= {"labels.json", "scaling.json", "vocabulary.json"}
    for path in one.model.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
    page = (one.model / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "Inside the network" in page
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_evaluate_gives_the_metrics_of_the_training(one):
    ended = ostinato(one.place, "evaluate", "model", "--json")
    assert ended.status == 0, ended.err
    expected = one.json("metrics.json")["all"]["model"]
    found = ended.document["metrics"]
    assert {n: m["value"] for n, m in found.items()} == {n: m["value"] for n, m in expected.items()}
    text = ostinato(one.place, "evaluate", "model")
    assert text.out.startswith(f"The {len(one.table((one.model / 'predictions.csv').read_text()))} test rows")
    assert "nan" not in text.out


def test_predict_answers_the_test_rows_a_file_and_single_lines(one):
    of_training = (one.model / "predictions.csv").read_text(encoding="utf-8")
    assert ostinato(one.place, "predict", "model").out == of_training
    ended = ostinato(one.place, "predict", "model", one.file)
    rows = {row["id"]: row for row in one.table(ended.out)}
    assert ended.status == 0 and set(rows) >= {row["id"] for row in one.table(of_training)}
    for row in one.table(of_training):
        assert rows[row["id"]]["prediction"] == row["prediction"]
    lines, ids = lines_of(one)
    answers = ostinato(one.place, "predict", "model", "-", typed="\n".join(lines) + "\n").out.splitlines()
    assert len(answers) == len(lines) == 3
    for answer, name in zip(answers, ids):
        value = answer.partition("\t")[0]
        if one.name == "numbers of series":
            assert float(value) == pytest.approx(float(rows[name]["prediction"]), rel=1e-5)
        else:
            assert value == rows[name]["prediction"]


def lines_of(one):
    """Three rows of the file as `predict -` takes them, and their ids in the table."""
    path = one.place / one.file
    if one.file.endswith(".csv"):
        with path.open(encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:4]
        lines = [",".join(row[:-1]) if one.file == "flowers.csv" else row[0] for row in rows]
        return lines, [f"{one.file}:{k}" for k in (2, 3, 4)]
    if one.file.endswith(".jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()[:3]]
        return [json.dumps(list(zip(r["left"], r["right"]))) for r in rows], [f"{one.file}:{k}" for k in (1, 2, 3)]
    if one.file.endswith(".npz"):
        series = np.load(path)["series"]
        names = [row["id"] for row in one.table(ostinato(one.place, "predict", "model", one.file).out)]
        return [json.dumps(s[:, 0].tolist()) for s in series[:3]], names[:3]
    blocks = path.read_text(encoding="utf-8").split("\n\n")[:3]
    words = [" ".join(line.partition("\t")[0] for line in block.splitlines()) for block in blocks]
    names = [row["id"] for row in one.table(ostinato(one.place, "predict", "model", one.file).out)]
    return words, names[:3]


def test_load_gives_an_estimator_with_the_same_predictions(one):
    estimator = library.load(one.model)
    if one.file == "flowers.csv":
        with (one.place / one.file).open(encoding="utf-8") as file:
            rows = [[float(v) for v in row[:-1]] for row in list(csv.reader(file))[1:4]]
        inputs = np.array(rows)
    elif one.file.endswith((".jsonl", ".npz")):
        lines, _ = lines_of(one)
        inputs = [
            np.array(json.loads(line), float).reshape(-1, 2 if one.file == "sensors.jsonl" else 1) for line in lines
        ]
    else:
        lines, _ = lines_of(one)
        inputs = [line.split() for line in lines] if one.name == "tags of words" else lines
    table = one.table(ostinato(one.place, "predict", "model", one.file).out)
    for value, row in zip(estimator.predict(inputs), table):
        if one.name == "numbers of series":
            assert value == pytest.approx(float(row["prediction"]), rel=1e-5)
        elif isinstance(value, str):
            assert value == row["prediction"]
        else:
            assert row["prediction"] in (";".join(value), " ".join(value))


def test_inspect_writes_the_page_of_the_lens(one, monkeypatch):
    monkeypatch.setattr("ostinato.lens.render.html.page.MOST_DRAWN", 0)  # pictures take seconds; one test has them
    ended = ostinato(one.place, "inspect", "model")
    assert ended.status == 0, ended.err
    assert ended.out.endswith("Written: model.html\n")
    page = (one.place / "model.html").read_text(encoding="utf-8")
    assert "validation rows of the training" in page and "<title>model, after training</title>" in page
    again = ostinato(one.place, "inspect", "model", "--data", one.file, "--rows", 5, "--out", "own.json")
    assert again.status == 0, again.err
    layers = json.loads((one.place / "own.json").read_text(encoding="utf-8"))["layers"]
    assert {layer["rows"] for layer in layers if "letters" not in layer["module"]} >= {5}
    assert ostinato(one.place, "inspect", "model").status == 2  # model.html is there


def test_inspect_has_pictures_and_changes_no_file(trained):
    one = trained("classes of series")
    before = {path.name: path.read_bytes() for path in one.model.iterdir() if path.is_file()}
    assert ostinato(one.place, "inspect", "model", "--out", "drawn.html").status == 0
    assert (one.place / "drawn.html").read_text(encoding="utf-8").count("<svg") > 3
    assert {path.name: path.read_bytes() for path in one.model.iterdir() if path.is_file()} == before


def test_inspect_refuses_rows_without_targets_and_options_of_other_models(trained):
    one = trained("classes of texts")
    (one.place / "lines.csv").write_text("review\nthe film\n", encoding="utf-8")
    ended = ostinato(one.place, "inspect", "model", "--data", "lines.csv", "--out", "x.html")
    assert (ended.status, "label" in ended.err) == (2, True)
    ended = ostinato(one.place, "inspect", "model", "--text", "lines.csv", "--out", "x.html")
    assert ended.err.startswith("ostinato inspect: --text must be absent unless MODEL is a file that `ostinato demo`")
    changed = one.place / "reviews.csv"
    kept = changed.read_bytes()
    changed.write_bytes(kept + b"the film was yes no new,good\n")
    ended = ostinato(one.place, "inspect", "model", "--out", "x.html")
    changed.write_bytes(kept)
    assert ended.status == 2 and "must be the file of the training, got one that has changed" in ended.err


def test_noise_ends_with_1_and_says_that_nothing_is_gained(tmp_path):
    made.noise(tmp_path / "noise.csv")
    ended = ostinato(
        tmp_path, "train", "noise.csv", "--text", "review", "--target", "label", "--updates", 40, "--test-share", 0.4,
        "--no-lens", *made.SMALL,
    )  # fmt: skip
    assert ended.status == 1
    assert "not certainly better" in ended.out or "use the baseline" in ended.out


def test_check_says_what_would_be_trained_and_trains_nothing(tmp_path):
    made.reviews(tmp_path / "reviews.csv", 40)
    ended = ostinato(tmp_path, "check", "reviews.csv", "--text", "review", "--target", "label")
    assert ended.status == 0 and ended.out.startswith("The task is classify: ")
    document = ostinato(tmp_path, "check", "reviews.csv", "--text", "review", "--target", "label", "--json").document
    assert document["task"] == "classify" and sum(document["rows"].values()) == 40
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
    made.write_table(tmp_path / "one.csv", ("text", "label"), [(f"word {k}", "same") for k in range(30)])
    assert ostinato(tmp_path, "check", "one.csv").status == 2


def test_compare_prints_one_table_with_the_baselines_first(tmp_path):
    made.reviews(tmp_path / "reviews.csv", 120)
    words = (
        "reviews.csv",
        "--text",
        "review",
        "--target",
        "label",
        "--updates",
        40,
        *made.SMALL,
        "--cells",
        "gru,elman",
    )
    ended = ostinato(tmp_path, "compare", *words, "--seeds", 2, "--quiet")
    assert ended.status == 0, ended.err
    names = [line.split("  ")[0] for line in ended.out.splitlines()[3:10]]
    assert names == ["majority", "naive Bayes", "each word alone", "bag of words", "window of 2 words", "gru", "elman"]
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
    assert list(ostinato(tmp_path, "compare", *words, "--quiet", "--json").document["cells"]) == ["gru", "elman"]


@pytest.mark.parametrize(
    "words, message",
    [
        (("train",), "ostinato train: DATA, --config or --resume must be given, one of the three, got none of them."),
        (("train", "absent.csv"), "absent.csv"),
        (("train", "reviews.csv", "--target", "labl"), "Did you mean 'label'?"),
        (("train", "reviews.csv", "--text", "review", "--target", "label", "--hidden", "0"), "hidden must be a whole"),
        (("evaluate", "absent"), "the model folder: the folder must be one that exists, got absent."),
        (("train", "reviews.csv", "--cell", "gruu", "--text", "review", "--target", "label"), "gru"),
    ],
)
def test_a_refusal_is_one_message_with_status_2_and_no_folder(tmp_path, words, message):
    made.reviews(tmp_path / "reviews.csv", 20)
    ended = ostinato(tmp_path, *words)
    assert (ended.status, ended.out) == (2, "") and message in ended.err and len(ended.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
    if words[0] == "train" and len(words) > 1:
        assert ended.err.strip() == ostinato(tmp_path, *words, "--json").document["error"]
