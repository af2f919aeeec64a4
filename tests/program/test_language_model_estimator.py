"""`LanguageModel`: scikit-learn's contract, conditions, new texts, saved and loaded."""

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

import ostinato
from ostinato import LanguageModel
from ostinato.errors import InputError
from ostinato.program.options import TrainOptions
from ostinato.program.tasks.registry import task_named
from ostinato.program.text_options import text_options
from program.tasks.made_items import SMALL, letters

FAST = {**SMALL, "updates": 250}
ITEMS = letters(300)
TEXTS, GIVEN = list(ITEMS.targets), [given[0] for given in ITEMS.inputs]


@pytest.fixture(scope="module")
def fitted():
    return LanguageModel(**FAST).fit(TEXTS, GIVEN)


def test_parameters_are_read_set_and_cloned():
    made = LanguageModel(hidden=7, options={"zoneout": 0.1})
    assert made.get_params()["hidden"] == 7 and made.get_params()["cell"] is None
    assert made.set_params(hidden=9, cell="lstm") is made and (made.hidden, made.cell) == (9, "lstm")
    copy = clone(made)
    assert copy.get_params() == made.get_params() and not hasattr(copy, "network_")
    with pytest.raises(NotFittedError):
        made.generate()


def test_options_that_are_left_out_are_the_task_s_own(fitted):
    options = fitted.train_options_
    assert (options.network.hidden, options.fit.learning_rate) == (SMALL["hidden"], SMALL["learning_rate"])
    assert not options.network.both_directions and options.network.layers == 1
    small = LanguageModel(updates=1).fit(TEXTS[:40])
    assert small.train_options_.network.hidden == 256 and small.train_options_.fit.learning_rate == 5e-3


def test_texts_obey_the_condition_and_the_seed_gives_them_again(fitted):
    for given in ({"given": "a"}, "a", ("a",)):
        texts = fitted.generate(8, given=given, top_p=0.9, seed=4)
        assert all(set(text) == {"a"} for text in texts)
        assert fitted.generate(8, given=given, top_p=0.9, seed=4) == texts
    assert fitted.generate(20, seed=4) != fitted.generate(20, seed=5)
    assert fitted.generate(1, prompt="bb", given="b", temperature=0)[0].startswith("bb")


def test_score_is_minus_the_nats_and_bits_are_of_characters(fitted):
    nats = -fitted.score(TEXTS, GIVEN)
    assert 0.3 < nats < 0.5
    assert fitted.bits_per_character(TEXTS, GIVEN) == pytest.approx(nats / np.log(2))
    wrong = ["b" if given == "a" else "a" for given in GIVEN]
    assert fitted.score(TEXTS, wrong) < -2 * nats
    steps = np.array([len(text) + 1 for text in TEXTS])
    assert (fitted.predict(TEXTS, GIVEN) * steps).sum() / steps.sum() == pytest.approx(nats, rel=1e-6)


def test_a_saved_model_gives_the_same_texts_and_scores(fitted, tmp_path):
    folder = fitted.save(tmp_path / "letters")
    again = ostinato.load(folder)
    assert isinstance(again, LanguageModel)
    assert again.generate(10, seed=3) == fitted.generate(10, seed=3)
    assert again.score(TEXTS, GIVEN) == fitted.score(TEXTS, GIVEN)
    assert clone(again).get_params()["hidden"] == SMALL["hidden"]


def test_it_works_in_cross_validation_and_in_a_search():
    quick = LanguageModel(**{**FAST, "updates": 20})
    scores = cross_val_score(quick, TEXTS[:90], GIVEN[:90], cv=3)
    assert scores.shape == (3,) and (scores < 0).all()
    found = GridSearchCV(quick, {"hidden": [4, 32]}, cv=2).fit(TEXTS[:90], GIVEN[:90])
    assert found.best_params_ == {"hidden": 32}


def test_numbers_frames_and_several_columns_are_conditions():
    quick = {**FAST, "updates": 5}
    numbers = np.array([[1.0, 2.0] if given == "a" else [-1.0, 2.0] for given in GIVEN])
    assert LanguageModel(**quick).fit(TEXTS, numbers).task_.conditions.scaling is not None
    frame = pandas.DataFrame({"letter": GIVEN, "sign": ["x"] * len(GIVEN)})
    model = LanguageModel(**quick).fit(TEXTS, frame)
    assert model.task_.conditions.columns == ["letter", "sign"]
    assert len(model.generate(2, given={"letter": "a"})) == 2
    of_numbers = LanguageModel(**quick).fit(TEXTS, pandas.DataFrame({"x": numbers[:, 0]}))
    assert of_numbers.task_.conditions.columns == ["x"]
    assert len(of_numbers.generate(1, given={"x": 0.5})) == 1


