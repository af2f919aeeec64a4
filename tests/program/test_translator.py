"""`Translator`, and a translation from files to answers by the commands."""

import io
import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import ostinato
from ostinato.apps.cli import main
from ostinato.errors import InputError
from ostinato.program.running.beam import with_beam
from ostinato.program.running.model import open_model
from ostinato.program.running.predict import predict_lines, predict_table
from program.tasks.made_pairs import strings

SMALL = {"hidden": 24, "embedding": 12, "updates": 40, "dropout": 0.0, "learning_rate": 0.02, "seed": 1}

ROWS = [(f"text {k} {'ab'[k % 2]}", "xy"[k % 2]) for k in range(40)]


def pairs(count=300):
    texts = strings(count, letters="abcd", longest=4)
    return texts, [text.upper() for text in texts]


@pytest.fixture(scope="module")
def fitted():
    return ostinato.Translator(**SMALL | {"updates": 150}).fit(*pairs())


def test_it_translates_and_is_judged_by_chrf(fitted):
    sources, targets = pairs()
    said = fitted.predict(sources[:50])
    assert isinstance(said, list) and np.mean([a == b for a, b in zip(said, targets)]) > 0.9
    assert 80 < fitted.score(sources[:50], targets[:50]) <= 100
    assert fitted.score(sources[:50], said) == 100
    assert fitted.history_[-1].metric > 80


def test_a_beam_can_be_chosen_for_a_call_and_the_model_keeps_its_own(fitted):
    assert fitted.predict(["abc"], beam=1) and fitted.network_.beam == 5
    with pytest.raises(InputError) as error:
        fitted.predict(["abc"], beam=0)
    assert str(error.value) == (
        "Translator: beam must be a whole number from 1 to 1,000, got 0. 1 follows the most probable unit each time."
    )


@pytest.mark.parametrize("y", [["c"], ["c", "d", "e"]])
def test_a_score_of_texts_and_translations_of_unequal_numbers_is_refused(fitted, y):
    with pytest.raises(InputError) as error:
        fitted.score(["a", "b"], y)
    assert str(error.value) == (
        f"Translator: y must be of 2 texts, as X, got {len(y)}. Pass one translation for each text."
    )


@pytest.mark.parametrize("lengths", [{"mean": 1e9}, {"per_unit": -1.0}, {"per_unit": float("nan")}])
def test_a_folder_with_mean_lengths_that_no_texts_have_is_refused(fitted, lengths):
    files = dict(fitted.task_.to_json())
    files["lengths.json"] = {**files["lengths.json"], **lengths}
    with pytest.raises(ValueError, match=r"^mean lengths of .+ and .+ units$"):
        type(fitted.task_).from_json(files)


def test_it_follows_the_contract_of_scikit_learn():
    estimator = ostinato.Translator(**SMALL)
    assert clone(estimator).get_params() == estimator.get_params()
    assert estimator.set_params(attention="none").attention == "none"
    scores = cross_val_score(ostinato.Translator(**SMALL), *pairs(90), cv=2)
    assert scores.shape == (2,) and all(0 <= score <= 100 for score in scores)


def test_a_saved_model_says_the_same(fitted, tmp_path):
    again = ostinato.load(fitted.save(tmp_path / "model"))
    assert isinstance(again, ostinato.Translator)
    texts = pairs()[0][:20]
    assert again.predict(texts) == fitted.predict(texts)
    assert (again.attention, again.hidden, again.beam) == ("additive", 24, 5)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (["a", 1], ["b", "c"], "X must be a list of texts, got int at place 1. Pass [text, text, …]."),
        ([], [], "X must be a list of texts, got none. Pass [text, text, …]."),
        (["a"], [None], "y must be a list of texts, got NoneType at place 0. Pass [text, text, …]."),
        (["a", "b"], ["c"], "y must be of 2 texts, as X, got 1. Pass one translation for each text."),
        (
            ["a", " "],
            [" ", "c"],
            "X and y must be at least one pair with a text on both sides, got none. Pass texts and their translations.",
        ),
    ],
)
def test_other_values_are_refused_with_their_place(X, y, message):
    with pytest.raises(InputError) as error:
        ostinato.Translator().fit(X, y)
    assert str(error.value) == f"Translator: {message}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pairs")
    sources, targets = pairs()
    rows = [*zip(sources, targets), *((source, "other") for source in sources[:30])]
    (place / "pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), "utf-8")
    options = {"columns": ("en", "fr"), "text": "en", "target": "fr", "updates": 60, "hidden": 16, "lens": False}
    return ostinato.train(place / "pairs.tsv", out=place / "model", beam=2, **options).folder_


def test_a_file_of_pairs_becomes_a_folder_with_its_own_files(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["task"] == "translate" and config["options"]["network"]["beam"] == 2
    assert {"vocabulary.json", "source_vocabulary.json", "lengths.json", "report.html"} <= {
        f.name for f in folder.iterdir()
    }
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    assert metrics["metric"] == "chrf" and "copy of the source" in metrics["test"]["baselines"]
    assert any("characters" in note for note in config["notes"])


def test_rows_of_one_source_are_in_one_part(folder):
    split = json.loads((folder / "split.json").read_text("utf-8"))
    parts = [set(hashes) for hashes in split["sha256"].values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_lines_are_translated_one_by_one(folder):
    answers = io.StringIO()
    assert predict_lines(folder, io.StringIO("abc\nd\n\n"), answers) == 0
    assert len(answers.getvalue().split("\n")) == 4
    one = io.StringIO()
    assert predict_lines(folder, io.StringIO("abc\n"), one, beam=1) == 0 and one.getvalue().endswith("\n")


def test_a_table_has_a_translation_of_every_row(folder, tmp_path):
    (tmp_path / "new.tsv").write_text("abc\tx\nd\ty\n", "utf-8")
    lines = predict_table(folder, tmp_path / "new.tsv", beam=1).splitlines()
    assert len(lines) == 3
    assert len(predict_table(folder).splitlines()) > 20


def test_a_beam_below_one_and_one_of_another_task_are_refused(folder, tmp_path, capsys):
    with pytest.raises(InputError) as error:
        predict_table(folder, beam=1001)
    assert str(error.value).startswith("ostinato predict: --beam must be a whole number from 1 to 1,000, got 1001.")
    with pytest.raises(InputError) as error:
        predict_table(folder, beam=0)
    assert str(error.value) == (
        "ostinato predict: --beam must be a whole number from 1 to 1,000, got 0. 1 follows the most probable unit "
        "each time."
    )
    model = ostinato.SequenceClassifier(hidden=4, updates=1).fit(*map(list, zip(*ROWS))).save(tmp_path / "c")
    with pytest.raises(InputError) as error:
        predict_table(model, beam=3)
    assert str(error.value) == (
        "ostinato predict: --beam must be left out, as the task is classify, got it. It belongs to the task "
        "translate or transcribe."
    )


def test_a_model_without_another_beam_keeps_its_own(folder):
    assert with_beam(open_model(folder), None, "here").network.beam == 2
    assert with_beam(open_model(folder), 3, "here").network.beam == 3


def test_evaluate_says_the_metrics_by_length(folder, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ostinato", "evaluate", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "chrF" in capsys.readouterr().out
