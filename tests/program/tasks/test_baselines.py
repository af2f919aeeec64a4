"""Baselines learn a rule that they can, and not one that they cannot; costs are bounded and said."""

from dataclasses import replace

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.baselines import features, tags
from ostinato.program.tasks.baselines.choose import for_rows
from ostinato.program.tasks.baselines.estimators import EachWordAlone, NaiveBayes
from ostinato.program.tasks.baselines.extract import Bag, Moments, Window, grams, letters, resampled, words
from ostinato.program.tasks.baselines.features import FeatureBaseline
from ostinato.program.tasks.baselines.tags import MajorityTag, MostFrequentTag, WindowOfWords
from ostinato.program.tasks.baselines.trivial import Constant, Majority
from ostinato.program.tasks.classify import Classify
from ostinato.program.tasks.regress import Regress
from ostinato.program.tasks.tag import Tag
from program.tasks.made import SMALL, labelled, numbers, ordered, sentences, series, texts


def scores(task, train, new):
    """Baseline name → score on new rows."""
    return {b.name: task.score(new, b.fit(train).predict(new)) for b in task.baselines()}


def test_every_model_of_words_finds_the_word_that_decides_and_the_majority_does_not():
    train, new = texts(200), texts(60, seed=1)
    found = scores(Classify.encode_from(train, SMALL), train, new)
    assert found.pop("majority") == 0.5
    assert list(found) == ["naive Bayes", "each word alone", "bag of words", "window of 2 words"]
    assert min(found.values()) == 1.0


def test_models_without_order_learn_nothing_where_the_order_decides():
    train, new = ordered(300), ordered(100, seed=1)
    task = Classify.encode_from(train, SMALL)
    for baseline in task.baselines():
        if baseline.without_order:
            assert task.score(new, baseline.fit(train).predict(new)) < 0.65, baseline.name


def test_a_window_sees_a_pair_of_neighbours_and_a_bag_does_not():
    draw = np.random.default_rng(0)
    rows = [" ".join([*["x"] * draw.integers(0, 5), *(("a", "b") if k % 2 else ("b", "a"))]) for k in range(200)]
    train = Examples("text", rows, "class", ["up" if k % 2 else "down" for k in range(200)])
    found = scores(Classify.encode_from(train, SMALL), train, train)
    assert found["window of 2 words"] == 1.0 and found["bag of words"] < 0.65


def test_characters_have_runs_of_up_to_four():
    draw = np.random.default_rng(0)
    rows = ["".join(draw.choice(list("xyz"), 5)) + ("ski" if k % 2 else "iks") for k in range(200)]
    train = Examples("text", rows, "class", ["up" if k % 2 else "down" for k in range(200)])
    task = Classify.encode_from(train, NetworkOptions(unit="char"))
    found = scores(task, train, train)
    assert found["naive Bayes on 1 to 4 characters"] == found["window of 4 characters"] == 1.0
    assert found["bag of characters"] < 0.65
    assert grams(letters("aB"), 4, "") == ["^", "a", "b", "$", "^a", "ab", "b$", "^ab", "ab$", "^ab$"]


def test_series_have_moments_a_window_and_a_nearest_neighbour():
    train, new = series(200), series(60, seed=1, missing=True)
    found = scores(Classify.encode_from(train, SMALL), train, new)
    assert found["window of the first and last 5 steps"] > 0.9  # the slope shows at both ends
    assert found["nearest series"] > 0.7
    assert found["mean and deviation"] < 0.7  # and not in the moments
    shifted = [x + (4 if k % 2 else 0) for k, x in enumerate(series(100, seed=2).inputs)]
    level = Examples("series", shifted, "class", ["high" if k % 2 else "low" for k in range(100)])
    assert scores(Classify.encode_from(level, SMALL), level, level)["mean and deviation"] > 0.9


