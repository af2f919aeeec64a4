"""Models whose lines are streamed, trained once for all files here."""

import pytest

from ostinato.apps.reading import language_reference
from program import made_files as made
from program.commands import ostinato
from program.streaming.lines import SMALL


@pytest.fixture(scope="session")
def series(tmp_path_factory):
    """A model of classes of series of two channels."""
    place = tmp_path_factory.mktemp("series")
    made.sensors(place / "sensors.jsonl")
    words = ("--series", "left,right", "--target", "state", "--updates", 30)
    assert ostinato(place, "train", "sensors.jsonl", *words, *SMALL).status < 2
    return place


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """A language model of characters."""
    place = tmp_path_factory.mktemp("text")
    (place / "a.txt").write_text(language_reference()[:14_000], encoding="utf-8")
    words = ("--hidden", 12, "--layers", 1, "--embedding", 8, "--batch", 4, "--k1", 16, "--updates", 30, "--quiet")
    ended = ostinato(place, "train", "a.txt", *words, "--no-lens", "--no-baselines", "--out", "model")
    assert ended.status < 2, ended.err
    return place
