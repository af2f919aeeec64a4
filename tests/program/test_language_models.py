"""Language models from text files to a folder and back, by the commands that a user types."""

import csv
import io
import json
import math

import numpy as np
import pytest

from ostinato.apps.reading import language_reference
from program.commands import ostinato

SMALL = ("--hidden", 12, "--layers", 1, "--embedding", 8, "--batch", 4, "--k1", 16, "--updates", 30, "--quiet")
LATER = "The value of the expression is a tuple.\nIt is <b>not</b> a list & no set.\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("texts")
    text = language_reference()
    (place / "a.txt").write_text(text[:14_000], encoding="utf-8")
    (place / "b.txt").write_text(text[14_000:20_000], encoding="utf-8")
    (place / "later.txt").write_text(LATER, encoding="utf-8")
    ended = ostinato(place, "train", "a.txt", "b.txt", *SMALL, "--no-lens", "--out", "model", "--json")
    return place, ended.document, text


def test_the_folder_says_what_was_trained_and_how_well(trained):
    place, document, text = trained
    assert document["task"] == "language-model" and document["status"] in (0, 1)
    metrics = json.loads((place / "model/metrics.json").read_text())
    assert metrics["metric"] == "nats_per_character" and not metrics["higher_is_better"]
    assert list(metrics["test"]["baselines"]) == ["unigram", "n-gram", "window of 8 units"]
    nats = metrics["all"]["model"]["nats_per_character"]["value"]
    assert metrics["all"]["model"]["perplexity_per_character"]["value"] == pytest.approx(math.exp(nats))
    assert metrics["details"]["characters"] == metrics["details"]["units"]
    assert abs(metrics["details"]["characters"] - 2000) < 600
    assert "2 files are documents of their own: no state crosses their 1 joint." in document["notes"]
    config = json.loads((place / "model/config.json").read_text())
    assert config["options"]["network"]["both_directions"] is False and config["options"]["fit"]["k1"] == 16


def test_the_figures_are_those_of_the_table_of_predictions(trained):
    place, _, text = trained
    rows = list(csv.DictReader(io.StringIO((place / "model/predictions.csv").read_text())))
    metrics = json.loads((place / "model/metrics.json").read_text())
    units = np.array([int(row["units"]) for row in rows])
    nats = np.array([float(row["nats_per_unit"]) for row in rows])
    value = metrics["all"]["model"]["nats_per_character"]["value"]
    assert (units * nats).sum() / units.sum() == pytest.approx(value, rel=1e-5)
    assert rows[0]["id"].startswith("b.txt:") and rows[0]["text"].endswith("…")


def test_evaluate_repeats_the_figures_and_adds_the_places(trained):
    place, document, _ = trained
    found = ostinato(place, "evaluate", "model", "--json").document
    value = document["metrics"]["all"]["model"]["nats_per_character"]["value"]
    assert found["metrics"]["nats_per_character"]["value"] == pytest.approx(value, rel=1e-5)
    assert found["by_length"] == [] and "0 to 9" in found["details"]["by_position"]
    text = ostinato(place, "evaluate", "model").out
    assert "units of a passage" in text and "(e to the nats)" in text


def test_another_file_and_lines_are_answered(trained):
    place, _, _ = trained
    table = list(csv.DictReader(io.StringIO(ostinato(place, "predict", "model", "later.txt").out)))
    assert len(table) == 1 and int(table[0]["characters"]) == len(LATER) and table[0]["id"] == "later.txt:1"
    ended = ostinato(place, "predict", "model", "-", typed="The value\n\nis\n")
    first, empty, last = ended.out.splitlines()
    assert first.split("\t")[1] == "9" and 0 < float(first.split("\t")[0]) < 10 and last.endswith("\t2")
    assert empty == "ostinato predict, line 2: a line must be a text, got an empty line." and ended.status == 2


def test_the_page_shades_the_most_surprising_passages_and_escapes_them(trained):
    place, _, _ = trained
    ostinato(place, "train", "a.txt", "--test", "later.txt", *SMALL, "--no-lens", "--no-baselines", "--out", "shaded")
    page = (place / "shaded/report.html").read_text()
    assert "The most surprising passages" in page and "color-mix(in srgb, var(--mark)" in page
    assert "<b>" not in page and "&lt;" in page
    more = ("--private", "--no-lens", "--no-baselines", "--out", "hidden")
    ostinato(place, "train", "a.txt", "--test", "later.txt", *SMALL, *more)
    assert "The most surprising passages" not in (place / "hidden/report.html").read_text()
    assert not (place / "hidden/predictions.csv").exists()


@pytest.mark.parametrize("unit", ["word", "bpe:300"])
def test_other_units_are_trained_and_kept(trained, unit):
    place, _, _ = trained
    name = unit.partition(":")[0]
    ended = ostinato(place, "train", "a.txt", *SMALL, "--unit", unit, "--no-lens", "--no-baselines", "--out", name)
    assert ended.status in (0, 1)
    files = {path.name for path in (place / name).iterdir()}
    assert ("tokenizer.json" in files) == (unit != "word") and ("vocabulary.json" in files) == (unit == "word")
    answer = ostinato(place, "predict", name, "-", typed="the value of the expression\n").out
    assert int(answer.split("\t")[1]) >= 4


@pytest.mark.slow
def test_a_repeated_run_has_the_same_weights(trained):
    place, document, _ = trained
    again = ostinato(place, "train", "--config", "model/config.json", "--out", "again", "--json", "--quiet").document
    assert again["weights_sha256"] == document["weights_sha256"]


def test_both_directions_are_refused(trained):
    place, _, _ = trained
    ended = ostinato(place, "train", "a.txt", *SMALL, "--no-baselines", "--both-directions")
    assert ended.status == 2 and "language model: both_directions must be False, got True." in ended.err
