"""Error rates of transcripts: against jiwer, against an edit distance of their own, and where texts are empty."""

import jiwer
import numpy as np
import pytest

from ostinato.program.tasks.transcribing.metrics import (
    edits_between,
    edits_of_transcripts,
    tally_of_transcripts,
)


def distance(a, b):
    """The fewest edits between two sequences, by the recursion (V. Levenshtein, 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def texts(count, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(["a", "bc", "cab", "d", "dd"], int(draw.integers(1, 6)))) for _ in range(count)]


def test_rates_are_those_of_jiwer_and_of_the_edit_distance():
    truth, said = texts(60, 0), texts(60, 1)
    tally = tally_of_transcripts(truth, said, None)
    assert tally.value("cer") == pytest.approx(jiwer.cer(truth, said))
    assert tally.value("wer") == pytest.approx(jiwer.wer(truth, said))
    characters = sum(map(distance, truth, said)) / sum(map(len, truth))
    words = sum(distance(a.split(), b.split()) for a, b in zip(truth, said)) / sum(len(a.split()) for a in truth)
    assert (tally.value("cer"), tally.value("wer")) == (pytest.approx(characters), pytest.approx(words))
    assert tally.value("exact_match") == sum(map(str.__eq__, truth, said)) / 60
    assert not tally.values["cer"][1] and not tally.values["wer"][1] and tally.values["exact_match"][1]


def test_what_is_written_for_an_empty_truth_is_inserted():
    tally = tally_of_transcripts(["", "ab", ""], ["xyz", "ab", ""], None)
    assert tally.value("cer") == 3 / 2 and tally.value("wer") == 1 and tally.value("exact_match") == 2 / 3
    assert tally.sums.toarray()[:, :4].tolist() == [[3, 0, 1, 0], [0, 2, 0, 1], [0, 0, 0, 0]]


def test_of_empty_truths_alone_there_is_no_rate():
    tally = tally_of_transcripts(["", ""], ["", "a"], None)
    assert np.isnan(tally.value("cer")) and np.isnan(tally.value("wer")) and tally.value("exact_match") == 0.5


def test_the_empty_transcript_has_a_rate_of_one():
    tally = tally_of_transcripts(texts(9, 0), [""] * 9, None)
    assert (tally.value("cer"), tally.value("wer"), tally.interval("cer", 0)[1]) == (1, 1, 1)


def test_no_rows_have_no_rate():
    assert np.isnan(tally_of_transcripts([], [], None).value("cer"))


def test_rows_of_a_group_are_one_unit():
    tally = tally_of_transcripts(["a", "b", "c"], ["a", "x", "x"], ["s", "s", "t"])
    assert tally.units == 2 and tally.sums.toarray()[:, :2].tolist() == [[1, 2], [1, 1]]


def test_edits_are_counted_by_kind():
    found = edits_of_transcripts(["abc d", "x"], ["abd d e", ""])
    assert found == {
        "characters": {"right": 4, "substituted": 1, "deleted": 1, "inserted": 2},
        "words": {"right": 1, "substituted": 1, "deleted": 1, "inserted": 1},
    }


def test_edits_join_to_both_texts():
    for truth, said in zip(["", "abc", *texts(20, 2)], ["ab", "", *texts(20, 3)]):
        edits = edits_between(truth, said)
        assert "".join(a for _, a, _ in edits) == truth and "".join(b for _, _, b in edits) == said
        assert sum(max(len(a), len(b)) for kind, a, b in edits if kind != "right") == distance(truth, said)
