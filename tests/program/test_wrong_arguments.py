"""Arguments of the wrong kind from Python: one message of four parts, whatever was given."""

import numpy as np
import pandas as pd
import pytest

import ostinato
from ostinato.errors import InputError
from program.commands import ostinato as command

COUNT = "a whole number of 1 or more, got"


@pytest.fixture(scope="module")
def writer():
    return ostinato.LanguageModel(updates=1, hidden=4, embedding=4).fit([f"item {k}" for k in range(60)])


@pytest.fixture(scope="module")
def series():
    values = np.arange(80.0) % 7 + np.arange(80) % 3
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=80), "y": values})


@pytest.fixture(scope="module")
def forecaster(series):
    return ostinato.Forecaster(horizon=4, updates=1, hidden=4).fit(series)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"count": 1.5}, f"count must be {COUNT} 1.5."),
        ({"count": 0}, f"count must be {COUNT} 0."),
        ({"length": "a"}, f"length must be {COUNT} 'a'."),
        ({"length": 2.5}, f"length must be {COUNT} 2.5."),
        ({"seed": "a"}, "seed must be a whole number, got 'a'. The same seed gives the same draws."),
        ({"seed": 1.0}, "seed must be a whole number, got 1.0. The same seed gives the same draws."),
        ({"prompt": None}, "prompt must be a text, got None. Leave it out to begin without one."),
        ({"stop": 5}, "stop must be a text of one character or more, got 5. Leave it out to write until length."),
        ({"top_k": 1.5}, f"top_k must be {COUNT} 1.5. Leave it out to draw from all units."),
        ({"top_p": "x"}, "top_p must be a share above 0 and up to 1, got 'x'. Leave it out to draw from all units."),
        (
            {"temperature": None},
            "temperature must be a number of 0 or more, got None. 0 takes the most probable unit each time, 1 "
            "follows the model's probabilities.",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(writer, given, message):
    with pytest.raises(InputError) as refused:
        writer.generate(**given)
    assert str(refused.value) == f"LanguageModel: {message}"


def test_numbers_of_numpy_are_numbers(writer):
    plain = writer.generate(2, length=5, temperature=0.5, top_k=3)
    assert writer.generate(np.int64(2), length=np.int32(5), temperature=np.float32(0.5), top_k=np.int64(3)) == plain
    assert writer.generate(2, length=5, seed=np.int64(3)) == writer.generate(2, length=5, seed=3)


@pytest.mark.parametrize("name, value", [("windows", 0), ("windows", 1.5), ("step", 0), ("step", True)])
def test_windows_and_steps_of_a_cross_validation_are_whole_numbers(forecaster, name, value):
    with pytest.raises(InputError) as refused:
        forecaster.cross_validation(**{name: value})
    assert str(refused.value) == f"cross_validation: {name} must be {COUNT} {value!r}."


def test_a_level_that_is_no_number_is_refused(forecaster):
    with pytest.raises(InputError) as refused:
        forecaster.predict(level="x")
    assert str(refused.value) == "predict: level must be among 80, 95, got 'x'. Fit with it among levels."


def test_one_level_and_one_name_are_lists_of_one(series):
    promoted = series.assign(promo=np.arange(80) % 2)
    model = ostinato.Forecaster(horizon=4, levels=50, series="promo", updates=1, hidden=4).fit(promoted)
    assert model.train_options_.data.series == ("promo",)
    assert list(model.predict().columns) == ["unique_id", "ds", "ostinato", "ostinato-lo-50", "ostinato-hi-50"]


def test_a_series_of_pandas_is_a_series(series):
    found = ostinato.Forecaster(horizon=4, updates=1, hidden=4).fit(series["y"]).predict()
    assert found["ds"].to_list() == [80, 81, 82, 83]


def test_a_cell_that_is_no_text_is_refused(series):
    with pytest.raises(InputError) as refused:
        ostinato.Forecaster(horizon=4, cell=5).fit(series)
    assert str(refused.value) == "cell: the cell must be a name or a canonical text, got 5. Write gru, say."


@pytest.mark.parametrize(
    "paths, given, message",
    [
        ((5,), {}, "ostinato.train: paths must be a path, got 5. Such as \"reviews.csv\"."),
        (("a.csv",), {"out": 5}, "ostinato.train: out must be a path, got 5. Such as \"reviews.csv\"."),
        (("a.csv",), {"levels": "80"},
         "ostinato.train: levels must be percent above 0 and below 100, got '80'. Write levels=[80, 95]."),
    ],
)  # fmt: skip
def test_train_refuses_what_is_no_path_or_no_number(paths, given, message):
    with pytest.raises(InputError) as refused:
        ostinato.train(*paths, **given)
    assert str(refused.value) == message


def test_levels_of_the_options_are_a_list():
    from ostinato.program.options import TrainOptions

    with pytest.raises(InputError) as refused:
        TrainOptions.of("here", {"levels": 80})
    assert str(refused.value) == "here: levels must be a list of percents, got 80. Write (80, 95)."


@pytest.mark.parametrize(
    "task, note",
    [
        ("language-model", "6 units of 7 are not in the vocabulary."),
        ("generate", "6 characters of 6 in these rows are not in the vocabulary."),
    ],
)
def test_evaluate_says_what_of_a_file_is_not_in_the_vocabulary(tmp_path, task, note):
    (tmp_path / "a.txt").write_text("".join(f"abc {k}\n" for k in range(200)), encoding="utf-8")
    (tmp_path / "b.txt").write_text("ΩΩΩΩΩΩ\n", encoding="utf-8")
    flags = ("--updates", 1, "--hidden", 4, "--embedding", 4, "--no-baselines", "--no-lens", "--quiet")
    ended = command(tmp_path, "train", "a.txt", "--task", task, *flags, "--out", "model")
    assert ended.status in (0, 1), ended.err
    assert note in command(tmp_path, "evaluate", "model", "b.txt").out
    assert command(tmp_path, "evaluate", "model", "b.txt", "--json").document["notes"] == [note]
    assert command(tmp_path, "evaluate", "model", "--json").document["notes"] == []
