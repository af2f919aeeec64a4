"""scikit-learn's contract: the estimators cloned, searched, cross-validated, pickled, saved and loaded."""

import importlib
import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

import ostinato
from ostinato import SequenceClassifier, SequenceRegressor, SequenceTagger
from ostinato.errors import InputError

SMALL = {"hidden": 6, "embedding": 6, "batch": 16, "learning_rate": 0.03, "dropout": 0.0, "updates": 40}
WORDS = ("the", "film", "was", "long", "loud", "plain")


def texts(count=90):
    """Texts whose class is their first word."""
    rng = np.random.default_rng(0)
    first = [("good", "bad")[k % 2] for k in range(count)]
    return [" ".join([f, *rng.choice(WORDS, int(rng.integers(3, 7)))]) for f in first], first


def series(count=90):
    """Arrays [T_i, 2] of unequal length; the class is the sign of a first value, the number their mean."""
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(int(rng.integers(3, 9)), 2)) for _ in range(count)]
    for k, x in enumerate(X):
        x[0, 0] = 2.0 if k % 2 else -2.0
    return X, [k % 2 for k in range(count)]


def sentences(count=90):
    """A tag that depends on the word alone."""
    rng = np.random.default_rng(2)
    X = [[str(w) for w in rng.choice(("a", "b", "c", "d"), int(rng.integers(2, 6)))] for _ in range(count)]
    return X, [["X" if w in "ab" else "Y" for w in words] for words in X]


def numbers(count=90):
    X, _ = series(count)
    return X, [float(x[0, 0] + 3) + 0.01 * k for k, x in enumerate(X)]


KINDS = {
    "texts": (SequenceClassifier, texts),
    "series": (SequenceClassifier, series),
    "numbers": (SequenceRegressor, numbers),
    "tags": (SequenceTagger, sentences),
}


@pytest.fixture(params=KINDS)
def kind(request):
    estimator, data = KINDS[request.param]
    return estimator(**SMALL), *data()


@pytest.fixture(scope="module")
def fitted():
    return {name: estimator(**SMALL).fit(*data()) for name, (estimator, data) in KINDS.items()}


def equal(one, other):
    return list(one) == list(other) if isinstance(one, list) else np.array_equal(one, other)


@pytest.mark.parametrize("estimator", [SequenceClassifier, SequenceRegressor, SequenceTagger])
def test_parameters_are_read_set_and_cloned(estimator):
    made = estimator(hidden=7, options={"zoneout": 0.1})
    assert made.get_params()["hidden"] == 7 and made.get_params()["options"] == {"zoneout": 0.1}
    assert made.set_params(hidden=9, cell="lstm") is made and (made.hidden, made.cell) == (9, "lstm")
    copy = clone(made)
    assert copy is not made and copy.get_params() == made.get_params() and not hasattr(copy, "network_")
    with pytest.raises(ValueError, match="Invalid parameter 'hiden'"):
        made.set_params(hiden=3)
    with pytest.raises(NotFittedError):
        made.predict(["a text"])


def test_scikit_learn_knows_what_each_estimator_is():
    assert is_classifier(SequenceClassifier()) and is_regressor(SequenceRegressor())
    assert not is_classifier(SequenceTagger())


def test_fit_changes_no_parameter_and_clone_of_a_fitted_one_gives_the_same_bits(kind):
    estimator, X, y = kind
    before = estimator.get_params()
    assert estimator.fit(X, y) is estimator and estimator.get_params() == before
    again = clone(estimator).fit(X, y)
    assert again.fitted_.sha256 == estimator.fitted_.sha256
    assert equal(again.predict(X), estimator.predict(X))
    assert clone(estimator).set_params(seed=1).fit(X, y).fitted_.sha256 != estimator.fitted_.sha256


def test_rows_of_unequal_length_are_cross_validated_and_learned(kind):
    estimator, X, y = kind
    scores = cross_val_score(estimator, X, y, cv=3)
    least = {"SequenceRegressor": 0.5}.get(type(estimator).__name__, 0.9)
    assert scores.shape == (3,) and scores.min() > least


