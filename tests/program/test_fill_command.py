"""Gaps of a text from files to a folder and back, by the commands that a user types and by the estimator."""

import csv
import io
import json
import math

import numpy as np
import pytest

import ostinato
from ostinato.errors import InputError
from ostinato.program.running.fill import line_of, shown_unit
from program.commands import ostinato as command

pytestmark = pytest.mark.slow

SMALL = ("--hidden", 32, "--embedding", 16, "--batch", 16, "--quiet", "--no-lens")
NOUNS = {"cat": "mat", "dog": "rug", "cow": "hay", "hen": "egg"}


def book(count):
    """Sentences in which the animal follows from the thing that comes after it."""
    drawn = np.random.default_rng(0).integers(0, 4, count)
    animals = [list(NOUNS)[k] for k in drawn]
    return "".join(f"the {animal} has a {NOUNS[animal]}, as said.\n" for animal in animals)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("gaps")
    (place / "book.txt").write_text(book(2_000), encoding="utf-8")
    (place / "later.txt").write_text("the cat has a mat.\n", encoding="utf-8")
    more = ("--updates", 250, "--patience", 100, "--learning-rate", 0.01, "--out", "model", "--json")
    return place, command(place, "train", "book.txt", "--task", "fill", *SMALL, *more).document


def test_the_folder_says_what_was_trained_and_how_well(trained):
    place, document = trained
    assert (document["task"], document["status"]) == ("fill", 0)
    metrics = json.loads((place / "model/metrics.json").read_text())
    assert metrics["metric"] == "nats_per_missing_word" and not metrics["higher_is_better"]
    assert list(metrics["test"]["baselines"]) == ["unigram", "n-gram from the left", "n-grams from both sides"]
    found = metrics["all"]["model"]
    # A sentence has ten units and a line break; two of them follow from each other alone, the rest from their places.
    assert found["nats_per_missing_word"]["value"] < 0.05 and found["accuracy"]["value"] > 0.99
    left = metrics["all"]["baselines"]["n-gram from the left"]
    assert left["nats_per_missing_word"]["value"] == pytest.approx(math.log(4) / 10, rel=0.15)
    rows = list(csv.DictReader(io.StringIO((place / "model/predictions.csv").read_text())))
    units, nats = (np.array([float(row[name]) for row in rows]) for name in ("units", "nats_per_unit"))
    assert (units * nats).sum() / units.sum() == pytest.approx(found["nats_per_missing_word"]["value"], rel=1e-2)
    again = command(place, "evaluate", "model", "--json").document["metrics"]["nats_per_missing_word"]["value"]
    assert again == pytest.approx(found["nats_per_missing_word"]["value"], rel=1e-5)
    assert "The most surprising passages" in (place / "model/report.html").read_text()


def test_a_gap_is_filled_from_what_comes_after_it(trained):
    place, _ = trained
    for animal, thing in NOUNS.items():
        ended = command(place, "predict", "model", "--fill", f"the ___ has a {thing}, as said.")
        lines = [line.split("\t") for line in ended.out.splitlines()]
        assert ended.status == 0 and len(lines) == 5 and lines[0][0] == animal and float(lines[0][1]) > 0.6
        assert [float(p) for _, p in lines] == sorted((float(p) for _, p in lines), reverse=True)
    # Both gaps unknown: the four pairs are left, and the words around them are as certain as before.
    two = command(place, "predict", "model", "--fill", "the ___ has a ____, as ___.", "--count", 4, "--json").document
    assert two["text"] == "the ___ has a ____, as ___." and two["unknown_units"] == 0
    assert [{choice["unit"] for choice in gap} for gap in two["gaps"][:2]] == [set(NOUNS), set(NOUNS.values())]
    assert two["gaps"][2][0]["unit"] == "said" and sum(choice["probability"] for choice in two["gaps"][0]) < 1 + 1e-9


def test_a_space_before_a_gap_is_that_of_the_missing_word(trained):
    place, _ = trained
    found = command(place, "predict", "model", "--fill", "the cat has a mat___ as said.\n", "--count", 1)
    assert found.out.split("\t")[0] == ","
    noted = command(place, "predict", "model", "--fill", "my ___ has a mat, as said.", "--count", 1)
    assert noted.err == "1 unit of the text is not in the vocabulary and read as unknown.\n"


@pytest.mark.parametrize("words", [("-",), ("--fill", "-")])
def test_lines_are_answered_one_by_one(trained, words):
    place, _ = trained
    typed = "the ___ has a rug, as said.\nno gap\nthe ___ has a ___, as said.\n"
    ended = command(place, "predict", "model", *words, typed=typed)
    first, wrong, last = ended.out.splitlines()
    assert first.startswith("dog 0.") and first.count("\t") == 4 and last.count("\t\t") == 1
    assert wrong == (
        "ostinato predict, line 2: the text must be one with ___ where a unit is missing, got 'no gap'. Write --fill "
        '"the ___ was cold", say.'
    )
    assert ended.status == 2


