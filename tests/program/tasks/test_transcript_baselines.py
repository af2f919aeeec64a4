"""Baselines of transcripts: what each predicts of rows with known answers."""

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.baselines import transcripts
from ostinato.program.tasks.transcribing.transcribe import Transcribe
from program.tasks.made_transcripts import codes, keys


def fitted(train):
    """The baselines of rows by name, fitted."""
    return {b.name: b.fit(train) for b in transcripts.for_transcripts(train.kind)}


def test_the_trivial_ones_come_first_and_their_rates_are_known():
    train = Examples("text", ["1", "2", "3"], "transcript", ["ab", "cd", "cd"])
    found = fitted(train)
    assert list(found) == ["empty transcript", "most frequent transcript", "copy of the input", "nearest text"]
    assert [b.trivial for b in found.values()] == [True, True, False, False]
    assert found["empty transcript"].predict(train).values == ["", "", ""]
    assert found["most frequent transcript"].predict(train).values == ["cd"] * 3
    task = Transcribe.encode_from(codes(9), NetworkOptions(hidden=4))
    test = codes(9)
    empty = fitted(test)["empty transcript"].predict(test)
    assert [m.value for m in task.metrics(test, empty)] == [1, 1, 0]


def test_the_copy_is_the_input_as_text():
    for kind, row in (("text", "a b"), ("tokens", ["a", "b"])):
        train = Examples(kind, [row], "transcript", ["x"])
        assert fitted(train)["copy of the input"].predict(train).values == ["a b"]
    assert "copy of the input" not in fitted(codes(5))


@pytest.mark.parametrize("train", [codes(40), keys(40), keys(40, kind="text")], ids=["series", "tokens", "text"])
def test_the_nearest_row_of_a_training_row_is_itself(train):
    nearest = [b for name, b in fitted(train).items() if name.startswith("nearest")][0]
    assert nearest.predict(train).values == list(train.targets) and not nearest.note
    assert nearest.predict(train.take([])).values == [] and not nearest.without_order


def test_series_are_compared_at_one_length():
    rows = [np.repeat([[0.0], [1.0]], 4, 0), np.repeat([[1.0], [0.0]], 2, 0)]
    train = Examples("series", rows, "transcript", ["up", "down"], ("x",))
    test = Examples("series", [np.array([[0.1], [0.9]]), np.array([[3.0], [1.0], [0.0]])], "transcript", None, ("x",))
    assert fitted(train)["nearest series"].predict(test).values == ["up", "down"]


def test_the_nearest_row_is_looked_for_among_fewer_rows_where_they_have_many_numbers(monkeypatch):
    monkeypatch.setattr(transcripts, "MOST_NUMBERS", 6 * 15 * 8)
    train = codes(40)
    longest = max(map(len, train.inputs))
    nearest = fitted(train)["nearest series"]
    most = 6 * 15 * 8 // (6 * longest)
    assert nearest.note == f"nearest series: among {most} of 40 training rows, evenly spaced."
    assert nearest.predict(train.take([0])).values == [train.targets[0]]