@pytest.mark.parametrize("name", ["texts", "series"])
def test_a_grid_is_searched(name):
    estimator, data = KINDS[name]
    X, y = data(60)
    search = GridSearchCV(estimator(**{**SMALL, "updates": 15}), {"hidden": [4, 6], "cell": ["gru", "elman"]}, cv=2)
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 4 and not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert search.predict(X).shape == (60,) and search.best_params_["hidden"] in (4, 6)


def test_probabilities_of_cross_validation_have_the_columns_of_the_classes():
    X, y = series(60)
    found = cross_val_predict(SequenceClassifier(**SMALL), X, y, cv=2, method="predict_proba")
    assert found.shape == (60, 2) and np.allclose(found.sum(1), 1)


@pytest.mark.parametrize("name", ["texts", "series"])
def test_probabilities_sum_to_1_and_their_largest_is_the_prediction(fitted, name):
    estimator, (X, y) = fitted[name], KINDS[name][1]()
    found = estimator.predict_proba(X)
    assert found.shape == (90, 2) and found.dtype == np.float64 and np.allclose(found.sum(1), 1, atol=1e-12)
    assert np.array_equal(estimator.classes_[found.argmax(1)], estimator.predict(X))
    assert estimator.score(X, y) == np.mean(estimator.predict(X) == np.array(y)) == 1.0


@pytest.mark.parametrize(
    "y", [["no", "yes"], [0, 1], [10, 2], [-1.0, 1.0], [False, True], list(np.array([3, 7]))], ids=str
)
def test_classes_are_of_the_type_of_y_and_in_its_order(y):
    X, which = series(60)
    targets = np.array([y[k] for k in which])
    estimator = SequenceClassifier(**{**SMALL, "updates": 20}).fit(X, targets)
    assert estimator.classes_.tolist() == sorted(set(y))
    assert estimator.predict(X).dtype.kind == targets.dtype.kind
    assert estimator.score(X, targets) > 0.9


def test_several_labels_a_row():
    X, first = texts()
    y = [(f, "long") if "long" in x else (f,) for x, f in zip(X, first)]
    estimator = SequenceClassifier(**{**SMALL, "updates": 120}).fit(X, y)
    assert {name for row in estimator.predict(X) for name in row} == {"good", "bad", "long"}
    assert estimator.predict_proba(X).shape == (90, 3)
    assert estimator.score(X, y) > 0.9


# Imported where they are used: pandas as pinned does not allow the oldest numpy, beside which a test of this file runs.
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_data_frames_are_rows(library, fitted):
    X, y = texts()
    frame = importlib.import_module(library).DataFrame({"text": X, "label": y})
    estimator = SequenceClassifier(**SMALL).fit(frame["text"], frame["label"])
    assert estimator.fitted_.sha256 == fitted["texts"].fitted_.sha256
    assert np.array_equal(estimator.predict(frame["text"]), fitted["texts"].predict(X))
    assert estimator.score(frame["text"], frame["label"]) == 1.0


def test_an_array_of_series_and_frames_of_features():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(60, 4, 1)), np.arange(60) % 2
    X[:, -1, 0] += np.where(y, 3, -3)
    assert SequenceClassifier(**SMALL).fit(X, y).score(X, y) > 0.9
    frame = importlib.import_module("pandas").DataFrame(X[:, :, 0], columns=list("abcd"))
    assert SequenceClassifier(**SMALL).fit(frame, y).score(frame, y) > 0.9


def test_a_regressor_gives_numbers_in_the_unit_of_y(fitted):
    X, y = numbers()
    found = fitted["numbers"].predict(X)
    assert found.shape == (90,) and found.dtype == np.float64
    assert np.abs(found - y).mean() < 0.8 and fitted["numbers"].score(X, y) > 0.5