def test_a_file_trains_the_same_estimator(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{given},{text}\n" for given, text in zip(GIVEN, TEXTS))
    (tmp_path / "words.csv").write_text("letter,word\n" + rows, encoding="utf-8")
    model = ostinato.train("words.csv", target="word", given="letter", lens=False, **{**FAST, "updates": 10})
    assert isinstance(model, LanguageModel) and model.folder_.name == "words-model"
    assert model.generate(1, given={"letter": "a"}) == ostinato.load(model.folder_).generate(1, given={"letter": "a"})


@pytest.mark.parametrize(
    "X, given, message",
    [
        ([], None, "LanguageModel: X must be a list of texts, got none. Pass [text, text, …]."),
        (["a", 3], None, "LanguageModel: X must be a list of texts, got int at place 1. Pass [text, text, …]."),
        (
            ["a", "b"],
            ["x"],
            "LanguageModel: given must be of 2 rows, as X, got 1 rows. Pass one value, or one row of values, for each "
            "text.",
        ),
        (
            ["a", "b"],
            [("x", "y"), ("x",)],
            "LanguageModel: given must be rows of 2 values, got 1 at place 1. Pass as many values for each text.",
        ),
    ],
)
def test_values_that_are_no_texts_or_conditions_are_refused(X, given, message):
    with pytest.raises(InputError) as refused:
        LanguageModel(**FAST).fit(X, given)
    assert str(refused.value) == message


def test_conditions_that_are_neither_names_nor_numbers_are_refused():
    with pytest.raises(InputError, match="LanguageModel: given must be strings, or numbers"):
        LanguageModel(**FAST).fit(["a", "b"], [{"x": 1}, {"x": 2}])


def test_a_count_and_values_that_cannot_be_are_refused(fitted):
    with pytest.raises(InputError) as refused:
        fitted.generate(0)
    assert str(refused.value) == "LanguageModel: count must be a whole number of 1 or more, got 0."
    with pytest.raises(InputError) as refused:
        fitted.generate(1, given=("a", "b"))
    expected = "LanguageModel: given must be 1 value, one for each column, or {column: value}, got 2 values."
    assert str(refused.value) == f"{expected} Pass {{column: value}}."


CYCLE = "abcdefg hij. " * 120
STREAM = {"hidden": 24, "embedding": 8, "layers": 1, "dropout": 0.0, "learning_rate": 0.02, "batch": 8, "k1": 32}


@pytest.fixture(scope="module")
def novel():
    return LanguageModel(**STREAM, updates=150).fit(CYCLE)


def test_one_text_is_learned_and_gone_on_with(novel):
    assert novel.task_.name == "language-model" and novel.train_options_.network.cell.startswith("@cell")
    assert novel.generate(prompt="abc", length=30, temperature=0) == [CYCLE[:33]]
    assert novel.bits_per_character(CYCLE) < 0.3 and novel.score(CYCLE) > -0.2
    assert novel.predict(CYCLE)[0] == pytest.approx(-novel.score(CYCLE), rel=1e-6)
    assert novel.score("jih gfe cba.") < -1


def test_a_saved_language_model_goes_on_with_the_same_text(novel, tmp_path):
    again = ostinato.load(novel.save(tmp_path / "novel"))
    assert isinstance(again, LanguageModel)
    assert again.generate(2, "hi", length=40, seed=3) == novel.generate(2, "hi", length=40, seed=3)


def test_documents_of_a_list_are_read_on_and_on():
    model = LanguageModel(**STREAM, items=False, updates=5).fit([CYCLE, CYCLE])
    assert model.task_.name == "language-model" and model.predict([CYCLE, CYCLE]).shape == (2,)
    with pytest.raises(InputError) as refused:
        model.fit([CYCLE], ["x"])
    assert str(refused.value) == (
        "LanguageModel: given must be None for a text, got list. A condition is of items: pass a list of them, and "
        "leave items=False out."
    )


def test_a_condition_for_a_language_model_is_refused(novel):
    with pytest.raises(InputError) as refused:
        novel.generate(given={"kind": "x"})
    assert str(refused.value) == (
        "LanguageModel: given must be left out for a language model, got kind. Train with given to have such columns."
    )


def test_the_estimator_has_the_defaults_of_the_command():
    task = task_named("language-model")
    typed = TrainOptions.of("ostinato train", {}).for_task(task.defaults)
    made = text_options(LanguageModel(), "LanguageModel", "language-model")
    for part in ("network", "fit"):
        theirs, ours = ({**vars(getattr(o, part))} for o in (typed, made))
        differing = {name for name in theirs if theirs[name] != ours[name]}
        assert differing <= {"minutes", "cell"}, part
