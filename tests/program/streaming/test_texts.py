"""`ostinato stream` of texts: nats of language models, classes of texts, tags."""

import csv
import io
import json
import math

import pytest

from program import made_files as made
from program.commands import ostinato
from program.streaming.lines import SMALL

LOG = "The value of the expression is a tuple.\nIt is <b>not</b> a list & no set.\n\nThe value\n"


def test_the_nats_of_the_lines_are_those_of_the_text(text):
    (text / "log.txt").write_text(LOG, encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(ostinato(text, "predict", "model", "log.txt").out))
    ended = ostinato(text, "stream", "model", typed=LOG)
    answers = [line.split("\t") for line in ended.out.splitlines()]
    assert ended.status == 0 and [a[3] for a in answers] == LOG.splitlines()
    nats, units = sum(float(a[1]) for a in answers), sum(int(a[2]) for a in answers)
    assert units == int(row["units"]) == len(LOG)
    assert f"{nats / units:.5f}" == f"{float(row['nats_per_unit']):.5f}"
    for bits, own, count, line in answers:
        assert int(count) == len(line) + 1
        assert float(bits) == pytest.approx(float(own) / math.log(2) / (len(line) + 1), abs=1e-6)


def test_the_first_line_has_the_figures_that_predict_gives_it(text):
    line = "The value of the expression"
    per_unit, units = ostinato(text, "predict", "model", "-", typed=line + "\n").out.split()
    _, nats, count, _ = ostinato(text, "stream", "model", typed=line).out.rstrip("\n").split("\t")
    assert count == units == str(len(line)) and float(nats) / int(count) == pytest.approx(float(per_unit), abs=1e-6)


def test_the_lines_of_each_id_are_a_text_of_their_own(text):
    alone = ostinato(text, "stream", "model", typed="The\n\nvalue\n").out.splitlines()
    ended = ostinato(text, "stream", "model", "--ids", typed="a\tThe\nb\tThe\na\t\nb\t\nb\tvalue\na\tvalue\na\t")
    first, last = alone[0], alone[2]
    assert ended.out.splitlines() == [f"{n}\t{a}" for n, a in zip("abab", [first, first, alone[1], alone[1]])] + [
        f"b\t{last}", f"a\t{last}",
    ]  # fmt: skip
    assert ended.err == "ostinato stream, line 7: a line must be a text, got an empty one at the end.\n"


def test_long_lines_and_reset_lines_have_the_same_figures(text, monkeypatch):
    whole = ostinato(text, "stream", "model", typed=LOG + "\n").out
    monkeypatch.setattr("ostinato.program.running.streaming.of_texts.STEPS", 7)
    assert ostinato(text, "stream", "model", typed=LOG + "\n").out == whole
    twice = ostinato(text, "stream", "model", "--reset-on", "--", typed="The\n--\nThe\nThe\n").out.splitlines()
    assert twice[0] == twice[1] != twice[2]


def test_the_most_probable_next_units_have_the_scores_of_the_network(text):
    ended = ostinato(text, "stream", "model", "--next", 3, "--json", typed="The val\nThe val\n")
    first, second = map(json.loads, ended.out.splitlines())
    assert len(first["next"]) == 3 and first["text"] == "The val"
    shares = [one["probability"] for one in first["next"]]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) < 1
    # The probability of the unit that follows is what its nats say.
    every = json.loads(ostinato(text, "stream", "model", "--next", 500, "--json", typed="The val\n").out)["next"]
    share = {one["unit"]: one["probability"] for one in every}
    after = [json.loads(a) for a in ostinato(text, "stream", "model", "--json", typed="The val\nT").out.splitlines()]
    assert share["T"] == pytest.approx(math.exp(-after[1]["nats"]), abs=2e-6)
    shown = ostinato(text, "stream", "model", "--next", 2, typed="The\n").out.split("\t")
    assert len(shown) == 5 and len(shown[3].split(" ")) >= 4
    ended = ostinato(text, "stream", "model", "--next", 0)
    assert ended.status == 2 and ended.err == "ostinato stream: --next must be a whole number of 1 or more, got 0.\n"


def test_the_state_of_a_text_goes_on_from_its_file(text):
    whole = ostinato(text, "stream", "model", typed=LOG).out
    parts = [ostinato(text, "stream", "model", "--state", "log.state", typed=part).out for part in LOG.splitlines(True)]
    assert "".join(parts) == whole


def test_texts_go_on_over_lines_and_numbers_and_tags_are_answered(tmp_path):
    made.reviews(tmp_path / "reviews.csv")
    words = ("--text", "review", "--target", "label", "--updates", 20)
    assert ostinato(tmp_path, "train", "reviews.csv", *words, *SMALL).status < 2
    ended = ostinato(tmp_path, "stream", "model", typed="the film was yes\nlong, no!\n \nplain\n")
    whole = ostinato(tmp_path, "predict", "model", "-", typed="the film was yes\nthe film was yes long, no!\nplain\n")
    assert ended.status == 0 and ended.out == whole.out


def test_tags_depend_on_the_words_of_earlier_lines(tmp_path):
    made.sentences(tmp_path / "words.txt")
    assert ostinato(tmp_path, "train", "words.txt", "--updates", 60, *SMALL).status < 2
    whole = ostinato(tmp_path, "predict", "model", "-", typed="play to run rest\n").out.split()
    assert whole == ["N", "P", "V", "N"]
    ended = ostinato(tmp_path, "stream", "model", typed="play to\nrun\nrest\n\nrun\n")
    assert ended.out.splitlines() == ["N P", "V", "N", "N"] and ended.status == 0
    (one,) = ostinato(tmp_path, "stream", "model", "--json", typed="play to\n").out.splitlines()
    found = json.loads(one)
    assert found["tokens"] == ["play", "to"] and found["tags"] == ["N", "P"] and len(found["probabilities"]) == 2
