"""Captions of made scenes, from vectors and from columns of names, of combinations that are held out."""

import csv
import itertools

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.tasks.texts.exact_items import exact_match
from program.commands import ostinato
from program.tasks.made_items import letters, trained

SIZES, COLOURS, SHAPES = ("small", "large"), ("red", "green", "blue", "black"), ("circle", "square", "star")
RELATIONS = ("left of", "right of", "above", "below")
THINGS = list(itertools.product(SIZES, COLOURS, SHAPES))
COLUMNS = ("size", "colour", "shape", "relation", "other_size", "other_colour", "other_shape")
LEARNING = (
    "--unit", "word", "--hidden", 48, "--learning-rate", 0.02, "--dropout", 0, "--updates", 250, "--no-lens",
    "--no-baselines", "--quiet",
)  # fmt: skip


def scenes(count, seed=0):
    """Different scenes: (thing, relation, other thing), of 2,304 that there are."""
    draw = np.random.default_rng(seed)
    every = list(itertools.product(THINGS, RELATIONS, THINGS))
    return [every[k] for k in draw.permutation(len(every))[:count]]


def caption(scene):
    thing, relation, other = scene
    return f"a {' '.join(thing)} is {relation} a {' '.join(other)}"


def values(scene):
    thing, relation, other = scene
    return [*thing, relation, *other]


def vector(scene):
    """A 1 for each colour, shape and relation that the scene has, and for each thing that is large."""
    found = []
    for value, known in zip(values(scene), (SIZES[1:], COLOURS, SHAPES, RELATIONS, SIZES[1:], COLOURS, SHAPES)):
        found += [float(value == k) for k in known]
    return found


def held_out(count=500, test=60):
    """(scenes of training, scenes of a test whose combinations the training lacks, each value of which it has)."""
    found = scenes(count)
    train, held = found[test:], found[:test]
    assert not {*map(tuple, map(values, train))} & {*map(tuple, map(values, held))}
    for place in range(len(COLUMNS)):
        assert {values(s)[place] for s in held} <= {values(s)[place] for s in train}
    return train, held


@pytest.mark.slow
def test_captions_of_combinations_that_no_training_row_has_are_all_right_from_columns(tmp_path):
    for name, part in zip(("scenes.csv", "held.csv"), held_out()):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([(*COLUMNS, "caption"), *([*values(s), caption(s)] for s in part)])
    given = ("--target", "caption", "--given", ",".join(COLUMNS))
    ended = ostinato(tmp_path, "train", "scenes.csv", "--test", "held.csv", *given, *LEARNING, "--out", "model")
    assert ended.status == 0, ended.err
    found = ostinato(tmp_path, "evaluate", "model", "--json").document["metrics"]
    assert found["exact_match"] == {"value": 1.0, "low": pytest.approx(60 / 63.84, abs=1e-4), "high": 1.0, "n": 60}
    scene = held_out()[1][0]
    flags = [word for pair in zip(COLUMNS, values(scene)) for word in ("--given", "=".join(pair))]
    written = ostinato(tmp_path, "generate", "model", *flags, "--temperature", 0)
    assert written.out == caption(scene) + "\n"


@pytest.mark.slow
def test_captions_of_combinations_that_no_training_row_has_are_all_right_from_vectors(tmp_path):
    for name, part in zip(("scenes.npz", "held.npz"), held_out()):
        np.savez(tmp_path / name, features=np.array([*map(vector, part)]), caption=np.array([*map(caption, part)]))
    given = ("--given", "features", "--target", "caption")
    ended = ostinato(tmp_path, "train", "scenes.npz", "--test", "held.npz", *given, *LEARNING, "--out", "model")
    assert ended.status == 0, ended.err
    assert ostinato(tmp_path, "evaluate", "model", "--json").document["metrics"]["exact_match"]["value"] == 1.0
    assert "exact match" in ostinato(tmp_path, "evaluate", "model").out


def test_exact_match_counts_rows_whose_text_is_the_most_probable_one():
    task, network, _ = trained(letters(), 200)
    network.eval()
    texts = ["a", "aa", "aaa", "b", "bb", "bbb"]
    rows = [Examples("given", [(text[0],)], "text", [text], ("letter",)) for text in texts]
    hits = [exact_match(task, network, row).value for row in rows]
    assert sum(hits[:3]) == sum(hits[3:]) == 1.0  # one length of each letter is the most probable
    together = Examples("given", [(text[0],) for text in texts], "text", texts, ("letter",))
    found = exact_match(task, network, together)
    assert found.value == pytest.approx(2 / 6) and found.n == 6 and found.low < found.value < found.high


def test_rows_without_a_condition_or_a_target_have_no_exact_match():
    task, network, _ = trained(letters(), 2)
    assert exact_match(task, network, Examples("given", [("a",)], "text", None, ("letter",))) is None
    bare = Examples("given", [()] * 40, "text", ["ab", "ba"] * 20)
    task, network, _ = trained(bare, 2)
    assert exact_match(task, network, bare) is None
