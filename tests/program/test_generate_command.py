"""`ostinato generate` as a user types it: samples, one document, what is memorised, and every refusal."""

import csv
import io
import json
import shutil

import numpy as np
import pytest

from ostinato.errors import StorageError
from ostinato.program.running.listening import Listening
from program import made_files
from program.commands import ostinato
from program.tasks.made_items import letters

SMALL = (
    "--hidden", "24", "--embedding", "8", "--batch", "32", "--learning-rate", "0.03", "--dropout", "0", "--no-lens",
)  # fmt: skip
RULE = "letter,word\n"


def write_letters(path, count=400, heading=RULE):
    examples = letters(count)
    rows = [f"{given[0]},{text}\n" for given, text in zip(examples.inputs, examples.targets)]
    path.write_text(heading + "".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a file and a model of its items."""
    found = tmp_path_factory.mktemp("items")
    draw = letters(400)
    rows = [f"{given[0]},{text}{k % 89:02d}\n" for k, (given, text) in enumerate(zip(draw.inputs, draw.targets))]
    (found / "words.csv").write_text(RULE + "".join(rows), encoding="utf-8")
    ended = ostinato(
        found, "train", "words.csv", "--target", "word", "--given", "letter", "--updates", 250, *SMALL, "--out", "model"
    )
    assert ended.status == 0, ended.err
    return found


def test_the_task_is_said_and_the_table_has_baselines_and_the_network_without_its_condition(place):
    metrics = json.loads((place / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["metric"] == "nats_per_character" and not metrics["higher_is_better"]
    names = ["each unit alone", "n-grams of all items", "n-grams by letter", "network, not given the condition"]
    assert list(metrics["test"]["baselines"]) == names
    value = {name: found["value"] for name, found in metrics["test"]["baselines"].items()}
    own = metrics["test"]["model"]["value"]
    assert own < value["network, not given the condition"] < value["each unit alone"]
    assert "not given the condition" not in metrics["sentence"]
    assert set(metrics["details"]["by_class"]) == {"a", "b"}


def test_samples_are_printed_a_line_each_and_obey_the_condition(place):
    ended = ostinato(place, "generate", "model", "--given", "letter=a", "--count", 20, "--top-p", 0.9)
    lines = ended.out.splitlines()
    assert ended.status == 0 and len(lines) == 20
    assert all(set(line.rstrip("0123456789")) == {"a"} for line in lines)
    assert "of 20 samples are items of the training rows" in ended.err


def test_a_drawn_condition_is_said_on_stderr_and_the_same_seed_gives_the_same_text(place):
    words = ("generate", "model", "--count", 5, "--seed", 7)
    ended = ostinato(place, *words)
    assert len([line for line in ended.err.splitlines() if line.startswith("letter: ")]) == 5
    assert ostinato(place, *words).out == ended.out != ostinato(place, *words[:-1], 8).out


def test_json_is_one_document_with_texts_conditions_and_what_is_memorised(place):
    words = ("generate", "model", "--given", "letter=b", "--prompt", "bb", "--count", 3)
    ended = ostinato(place, *words, "--json")
    found = ended.document
    assert ended.err == "" and [s["text"] for s in found["samples"]] == ostinato(place, *words).out.splitlines()
    for sample in found["samples"]:
        assert sample["text"] == "bb" + sample["written"] and sample["given"] == {"letter": "b"}
    known = {line.split(",")[1] for line in (place / "words.csv").read_text().splitlines()[1:]}
    inside = sum(sample["text"] in known for sample in found["samples"])
    # Some of the known items are test rows, so not all of them are training rows.
    assert found["memorised"]["items_in_training"] <= inside
    assert found["memorised"]["run"] == "8 characters" and found["seed"] == 0


def test_a_prompt_is_read_from_standard_input(place):
    words = ("generate", "model", "--given", "letter=b", "--seed", 2)
    assert ostinato(place, *words, "--prompt", "-", typed="bb\n").out == ostinato(place, *words, "--prompt", "bb").out


def test_a_file_that_is_gone_or_has_changed_is_said_and_the_samples_are_written(place, tmp_path):
    for name in ("words.csv", "model"):
        (shutil.copytree if name == "model" else shutil.copy)(place / name, tmp_path / name)
    with (tmp_path / "words.csv").open("a") as file:
        file.write("a,aa77\n")
    ended = ostinato(tmp_path, "generate", "model")
    assert ended.status == 0 and len(ended.out.splitlines()) == 1
    assert "Samples are not compared with the training text: " in ended.err and "has changed" in ended.err
    (tmp_path / "words.csv").unlink()
    ended = ostinato(tmp_path, "generate", "model", "--json")
    assert ended.document["memorised"] is None
    said = "words.csv is not there any more, so samples are not compared with the training text."
    assert ended.document["said"] == said


def test_a_private_model_compares_with_the_file_as_it_is_and_its_folder_holds_no_item(tmp_path):
    write_letters(tmp_path / "words.csv")
    words = ("train", "words.csv", "--target", "word", "--given", "letter", "--updates", 20, "--private", *SMALL)
    ended = ostinato(tmp_path, *words, "--out", "model")
    assert ended.status == 1, ended.err  # one text is left to test: without an interval no gain is certain
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert not names & {"predictions.csv", "samples.jsonl"}
    assert "Written items" not in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
    ended = ostinato(tmp_path, "generate", "model", "--given", "letter=a")
    assert (
        "The folder keeps no hash of the training file, so the samples are compared with the file as it is now."
        in ended.err
    )


def test_a_text_is_written_at_each_evaluation_and_kept(place):
    lines = [json.loads(line) for line in (place / "model" / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    history = [json.loads(line) for line in (place / "model" / "history.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [line["update"] for line in history][1:]
    assert set(lines[-1]["text"].rstrip("0123456789")) == {lines[-1]["given"]["letter"]}


def test_texts_on_the_way_are_shown_unless_quiet_and_change_no_bit_of_the_weights(tmp_path, monkeypatch):
    write_letters(tmp_path / "words.csv", 200)
    words = ("train", "words.csv", "--target", "word", "--given", "letter", "--updates", 30, *SMALL, "--no-baselines")
    shown = ostinato(tmp_path, *words, "--dropout", "0.3", "--out", "one", "--json")
    assert "\nwritten (letter: " in shown.err
    quiet = ostinato(tmp_path, *words, "--dropout", "0.3", "--out", "two", "--json", "--quiet")
    assert quiet.err == ""
    monkeypatch.setattr("ostinato.program.running.train.samples_of", lambda *_: None)
    without = ostinato(tmp_path, *words, "--dropout", "0.3", "--out", "three", "--json")
    assert "written" not in without.err and not (tmp_path / "three" / "samples.jsonl").exists()
    hashes = {ended.document["weights_sha256"] for ended in (shown, quiet, without)}
    assert len(hashes) == 1


def test_a_text_on_the_way_is_written_from_the_numbers_of_a_validation_row(tmp_path):
    examples = letters(200, kind="features")
    np.savez(tmp_path / "signs.npz", features=np.array(examples.inputs), word=np.array(examples.targets))
    words = ("train", "signs.npz", "--given", "features", "--target", "word", "--updates", 20, *SMALL)
    ended = ostinato(tmp_path, *words, "--no-baselines", "--out", "model")
    assert ended.status == 0, ended.err
    assert "\nwritten (1, 7): " in ended.err or "\nwritten (-1, 7): " in ended.err
    lines = [json.loads(line) for line in (tmp_path / "model" / "samples.jsonl").read_text("utf-8").splitlines()]
    assert all(set(line["given"]) == {"channel_1", "channel_2"} and line["given"]["channel_2"] == 7 for line in lines)


def test_samples_that_cannot_be_kept_are_said_and_end_no_training(tmp_path, monkeypatch):
    write_letters(tmp_path / "words.csv", 200)

    def full(path, content, where):
        raise StorageError(f"{where}: the file must be writable, got {path.name} (no space).")

    monkeypatch.setattr("ostinato.program.running.training_samples.write_bytes", full)
    words = ("train", "words.csv", "--target", "word", "--given", "letter", "--updates", 20, *SMALL, "--no-baselines")
    ended = ostinato(tmp_path, *words, "--out", "model")
    assert ended.status == 0, ended.err
    said = "Samples are not kept any more: train: the file must be writable, got samples.jsonl (no space)."
    assert ended.err.count(said) == 1


def test_the_page_shows_written_items_beside_test_rows(place):
    page = (place / "model" / "report.html").read_text(encoding="utf-8")
    assert "Written items beside test rows" in page and "letter: a" in page
    assert "items that the network wrote" in page


def test_predict_gives_nats_of_rows_with_a_target_and_an_item_for_others(place, tmp_path):
    of_training = (place / "model" / "predictions.csv").read_text(encoding="utf-8")
    assert of_training.splitlines()[0] == "id,letter,word,units,nats,nats_per_unit"
    assert ostinato(place, "predict", "model").out == of_training
    whole = ostinato(place, "predict", "model", "words.csv").out.splitlines()
    assert set(of_training.splitlines()) <= set(whole) and len(whole) == 401
    (tmp_path / "new.csv").write_text("letter\na\nb\n", encoding="utf-8")
    lines = ostinato(place, "predict", "model", tmp_path / "new.csv").out.splitlines()
    assert lines[0] == "id,letter,written" and [line.split(",")[2][0] for line in lines[1:]] == ["a", "b"]
    answers = ostinato(place, "predict", "model", "-", typed="a\nc\nb\n")
    first, refused, last = answers.out.splitlines()
    assert (first[0], last[0], answers.status) == ("a", "b", 2)
    message = "ostinato predict, line 2: --given letter must be a value of the training rows, a, b, got 'c'."
    assert refused == message


def test_evaluate_gives_the_metrics_of_the_training_and_how_many_items_are_written_exactly(place):
    ended = ostinato(place, "evaluate", "model", "--json")
    expected = json.loads((place / "model" / "metrics.json").read_text(encoding="utf-8"))["all"]["model"]
    found = ended.document["metrics"]
    exact = found.pop("exact_match")
    assert {n: m["value"] for n, m in found.items()} == {n: m["value"] for n, m in expected.items()}
    assert exact["n"] == found["bits_per_character"]["n"] and 0 <= exact["low"] <= exact["value"] <= exact["high"] <= 1
    assert "bits per character" in ostinato(place, "evaluate", "model").out


def test_items_of_a_table_without_columns_to_give_are_generated(tmp_path):
    (tmp_path / "words.csv").write_text("word\n" + "".join(f"ab{k % 50}\n" for k in range(200)), encoding="utf-8")
    words = ("train", "words.csv", "--target", "word", "--task", "generate", "--updates", 60, *SMALL, "--out", "model")
    ended = ostinato(tmp_path, *words)
    assert ended.status in (0, 1), ended.err
    assert ended.err.startswith("The task is generate: word is a text to generate.")
    ended = ostinato(tmp_path, "generate", "model", "--count", 3)
    assert all(line.startswith("a") for line in ended.out.splitlines())
    answer = ostinato(tmp_path, "predict", "model", "-", typed="ab7\nba\n").out.splitlines()
    nats, units = zip(*(line.split("\t") for line in answer))
    assert float(nats[0]) < float(nats[1]) and units == ("4", "3")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    found = tmp_path_factory.mktemp("classes")
    made_files.reviews(found / "reviews.csv", 60)
    words = ("reviews.csv", "--text", "review", "--target", "label", "--updates", 3, "--no-lens", "--no-baselines")
    ostinato(found, "train", *words, "--out", "model")
    return found


def test_a_model_of_another_task_is_refused(classifier):
    ended = ostinato(classifier, "generate", "model")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "ostinato generate: MODEL must be of the task language-model or generate, got one of classify. Give a folder "
        "that was trained on a text, or with --given; `ostinato predict` is for the others.\n"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (("--count", 0), "ostinato generate: --count must be a whole number of 1 or more, got 0."),
        (
            ("--given", "letter"),
            "ostinato generate: --given must be COLUMN=VALUE, got 'letter'. Write --given language=Russian, say, once "
            "for each column.",
        ),
        (
            ("--given", "letter=a", "--given", "letter=b"),
            "ostinato generate: --given must be COLUMN=VALUE, got letter twice. Write --given language=Russian, say, "
            "once for each column.",
        ),
        (
            ("--given", "letter=q"),
            "ostinato generate: --given letter must be a value of the training rows, a, b, got 'q'.",
        ),
        (
            ("--given", "lettr=a"),
            "ostinato generate: --given must be a column of the training, letter, got 'lettr'. Did you mean 'letter'?",
        ),
        (("--temperature", -1), "ostinato generate: --temperature must be a number of 0 or more, got -1.0."),
        (("--prompt", "é"), "ostinato generate: --prompt must be of characters that the training texts have, got 'é'"),
    ],
)
def test_what_cannot_be_written_is_refused_with_one_message_and_no_text(place, words, message):
    ended = ostinato(place, "generate", "model", *words)
    assert (ended.status, ended.out) == (2, "") and ended.err.startswith(message), ended.err
    document = ostinato(place, "generate", "model", *words, "--json").document
    assert document["error"] == ended.err.strip() and document["status"] == 2


def test_a_training_that_broke_off_goes_on_to_the_same_bits_and_the_same_texts(tmp_path, monkeypatch):
    write_letters(tmp_path / "words.csv", 200)
    words = ("train", "words.csv", "--target", "word", "--given", "letter", "--updates", 40, *SMALL, "--no-baselines")
    whole = ostinato(tmp_path, *words, "--out", "whole", "--json", "--quiet").document

    def broken(self, update):
        if update == 27:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(Listening, "updated", broken)
        ostinato(tmp_path, *words, "--out", "broken", "--quiet")
    # A kill after the sample and before the state leaves a line that the state does not know.
    with (tmp_path / "broken" / "samples.jsonl").open("a") as file:
        file.write('{"update": 28, "given": {}, "text": "lost"}\n')
    again = ostinato(tmp_path, "train", "--resume", "broken", "--json", "--quiet").document
    assert again["weights_sha256"] == whole["weights_sha256"]
    texts = [(tmp_path / name / "samples.jsonl").read_text(encoding="utf-8") for name in ("whole", "broken")]
    assert texts[0] == texts[1] and "lost" not in texts[1]
    folders = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "broken")]
    assert folders[0]["test"] == folders[1]["test"]


def test_a_language_model_goes_on_with_a_prompt_and_says_what_it_remembers(tmp_path):
    (tmp_path / "cats.txt").write_text("abcdefg hij. " * 200 + "\n", encoding="utf-8")
    words = ("train", "cats.txt", "--updates", 120, "--layers", 1, "--k1", 32, *SMALL, "--batch", 8, "--no-baselines")
    ended = ostinato(tmp_path, *words, "--out", "model")
    assert ended.status == 0, ended.err
    assert "\nwritten: '" in ended.err and (tmp_path / "model" / "samples.jsonl").exists()
    words = ("generate", "model", "--prompt", "abc", "--temperature", 0, "--length", 30)
    ended = ostinato(tmp_path, *words, "--count", 2)
    text = ("abcdefg hij. " * 3)[:33]
    assert ended.out == f"{text}\n\n{text}\n"
    assert ended.err == "52 of 52 runs of 8 characters (100 %) are in the training text.\n"
    stopped = ostinato(tmp_path, *words, "--stop", "ij")
    assert stopped.out == "abcdefg h\n"
    refused = ostinato(tmp_path, *words, "--given", "a=b")
    assert refused.status == 2 and "--given must be left out for a language model, got a." in refused.err


def test_a_list_of_short_lines_is_a_model_of_items(tmp_path):
    lines = [f"{'ab' * (1 + k % 3)}{k}" for k in range(200)]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ("train", "lines.txt", "--updates", 60, *SMALL, "--out", "model")
    ended = ostinato(tmp_path, *words)
    assert ended.err.startswith("The task is generate: lines.txt is a list of items")
    texts = ostinato(tmp_path, "generate", "model", "--count", 5).out.splitlines()
    assert len(texts) == 5 and all(text.startswith("a") for text in texts)
    (tmp_path / "two.txt").write_text("abab3\nbbbb\n", encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(ostinato(tmp_path, "predict", "model", "two.txt").out)))
    assert [row["line"] for row in rows] == ["abab3", "bbbb"] and list(rows[0])[2:] == [
        "units",
        "nats",
        "nats_per_unit",
    ]
    assert float(rows[0]["nats"]) < float(rows[1]["nats"])