def test_another_file_gives_the_table_of_its_passages(trained):
    place, _ = trained
    table = list(csv.DictReader(io.StringIO(command(place, "predict", "model", "later.txt").out)))
    assert len(table) == 1 and table[0]["units"] == "7" and table[0]["id"] == "later.txt:1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--json",), '--json must be beside --fill, got no --fill. Add --fill "the ___ was cold", say.'),
        (("--count", 3, "--json"), '--count and --json must be beside --fill, got no --fill. Add --fill "the ___'),
        (("later.txt", "--fill", "a ___"), "--fill TEXT must be alone, got DATA beside it."),
        (("--fill", "-", "--json"), "--fill - must be alone, got --json beside it."),
        (("--fill", "a ___", "--out", "x.csv"), "--fill TEXT must be alone, got --out beside it."),
        (("--fill", "a ___", "--count", 0), "--count must be a whole number of 1 or more, got 0."),
        (("--fill", "nothing"), "the text must be one with ___ where a unit is missing, got 'nothing'. Write --fill"),
    ],
)
def test_what_cannot_be_filled_is_refused(trained, words, message):
    place, _ = trained
    ended = command(place, "predict", "model", *words)
    said = ended.document["error"] if "--json" in words else ended.err
    assert ended.status == 2 and f"ostinato predict: {message}" in said.replace("\n", " ")


def test_a_model_of_another_task_fills_nothing(trained):
    place, _ = trained
    command(place, "train", "book.txt", *SMALL, "--updates", 2, "--no-baselines", "--out", "other")
    ended = command(place, "predict", "other", "--fill", "a ___")
    assert ended.status == 2 and (
        "MODEL must be of the task fill where --fill is given, got language-model. Train one with --task fill; "
        "`ostinato predict` without --fill is for the others."
    ) in " ".join(ended.err.split())
    assert command(place, "predict", "other", "--fill", "-", typed="a ___\n").status == 2
    assert command(place, "generate", "model").status == 2


def test_threads_and_a_repeated_run_change_no_weight(trained):
    place, document = trained
    again = command(place, "train", "--config", "model/config.json", "--out", "again", "--json", "--quiet").document
    assert again["weights_sha256"] == document["weights_sha256"]
    hashes = set()
    for threads in (1, 2):
        more = ("--updates", 12, "--threads", threads, "--no-baselines", "--out", f"on{threads}", "--json")
        hashes.add(command(place, "train", "book.txt", "--task", "fill", *SMALL, *more).document["weights_sha256"])
    assert len(hashes) == 1


@pytest.fixture(scope="module")
def filler():
    options = {"hidden": 32, "embedding": 16, "batch": 16, "learning_rate": 0.01, "patience": 100}
    return ostinato.TextFiller(**options, updates=250).fit(book(2_000))


def test_the_estimator_fills_gaps_and_is_saved_as_a_folder(filler, tmp_path):
    (gap,) = filler.fill("the ___ has a hay, as said.", count=2)
    assert gap[0][0] == "cow" and gap[0][1] > 0.6 and len(gap) == 2
    assert filler.train_options_.network.unit == "word" and filler.train_options_.network.both_directions
    text = book(100)
    assert filler.predict([text, text]).tolist() == pytest.approx([-filler.score(text)] * 2, rel=1e-6)
    assert filler.score(text) > -0.1 > filler.score("hay a has. cow the\n")
    again = ostinato.load(filler.save(tmp_path / "filler"))
    assert isinstance(again, ostinato.TextFiller)
    assert again.fill("the ___ has a hay, as said.", count=2) == [gap]


def test_the_estimator_refuses_what_is_no_text_or_has_no_gap(filler):
    with pytest.raises(InputError) as refused:
        filler.fit(["a", 3])
    assert str(refused.value) == ("TextFiller: X must be a list of texts, got int at place 1. Pass [text, text, …].")
    with pytest.raises(InputError) as refused:
        filler.fill("a ___", count=0)
    assert str(refused.value) == "TextFiller: count must be a whole number of 1 or more, got 0."


def test_units_that_cannot_be_seen_are_printed_in_quotation_marks(filler):
    assert [shown_unit(text) for text in ("cat", "\n", " ", "")] == ["cat", "'\\n'", "' '", "''"]
    characters = ostinato.TextFiller(unit="char", hidden=8, updates=2).fit(book(200))
    (gap,) = characters.fill("the c___t", count=100)
    assert sum(share for _, share in gap) == pytest.approx(1, abs=0.2) and "a" in {unit for unit, _ in gap}
    assert line_of(type("F", (), {"gaps": [[("\n", 0.5)], [("b", 0.25)]]})) == "'\\n' 0.5000\t\tb 0.2500"