def test_a_tagger_gives_a_tag_for_every_token(fitted):
    X, y = sentences()
    found = fitted["tags"].predict(X)
    assert [len(row) for row in found] == [len(row) for row in X] and found == y
    assert fitted["tags"].score(X, y) == 1.0
    assert fitted["tags"].score([["a"], ["a", "d"]], [["X"], ["X", "X"]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", KINDS)
def test_saved_and_loaded_the_predictions_are_equal(fitted, name, tmp_path):
    estimator, (X, _) = fitted[name], KINDS[name][1]()
    folder = estimator.save(tmp_path / "model")
    assert estimator.save(tmp_path / "model").name == "model-2"
    loaded = ostinato.load(folder)
    assert type(loaded) is type(estimator)
    parameters = {**estimator.get_params(), "cell": loaded.cell, "options": loaded.options}
    assert loaded.get_params() == {**parameters, "valid_share": 0.1}
    assert equal(loaded.predict(X), estimator.predict(X))
    if hasattr(estimator, "predict_proba"):
        assert np.array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


def test_a_folder_whose_classes_are_not_of_the_type_that_it_names_is_refused(fitted, tmp_path):
    folder = fitted["texts"].save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "class_type": "int"}), encoding="utf-8")
    with pytest.raises(InputError, match="class_type must be that of the classes, got int for 'bad', 'good'. Copy"):
        ostinato.load(folder)


@pytest.mark.parametrize("name", KINDS)
def test_pickled_the_predictions_are_equal(fitted, name):
    estimator, (X, _) = fitted[name], KINDS[name][1]()
    assert equal(pickle.loads(pickle.dumps(estimator)).predict(X), estimator.predict(X))


def test_a_cell_of_ones_own_and_options_of_the_layers(tmp_path):
    X, y = texts(60)

    @ostinato.cell
    def leaky(W, U, b, x, h):
        return 0.5 * h + 0.5 * (W.g @ x + b.g + U.g @ h)

    estimator = SequenceClassifier(**{**SMALL, "cell": leaky, "options": {"zoneout": 0.05}}).fit(X, y)
    assert clone(estimator).cell is not None
    loaded = ostinato.load(estimator.save(tmp_path / "model"))
    assert loaded.options == {"zoneout": 0.05} and np.array_equal(loaded.predict(X), estimator.predict(X))


@pytest.mark.parametrize(
    "X, y, message",
    [
        ([], [], "X must be of at least one row"),
        (["a", "b"], ["x"], "y must be of 2 rows, as X"),
        ("one text", ["x"], "Put one text in a list"),
        ([np.zeros((3, 2)), np.zeros((3, 1))] * 5, [0, 1] * 5, r"X\[1\] must be of 2 channels, as the rows before"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(X, y, message):
    with pytest.raises(InputError, match=message):
        SequenceClassifier(**SMALL).fit(X, y)


def test_parameters_that_no_training_can_use_are_refused_by_fit():
    X, y = texts(20)
    with pytest.raises(InputError, match="SequenceClassifier: hidden must be a whole number of 1 or more, got 0"):
        SequenceClassifier(hidden=0).fit(X, y)
    with pytest.raises(TypeError, match="an option must be one of .*, got 'zonout'. Did you mean 'zoneout'"):
        SequenceClassifier(options={"zonout": 0.1}).fit(X, y)
    with pytest.raises(
        InputError, match="at least 2 different rows or groups, one for each part, got 1. Give more rows"
    ):
        SequenceClassifier(**SMALL).fit(["same"] * 2, ["a", "b"])


def test_train_from_python_returns_the_estimator_of_the_folder(tmp_path):
    X, y = texts(120)
    rows = "".join(f"{text},{label}\n" for text, label in zip(X, y))
    (tmp_path / "reviews.csv").write_text("review,label\n" + rows, encoding="utf-8")
    model = ostinato.train(
        tmp_path / "reviews.csv", text="review", target="label", out=tmp_path / "model", lens=False, **SMALL
    )
    assert type(model) is SequenceClassifier and model.folder_ == tmp_path / "model"
    assert model.outcome_.network.metric.value == 1.0 and model.history_[-1].update == 40
    assert model.predict(["good film", "bad film"]).tolist() == ["good", "bad"]
    assert equal(ostinato.load(model.folder_).predict(X), model.predict(X))
    with pytest.raises(InputError, match="ostinato.train: an option must be a known one, got 'hiden'"):
        ostinato.train(tmp_path / "reviews.csv", hiden=3)