def test_features_have_a_linear_model_and_a_nearest_row():
    draw = np.random.default_rng(0)
    rows = list(draw.normal(size=(100, 2)) + np.repeat([[0, 0], [6, 6]], 50, 0))
    train = Examples("features", rows, "class", ["a"] * 50 + ["b"] * 50)
    assert scores(Classify.encode_from(train, SMALL), train, train) == {
        "majority": 0.5, "logistic regression": 1.0, "nearest row": 1.0,
    }  # fmt: skip


def test_several_labels_have_the_same_baselines():
    train, new = labelled(200), labelled(60, seed=1)
    task = Classify.encode_from(train, SMALL)
    found = scores(task, train, new)
    assert found["bag of words"] == 1.0 and found["majority"] < 0.8
    shares = Majority().fit(train).predict(new)
    assert shares.probabilities[0] == pytest.approx([np.mean([c in t for t in train.targets]) for c in task.classes])
    rare = Majority().fit(replace(train.take([0, 1, 2]), targets=[("red",), (), ()]))
    assert rare.predict(new).values[0] == ("red",)


def test_numbers_have_mean_median_and_linear_models():
    train, new = numbers(200), numbers(60, seed=1)
    task = Regress.encode_from(train, SMALL)
    found = scores(task, train, new)
    assert found["mean and deviation"] < 0.01 * found["mean"]
    assert Constant("mean").fit(train).predict(new).values[0] == pytest.approx(np.mean(train.targets))
    assert Constant("median").fit(train).predict(new).values[0] == pytest.approx(np.median(train.targets))
    said = replace(texts(100), target_kind="number", targets=[float("good" in t) for t in texts(100).inputs])
    for unit, name in (("word", "bag of words"), ("char", "window of 4 characters")):
        baselines = {b.name: b for b in for_rows("text", "number", unit)}
        assert Regress.encode_from(said, SMALL).score(said, baselines[name].fit(said).predict(said)) < 0.1


def test_the_most_frequent_tag_is_right_where_the_word_decides():
    train, new = sentences(200), sentences(60, seed=1)
    fixed = [[t for w, t in zip(ws, ts) if w != "can"] for ws, ts in zip(new.inputs, new.targets)]
    known = replace(new, inputs=[[w for w in ws if w != "can"] for ws in new.inputs], targets=fixed)
    task = Tag.encode_from(train, SMALL)
    found = scores(task, train, known)
    assert found["most frequent tag of the word"] == found["window of 5 words"] == 1.0
    assert found["majority"] < 0.6
    assert scores(task, train, new)["window of 5 words"] > scores(task, train, new)["most frequent tag of the word"]


def test_ties_go_to_the_first_seen_tag_and_unknown_words_to_that_of_words_seen_once():
    train = Examples("tokens", [["a", "a", "b", "c", "d", "d"]], "tags", [["X", "Y", "Z", "Z", "W", "W"]])
    new = Examples("tokens", [["a", "new"], []], "tags", None)
    assert MostFrequentTag().fit(train).predict(new).values == [["X", "Z"], []]
    assert MostFrequentTag("N").fit(train).predict(new).values == [["X", "N"], []]
    assert MajorityTag().fit(train).predict(new).values == [["Z", "Z"], []]


def test_a_window_of_words_has_probabilities_by_sentence_and_one_tag_is_no_trouble():
    train = sentences(50)
    found = WindowOfWords().fit(train).predict(train)
    assert [len(p) for p in found.probabilities] == [len(row) for row in train.inputs]
    assert np.allclose(np.concatenate(found.probabilities).sum(1), 1)
    one = Examples("tokens", [["a", "b"]], "tags", [["X", "X"]])
    assert WindowOfWords().fit(one).predict(one).values == [["X", "X"]]


