"""Spans and the metrics of tags, against nervaluate, scikit-learn and known answers."""

import numpy as np
import pytest
from nervaluate.evaluator import Evaluator
from sklearn.metrics import accuracy_score, f1_score

from ostinato.program.tasks.spans import are_spans, spans_of
from ostinato.program.tasks.tag_metrics import details_of_tags, tally_of_tags


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-X I-X O B-Y", {("X", 0, 1), ("Y", 3, 3)}),
        ("B-X B-X I-X", {("X", 0, 0), ("X", 1, 2)}),
        ("I-X I-Y O I-Y", {("X", 0, 0), ("Y", 1, 1), ("Y", 3, 3)}),
        ("B-X I-X E-X S-Y S-Y", {("X", 0, 2), ("Y", 3, 3), ("Y", 4, 4)}),
        ("B-X E-X I-X", {("X", 0, 1), ("X", 2, 2)}),
        ("O E-X O", {("X", 1, 1)}),
        ("", set()),
    ],
)
def test_spans_have_known_ends(tags, expected):
    assert spans_of(tags.split()) == expected


def test_tags_name_spans_only_where_all_do_and_one_begins():
    assert are_spans(["O", "B-PER", "I-PER"]) and are_spans(["S-X", "O"])
    assert not are_spans(["NOUN", "B-X"]) and not are_spans(["O"]) and not are_spans(["I-X", "O"])


def drawn(n=80, seed=0):
    draw = np.random.default_rng(seed)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    truth = [[str(t) for t in draw.choice(tags, draw.integers(1, 9))] for _ in range(n)]
    said = [[t if draw.random() < 0.7 else str(draw.choice(tags)) for t in row] for row in truth]
    return truth, said


def test_span_f1_is_the_strict_f1_of_nervaluate():
    truth, said = drawn()
    words = [["w"] * len(row) for row in truth]
    tally = tally_of_tags(truth, said, words, {"w"}, True, None)
    found = Evaluator(truth, said, tags=["PER", "LOC"], loader="list").evaluate()
    assert tally.value("span_f1") == pytest.approx(found["overall"]["strict"].f1, abs=1e-12)
    by_span = details_of_tags(truth, said, [], True)["by_span"]
    for kind in ("PER", "LOC"):
        strict = found["entities"][kind]["strict"]
        assert by_span[kind]["precision"] == pytest.approx(strict.precision)
        assert by_span[kind]["recall"] == pytest.approx(strict.recall)


def test_tokens_are_counted_as_scikit_learn_does_and_known_words_apart():
    truth, said = drawn()
    words = [[f"w{k % 3}" for k, _ in enumerate(row)] for row in truth]
    tally = tally_of_tags(truth, said, words, {"w0", "w1"}, False, None)
    flat = [[t for row in rows for t in row] for rows in (truth, said, words)]
    assert tally.value("tag_accuracy") == pytest.approx(accuracy_score(*flat[:2]))
    for known, name in ((True, "known_accuracy"), (False, "unknown_accuracy")):
        rows = [(t, p) for t, p, w in zip(*flat) if (w != "w2") is known]
        assert tally.value(name) == pytest.approx(np.mean([t == p for t, p in rows]))
    found = details_of_tags(truth, said, [], False)["by_class"]
    assert found["O"]["f1"] == pytest.approx(f1_score(*flat[:2], labels=["O"], average="macro"))


def test_sentences_are_the_units_and_not_tokens():
    right = [["A"] * 50, ["A"] * 50]  # one sentence is right, one is wrong: two units, a wide interval
    tally = tally_of_tags(right, [["A"] * 50, ["B"] * 50], right, {"A"}, False, None)
    assert tally.units == 2 and tally.interval("tag_accuracy", 0) == (0, 1)
    assert np.isnan(tally.value("unknown_accuracy"))
