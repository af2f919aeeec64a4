"""`Transcriber`: scikit-learn's contract, series and symbols, saved and loaded."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

import ostinato
from ostinato.errors import InputError
from ostinato.program.tasks.registry import task_named
from program.tasks.made_transcripts import SMALL, codes, keys

FAST = {**SMALL, "updates": 120}
MADE = codes(350)
SERIES, TEXTS = list(MADE.inputs), list(MADE.targets)


@pytest.fixture(scope="module")
def fitted():
    return ostinato.Transcriber(**FAST).fit(SERIES[:250], TEXTS[:250])


def test_parameters_are_read_set_and_cloned():
    made = ostinato.Transcriber(hidden=7, beam=3, options={"zoneout": 0.1})
    assert made.get_params()["hidden"] == 7 and made.get_params()["cell"] is None
    assert made.set_params(hidden=9, cell="lstm") is made and (made.hidden, made.cell) == (9, "lstm")
    copy = clone(made)
    assert copy.get_params() == made.get_params() and not hasattr(copy, "network_")
    with pytest.raises(NotFittedError):
        made.predict(SERIES)


def test_options_that_are_left_out_are_the_task_s_own(fitted):
    options = fitted.train_options_
    assert (options.network.hidden, options.fit.learning_rate) == (SMALL["hidden"], SMALL["learning_rate"])
    assert options.network.beam == 5 and not options.network.lowercase
    usual = ostinato.Transcriber(updates=1).fit(SERIES[:20], TEXTS[:20]).train_options_.network
    assert (usual.layers, usual.hidden) == (task_named("transcribe").defaults["layers"], 128)


def test_transcripts_are_predicted_and_scored_by_characters(fitted):
    found = fitted.predict(SERIES[250:])
    assert isinstance(found, list) and all(isinstance(text, str) for text in found)
    score = fitted.score(SERIES[250:], TEXTS[250:])
    wrong = sum(a != b for a, b in zip(found, TEXTS[250:]))
    assert score >= 0.99 and wrong <= 3
    assert fitted.score(SERIES[:1], ["z" * 8]) == pytest.approx(1 - max(8, len(found[0])) / 8, abs=0.2)


def test_it_works_in_cross_validation():
    scores = cross_val_score(ostinato.Transcriber(**SMALL, updates=40), SERIES[:90], TEXTS[:90], cv=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()


def test_a_saved_model_writes_the_same(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    again = ostinato.load(folder)
    assert isinstance(again, ostinato.Transcriber)
    assert again.predict(SERIES[250:]) == fitted.predict(SERIES[250:])
    assert again.get_params()["beam"] == 5 and again.task_.remark == fitted.task_.remark


def test_symbols_are_read_as_lists_and_as_texts():
    for kind in ("tokens", "text"):
        rows = keys(30, kind=kind)
        made = ostinato.Transcriber(**SMALL, updates=2).fit(list(rows.inputs), list(rows.targets))
        assert made.task_.inputs.kind == kind and len(made.predict(list(rows.inputs)[:3])) == 3


@pytest.mark.parametrize(
    "X, y, message",
    [
        (SERIES[:3], TEXTS[:2], "fit: y must be of 3 rows, as X, got 2 rows. Pass one target a row."),
        (SERIES[:2], ["a", None], "fit: y[1] must be a text, got None. Leave such rows out."),
    ],
)
def test_targets_that_are_no_texts_are_refused(X, y, message):
    with pytest.raises(InputError) as refused:
        ostinato.Transcriber(**FAST).fit(X, y)
    assert str(refused.value).partition(": ")[2] == message.partition(": ")[2]


def test_an_unknown_option_of_a_beam_is_refused():
    with pytest.raises(InputError) as refused:
        ostinato.Transcriber(beam=0).fit(SERIES[:9], TEXTS[:9])
    assert str(refused.value) == (
        "Transcriber: beam must be a whole number from 1 to 1,000, got 0. 1 follows the most probable unit each time."
    )


def test_series_without_steps_have_empty_transcripts(fitted):
    channels = np.shape(SERIES[0])[1]
    assert fitted.predict([np.zeros((0, channels))] * 2) == ["", ""]


@pytest.mark.parametrize("own", [{"steps": 0}, {"beam": 0}, {"beam": 10**9}])
def test_a_folder_with_steps_or_a_beam_that_no_training_has_is_refused(fitted, own):
    files = dict(fitted.task_.to_json())
    files["transcripts.json"] = {**files["transcripts.json"], **own}
    with pytest.raises(ValueError, match=r"^\d+ steps of a frame and a beam of \d+$"):
        type(fitted.task_).from_json(files)


def test_a_score_before_a_fit_is_refused_as_scikit_learn_does():
    with pytest.raises(NotFittedError):
        ostinato.Transcriber().score(SERIES[:3], TEXTS[:3])