def test_costs_are_bounded_and_said(monkeypatch):
    train = texts(100)
    baseline = FeatureBaseline("counting", Bag(words), NaiveBayes, True, most=40).fit(train)
    assert baseline.note == "counting: fitted on 40 of 100 training rows, evenly spaced."
    assert baseline.predict(train).probabilities.shape == (100, 2)
    assert FeatureBaseline("counting", Bag(words), NaiveBayes, True).fit(train).note == ""
    assert features.MOST_ROWS == 25_000
    monkeypatch.setattr(tags, "MOST_TOKENS", 40)
    found = WindowOfWords().fit(sentences(60))
    assert found.note.startswith("window of 5 words: fitted on the first") and "of 60 training sentences" in found.note


def test_rows_that_are_kept_may_have_one_class_only():
    train = replace(texts(10), targets=["a"] * 9 + ["b"])
    baseline = FeatureBaseline("few", Bag(words), NaiveBayes, True, most=1).fit(train)
    assert baseline.predict(train).values == ["a"] * 10


def test_naive_bayes_has_known_probabilities():
    X, y = np.array([[2, 0], [0, 1]]), [0, 1]
    one = NaiveBayes().fit(X, y).predict_proba(np.array([[1, 0]]))[0]
    assert one == pytest.approx(np.array([3 / 4, 1 / 3]) / (3 / 4 + 1 / 3))
    half = NaiveBayes(share=0.5).fit(X, y).predict_proba(np.array([[1, 0]]))[0]
    assert half == pytest.approx(np.sqrt([3 / 4, 1 / 3]) / np.sqrt([3 / 4, 1 / 3]).sum())


def test_each_word_alone_averages_known_probabilities():
    train = Examples("text", ["a b", "a", "c"], "class", ["x", "x", "y"])
    baseline = FeatureBaseline("alone", Bag(words), EachWordAlone, True).fit(train)
    found = baseline.predict(Examples("text", ["a c", "new"], "class", None)).probabilities
    a, c = (2 + 2 / 3) / 3, (0 + 2 / 3) / 2
    assert found[0] == pytest.approx([(a + c) / 2, 1 - (a + c) / 2])
    assert found[1] == pytest.approx([2 / 3, 1 / 3])


def test_a_bag_counts_units_of_enough_rows_and_may_count_the_unseen():
    train = Examples("text", ["a a b", "a c"], "class", ["x", "y"])
    bag = Bag(words, least=2)
    assert bag.fit_transform(train).toarray().tolist() == [[2], [1]] and list(bag.entries) == ["a"]
    assert Bag(words, least=2, presence=True).fit_transform(train).toarray().tolist() == [[1], [1]]
    unseen = Bag(words, unseen=True)
    unseen.fit_transform(train)
    assert unseen.transform(Examples("text", ["new a other", ""], "class", None)).toarray().tolist() == [
        [1, 0, 0, 2],
        [0, 0, 0, 0],
    ]
    assert Bag(words, least=9).fit_transform(train).shape == (2, 1)


def test_series_become_rows_of_known_numbers():
    assert resampled(np.array([[0.0], [2.0]]), 3).tolist() == [[0], [1], [2]]
    assert resampled(np.zeros((0, 2)), 2).tolist() == [[0, 0], [0, 0]]
    rows = [np.array([[0.0], [4.0]]), np.array([[2.0]]), np.array([[2.0]])]
    train = Examples("series", rows, "class", ["a", "b", "b"])
    moments = Moments().fit_transform(train)  # means 2, 2, 2 are constant; deviations 2, 0, 0
    assert moments[:, 0].tolist() == [0, 0, 0] and moments[0, 1] == pytest.approx(2**0.5)
    window = Window(2).fit_transform(train)
    assert window.shape == (3, 4) and window[1].tolist() == [0, 0, 0, 0] and window[0, 0] == -window[0, 1]


def test_rows_without_targets_and_no_rows():
    with pytest.raises(InputError, match="majority: the training rows must be rows with targets"):
        Majority().fit(replace(texts(4), targets=None))
    baseline = FeatureBaseline("counting", Bag(words), NaiveBayes, True).fit(texts(10))
    assert list(baseline.predict(texts(4).take([])).values) == []
