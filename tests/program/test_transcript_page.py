"""The page of transcripts: rows with their edits, frequent edits, and the picture of where units are."""

import re

import numpy as np
import pytest

from ostinato.program.data.examples import Examples, Origin
from ostinato.program.page.spikes import MOST_STEPS, Spikes, spikes_picture
from ostinato.program.page.transcripts import (
    best_middle_worst,
    frequent_edits,
    rows_of,
    spikes_of,
    transcripts_section,
)
from ostinato.program.tasks.task import Predictions

TRUTH = ["abc", "a b", "<b>", "abcd", "xyz", "hello", "so", "no", "we", "it"]
SAID = ["abc", "ab", "<b>", "abxd", "", "hallo", "so", "no", "we", "it is"]


def rows(kind="series", origins=True):
    inputs = [np.arange(12.0).reshape(6, 2) + k for k in range(10)] if kind == "series" else ["123456"] * 10
    where = [Origin("a.csv", line) for line in range(2, 12)] if origins else ()
    return Examples(kind, inputs, "transcript", TRUTH, ("u", "v"), "said", origins=where)


def predictions():
    shares = [np.eye(len(text), 6, dtype=np.float32) for text in SAID]
    return Predictions(SAID, None, None, None, shares)


DETAILS = {
    "by_edit": {"characters": {"right": 24, "deleted": 1}, "words": {"right": 9, "deleted": 2}},
    "unit": "char",
}


def page(private=False, **how):
    return "".join(map(str, transcripts_section(rows(**how), predictions(), DETAILS, list, private)))


def test_rows_are_shown_with_what_was_deleted_substituted_and_inserted():
    shown = page()
    assert '<del title="substituted">c</del><ins title="substituted">x</ins>d' in shown
    assert '<del title="deleted">xyz</del>' in shown and '<ins title="inserted">␣is</ins>' in shown
    assert "&lt;b&gt;" in shown and "<b>" not in shown
    assert "worst, line 6, 100 %: " in shown and "best, line 2, 0 %: " in shown


def test_counts_stay_where_rows_do_not():
    shown = page(private=True)
    assert "What became of the characters and words" in shown and ">24<" in shown
    assert not any(text in shown for text in ("<del", "<ins", "<svg", "hello", "line 6", "frequent"))


def test_the_best_the_middle_and_the_worst_rows_are_each_shown_once():
    found = rows_of(rows(), predictions(), str)
    chosen = best_middle_worst(found)
    words = [word for word, _ in chosen]
    assert words == sorted(words, key=["best", "middle", "worst"].index) and len({r.number for _, r in chosen}) == 9
    assert [r.number for word, r in chosen if word == "worst"][0] in (4, 9)
    assert [row.rate for row in found][:5] == [0, 1 / 3, 0, 1 / 4, 1]
    few = best_middle_worst(found[:2])
    assert sorted(r.number for _, r in few) == [0, 1]


def test_the_most_frequent_edits_come_first():
    truth = Examples("text", ["1"] * 3, "transcript", ["aab", "ab", "c"])
    found = frequent_edits(rows_of(truth, Predictions(["eeb", "eb", "cd"]), str))
    assert found == [("a", "e", 3), ("(nothing)", "d", 1)]


def test_words_are_compared_as_the_metrics_do():
    truth = Examples("text", ["1"], "transcript", ["The  Cat"])
    shown = transcripts_section(
        truth, Predictions(["the cat"]), {"unit": "word"}, lambda text: text.lower().split(), False
    )
    assert "<del" not in "".join(map(str, shown))


@pytest.mark.parametrize("kind, fields", [("series", 6), ("text", 3)])
def test_three_rows_are_drawn_over_their_inputs(kind, fields):
    chosen = spikes_of(rows(kind), predictions(), [0, 3, 4, 5, 9], list)
    assert [s.heading for s in chosen] == ["line 2: abc", "line 7: hallo", "line 11: it is"]
    figure = spikes_picture(chosen)
    assert len(figure.axes) == fields
    written = [text.get_text() for text in figure.axes[-1].texts]
    assert written == ["i", "t", "␣", "i", "s"] and figure.axes[-1].get_xlabel() == "steps of the input"
    assert not spikes_of(rows(kind), Predictions(SAID), [0], list)


def test_a_spike_is_at_the_middle_of_its_frame():
    shares = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    made = Spikes.of("x", np.zeros((8, 1)), shares, ["a", "b"])
    assert made.steps == 3 and not made.cut
    places = [text.get_position()[0] for text in spikes_picture([made]).axes[-1].texts]
    assert places == [4.0, 7.0]


def test_long_rows_are_cut_and_many_channels_are_an_image():
    shares = np.full((1, 200), 0.01, np.float32)
    made = Spikes.of("x", np.zeros((3 * 200, 12)), shares, ["a"])
    assert made.cut and len(made.series) == MOST_STEPS
    axes = spikes_picture([made]).axes
    assert len(axes[0].images) == 1 and not axes[1].texts  # too low to be named
    with_cut = transcripts_section(
        Examples("series", [np.zeros((600, 12))], "transcript", ["a"]),
        Predictions(["a"], None, None, None, [shares]), {}, list, False,
    )  # fmt: skip
    assert re.search(rf"the first {MOST_STEPS} steps of a row", "".join(map(str, with_cut)))


def test_rows_without_origins_have_their_number():
    assert "row 5, 100 %" in page(origins=False)
