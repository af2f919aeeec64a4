"""Metrics of classes, labels and numbers, against scikit-learn and known answers."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from ostinato.program.tasks.metrics import (
    details_of_classes,
    details_of_labels,
    indicators,
    tally_of_classes,
    tally_of_labels,
    tally_of_numbers,
)

CLASSES = ["a", "b", "c", "d"]


def drawn(n=200, seed=0):
    """Truth, predictions and probabilities; class d is neither."""
    draw = np.random.default_rng(seed)
    probabilities = draw.dirichlet(np.ones(4), n)
    probabilities[:, 3] = 0
    probabilities /= probabilities.sum(1, keepdims=True)
    truth = [CLASSES[k] for k in draw.integers(0, 3, n)]
    return truth, [CLASSES[k] for k in probabilities.argmax(1)], probabilities


def test_classes_are_as_scikit_learn_counts_them():
    truth, said, probabilities = drawn()
    tally = tally_of_classes(truth, said, probabilities, CLASSES, None)
    expected = {
        "accuracy": oracle.accuracy_score(truth, said),
        "macro_f1": oracle.f1_score(truth, said, labels=CLASSES[:3], average="macro"),
        "log_loss": oracle.log_loss(truth, probabilities, labels=CLASSES),
    }
    for name, value in expected.items():
        assert tally.value(name) == pytest.approx(value, rel=1e-12)
        low, high = tally.interval(name, 0)
        assert low < value < high


def test_a_class_of_which_nothing_is_right_counts_0_in_macro_f1():
    tally = tally_of_classes(["a", "a", "b"], ["a", "a", "a"], None, CLASSES, None)
    assert tally.value("macro_f1") == pytest.approx((0.8 + 0) / 2)


def test_a_class_that_training_rows_lack_is_never_right():
    truth, said = ["a", "new"], ["a", "b"]
    tally = tally_of_classes(truth, said, np.array([[0.5, 0.5], [0.1, 0.9]]), ["a", "b"], None)
    assert tally.value("accuracy") == 0.5
    assert tally.value("log_loss") == pytest.approx((-np.log(0.5) - np.log(1e-15)) / 2)
    assert details_of_classes(truth, said, ["a", "b"])["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_calibration_error_has_known_values():
    sure = np.tile([0.8, 0.2], (10, 1))
    right_in_8 = tally_of_classes(["a"] * 8 + ["b"] * 2, ["a"] * 10, sure, ["a", "b"], None)
    right_in_5 = tally_of_classes(["a"] * 5 + ["b"] * 5, ["a"] * 10, sure, ["a", "b"], None)
    assert right_in_8.value("calibration_error") == pytest.approx(0, abs=1e-12)
    assert right_in_5.value("calibration_error") == pytest.approx(0.3)


def test_details_are_precision_recall_and_f1_by_class():
    truth, said, _ = drawn()
    found = details_of_classes(truth, said, CLASSES)["by_class"]
    assert found["b"]["f1"] == pytest.approx(oracle.f1_score(truth, said, labels=["b"], average="macro"))
    assert found["a"]["rows"] == truth.count("a") and found["d"]["f1"] == 0


def test_several_labels_are_as_scikit_learn_counts_them():
    draw = np.random.default_rng(0)
    t, p = draw.random((100, 3)) < 0.4, draw.random((100, 3))
    names = CLASSES[:3]

    def labels(rows):
        return [tuple(c for c, there in zip(names, row) if there) for row in rows]

    tally = tally_of_labels(labels(t), labels(p > 0.5), p, names, None)
    assert np.array_equal(indicators(labels(t), names), t)
    assert tally.value("micro_f1") == pytest.approx(oracle.f1_score(t, p > 0.5, average="micro"))
    assert tally.value("macro_f1") == pytest.approx(oracle.f1_score(t, p > 0.5, average="macro"))
    assert tally.value("exact_match") == pytest.approx(oracle.accuracy_score(t, p > 0.5))
    each = sum(oracle.log_loss(t[:, k], p[:, k]) for k in range(3))
    assert tally.value("log_loss") == pytest.approx(each)
    found = details_of_labels(labels(t), labels(p > 0.5), names)["by_class"]
    assert found["c"]["recall"] == pytest.approx(oracle.recall_score(t[:, 2], p[:, 2] > 0.5))


def test_numbers_are_as_scikit_learn_counts_them():
    draw = np.random.default_rng(0)
    truth = draw.normal(1e6, 2, 100)
    said = truth + draw.normal(0, 1, 100)
    tally = tally_of_numbers(truth, said, None)
    assert tally.value("mae") == pytest.approx(oracle.mean_absolute_error(truth, said), rel=1e-9)
    assert tally.value("rmse") == pytest.approx(oracle.root_mean_squared_error(truth, said), rel=1e-9)
    assert tally.value("r2") == pytest.approx(oracle.r2_score(truth, said), rel=1e-6)
    assert np.isnan(tally_of_numbers([2.0, 2.0], [1.0, 2.0], None).value("r2"))


def test_a_table_of_25_000_rows_is_drawn_a_thousand_times_within_the_memory_of_a_chunk():
    truth, said, probabilities = drawn(25_000)
    tally = tally_of_classes(truth, said, probabilities, CLASSES, None)
    low, high = tally.intervals(list(tally.values), 0)["accuracy"]
    half = 1.96 * (tally.value("accuracy") * (1 - tally.value("accuracy")) / 25_000) ** 0.5
    assert high - low == pytest.approx(2 * half, rel=0.1)
