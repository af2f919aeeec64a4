"""`ostinato.Forecaster`: the columns that Nixtla's users know, in the type of DataFrame that was given."""

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone

import ostinato
from ostinato.errors import InputError
from program.data.made_series import csv, months, wave

pandas = pytest.importorskip("pandas")
N = 96
VALUES = wave(N, 12, 0.1, 0.2)
BANDS = ["ostinato", "ostinato-lo-80", "ostinato-hi-80", "ostinato-lo-95", "ostinato-hi-95"]


def frame(names="a", steps=N, **more):
    """Monthly series of one period, the second twice as large."""
    parts = [
        pandas.DataFrame(
            {
                "unique_id": name,
                "ds": pandas.date_range("2000-01-01", periods=steps, freq="MS"),
                "y": k * VALUES[:steps],
            }
            | {n: v[:steps] for n, v in more.items()}
        )
        for k, name in enumerate(names, 1)
    ]
    return pandas.concat(parts, ignore_index=True)


def to_polars(data):
    return pl.DataFrame({name: data[name].to_list() for name in data.columns})


def model(**options):
    return ostinato.Forecaster(**{"horizon": 6, "updates": 3, "hidden": 8, **options})


@pytest.fixture(scope="module")
def fitted():
    return model().fit(frame())


def test_a_forecast_continues_after_the_end_with_bands(fitted):
    found = fitted.predict()
    assert isinstance(found, pandas.DataFrame)
    assert list(found.columns) == ["unique_id", "ds", *BANDS]
    assert [str(t)[:10] for t in found["ds"]] == [f"2008-0{n}-01" for n in range(1, 7)]
    assert found["ds"].dtype == frame()["ds"].dtype
    numbers = found[["ostinato-lo-95", "ostinato-lo-80", "ostinato", "ostinato-hi-80", "ostinato-hi-95"]].to_numpy()
    assert np.isfinite(numbers).all() and (np.diff(numbers, axis=1) >= 0).all()
    assert fitted.horizon_ == 6 and any(note.startswith("The season is 12 steps") for note in fitted.notes_)


def test_polars_is_answered_with_polars_and_with_the_same_numbers(fitted):
    found = model().fit(to_polars(frame())).predict()
    assert isinstance(found, pl.DataFrame) and found.columns == ["unique_id", "ds", *BANDS]
    assert (found[BANDS].to_numpy() == fitted.predict()[BANDS].to_numpy()).all()


def test_an_array_is_a_series_whose_rows_are_steps(fitted):
    found = model().fit(VALUES).predict()
    assert isinstance(found, pl.DataFrame)
    assert found["ds"].to_list() == list(range(N, N + 6)) and set(found["unique_id"]) == {"series"}
    both = model().fit(np.stack([VALUES, -VALUES], axis=1)).predict()
    assert both["unique_id"].to_list() == ["y1"] * 6 + ["y2"] * 6
    rolled = model().cross_validation(np.stack([VALUES, -VALUES], axis=1), windows=2)
    assert rolled["cutoff"].unique().to_list() == [N - 8, N - 7] and len(rolled) == 2 * 2 * 6
    date = pandas.DataFrame({"ds": frame()["ds"].dt.date, "y": VALUES})
    assert [str(t)[:10] for t in model().fit(date).predict()["ds"]][0] == "2008-01-01"


def test_fewer_steps_and_fewer_levels(fitted):
    found = fitted.predict(h=2, level=[80])
    assert list(found.columns) == ["unique_id", "ds", *BANDS[:3]] and len(found) == 2
    whole = fitted.predict()
    assert (found["ostinato"] == whole["ostinato"][:2]).all()


def test_several_series_are_continued_each(fitted):
    found = model().fit(frame(["a", "b"])).predict()
    assert found["unique_id"].tolist() == ["a"] * 6 + ["b"] * 6
    assert found["ostinato"][6:].mean() > 1.5 * found["ostinato"][:6].mean()


def test_other_data_are_continued_after_their_own_end(fitted):
    found = fitted.predict(frame(["c"], 48))
    assert set(found["unique_id"]) == {"c"} and str(found["ds"][0])[:10] == "2004-01-01"


def test_covariates_known_ahead_are_given_as_future_rows():
    data = frame(promo=np.arange(N) % 2)
    one = model(future=("promo",)).fit(data)
    ahead = pandas.DataFrame(
        {"unique_id": "a", "ds": pandas.date_range("2008-01-01", periods=6, freq="MS"), "promo": [0, 1] * 3}
    )
    assert len(one.predict(future=ahead)) == 6
    with pytest.raises(InputError) as caught:
        one.predict()
    assert str(caught.value) == (
        "series: promo must be given for the 6 steps to forecast, got none for a at 2008-01-01, 2008-02-01, 2008-03-01 "
        "and 3 more. Append rows with these times and values, the target left empty, to a copy of the file, and give "
        "it: ostinato predict MODEL FILE."
    )
    with pytest.raises(InputError) as caught:
        one.predict(future=ahead.astype({"promo": str}).assign(y=[["x"]] * 6))
    assert str(caught.value).startswith("predict: future must be of the types of `fit`, got ")


def test_a_cross_validation_has_cutoffs_and_is_fitted_before_the_first(fitted):
    data = frame(["a", "b"])
    found = model().fit(data).cross_validation(windows=3, step=2)
    assert list(found.columns) == ["unique_id", "ds", "cutoff", "y", *BANDS]
    assert len(found) == 2 * 3 * 6
    cutoffs = sorted({str(t)[:7] for t in found["cutoff"]})
    assert cutoffs == ["2007-02", "2007-04", "2007-06"]
    joined = found.merge(data, on=["unique_id", "ds"], suffixes=("", "_known"))
    assert len(joined) == len(found) and (joined["y"] == joined["y_known"]).all()
    changed = data.copy()
    changed.loc[changed["ds"] > "2007-06-01", "y"] = 1e6
    again = model().cross_validation(changed, windows=3, step=2)
    assert (again[BANDS].to_numpy() == found[BANDS].to_numpy()).all()


def test_utilsforecast_evaluates_the_table(fitted):
    losses = pytest.importorskip("utilsforecast.losses")
    from utilsforecast.evaluation import evaluate

    found = fitted.cross_validation(windows=2, step=6)
    table = evaluate(
        found.drop(columns="cutoff"), metrics=[losses.mae, losses.coverage], models=["ostinato"], level=[80, 95]
    )
    mae = table.loc[table["metric"] == "mae", "ostinato"].item()
    assert mae == pytest.approx(np.abs(found["y"] - found["ostinato"]).mean())
    inside = (found["y"] >= found["ostinato-lo-80"]) & (found["y"] <= found["ostinato-hi-80"])
    assert table.loc[table["metric"] == "coverage_level80", "ostinato"].item() == pytest.approx(inside.mean())


def test_a_saved_model_continues_data_that_are_given(fitted, tmp_path):
    path = fitted.save(tmp_path / "m")
    loaded = ostinato.load(path)
    assert isinstance(loaded, ostinato.Forecaster) and loaded.horizon == 6 and loaded.horizon_ == 6
    assert (loaded.predict(frame())[BANDS].to_numpy() == fitted.predict()[BANDS].to_numpy()).all()
    with pytest.raises(InputError) as caught:
        loaded.predict()
    assert str(caught.value) == (
        "predict: X must be given for a model that was loaded, got none. Give the series as X: a model folder does not "
        "hold them."
    )
    with pytest.raises(InputError) as caught:
        loaded.cross_validation()
    assert str(caught.value) == "cross_validation: X must be given before `fit`, got none. Give a DataFrame."


def test_the_command_forecasts_with_a_saved_model(fitted, tmp_path):
    from ostinato.program.running.predict import predict_lines, predict_table

    path = fitted.save(tmp_path / "m")
    data = tmp_path / "a.csv"
    data.write_text(csv(unique_id=["a"] * N, ds=months(N), y=VALUES))
    lines = predict_table(path, data).splitlines()
    assert lines[0] == "unique_id,ds,median,lo-80,hi-80,lo-95,hi-95" and len(lines) == 7
    assert lines[1].startswith("a,2008-01-01,")
    assert float(lines[1].split(",")[2]) == fitted.predict()["ostinato"][0]
    with pytest.raises(InputError) as caught:
        predict_table(path)
    assert str(caught.value) == (
        "ostinato predict: DATA must be given for a model that was trained from Python, got none. Give a file with the "
        "series as DATA."
    )
    with pytest.raises(InputError) as caught:
        predict_lines(path, [], None)
    assert str(caught.value) == (
        "ostinato predict: DATA must be a file, as a forecast reads whole series, got - for lines. Give a file with "
        "the series, or none, to forecast after the end of the training's."
    )


def test_parameters_are_those_of_the_constructor_and_a_clone_has_them():
    one = model(levels=(50,), context=24, options={"zoneout": 0.1})
    copy = clone(one)
    assert copy.get_params() == one.get_params() and not hasattr(copy, "network_")
    assert list(copy.fit(frame()).predict().columns) == [
        "unique_id",
        "ds",
        "ostinato",
        "ostinato-lo-50",
        "ostinato-hi-50",
    ]


def test_without_a_horizon_one_season_is_forecast():
    assert len(model(horizon=None).fit(frame()).predict()) == 12


@pytest.mark.parametrize(
    "given, message",
    [
        ({"h": 7}, "predict: h must be a whole number from 1 to 6, got 7. Fit with a longer horizon."),
        ({"h": True}, "predict: h must be a whole number from 1 to 6, got True. Fit with a longer horizon."),
        ({"level": [90]}, "predict: level must be among 80, 95, got 90. Fit with it among levels."),
        (
            {"X": "a.csv"},
            "predict: the data must be a DataFrame of pandas or polars, or an array [N] or [N, K] of numbers, got "
            "'a.csv'. Name the columns unique_id, ds, y.",
        ),
        (
            {"X": np.zeros((2, 2, 2))},
            "predict: the data must be a DataFrame of pandas or polars, or an array [N] or [N, K] of numbers, got an "
            "array of shape [2, 2, 2]. Reshape it.",
        ),
    ],
)
def test_what_the_model_has_not_been_trained_for_is_refused(fitted, given, message):
    with pytest.raises(InputError) as caught:
        fitted.predict(**given)
    assert str(caught.value) == message


def test_a_cross_validation_of_a_short_series_is_refused(fitted):
    with pytest.raises(InputError) as caught:
        fitted.cross_validation(windows=20, step=6)
    assert str(caught.value) == (
        "cross_validation: the series a must be longer than 126 steps, for 20 windows of 6, got 96 steps. Give more "
        "rows, fewer windows or a shorter horizon."
    )


def test_a_constant_series_is_refused():
    with pytest.raises(InputError) as caught:
        model().fit(np.ones(60))
    assert str(caught.value) == (
        "fit: the data must be free of errors, got this one: y is constant in all training steps. `ostinato check` "
        "lists all of them."
    )


def test_train_gives_a_forecaster_that_continues_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales.csv").write_text(csv(month=months(N), sold=VALUES))
    made = ostinato.train("sales.csv", target="sold", horizon=4, updates=3, hidden=8, lens=False, baselines=False)
    assert isinstance(made, ostinato.Forecaster) and made.horizon == 4
    found = made.predict()
    assert found["unique_id"].to_list() == ["sales"] * 4
    assert [str(t)[:10] for t in found["ds"]] == ["2008-01-01", "2008-02-01", "2008-03-01", "2008-04-01"]
    again = ostinato.load(made.folder_).predict(level=[80])
    assert again.columns == ["unique_id", "ds", *BANDS[:3]]
    assert again["ostinato"].to_list() == found["ostinato"].to_list()

    from ostinato.program.running.predict import predict_table

    lines = predict_table(made.folder_).splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["2008-01-01", "2008-02-01", "2008-03-01", "2008-04-01"]
    (tmp_path / "sales.csv").write_text(csv(month=months(N + 1), sold=[*VALUES, 1.0]))
    with pytest.raises(InputError) as caught:
        predict_table(made.folder_)
    assert str(caught.value) == (
        "ostinato predict: sales.csv must be the file of the training, got one that has changed. Give it as DATA, to "
        "forecast after its new end."
    )
    assert predict_table(made.folder_, tmp_path / "sales.csv").splitlines()[1].startswith("sales,2008-02-01,")
    (tmp_path / "sales.csv").unlink()
    with pytest.raises(InputError) as caught:
        predict_table(made.folder_)
    assert str(caught.value) == (
        "ostinato predict: the file of the training must be still there, got none at sales.csv, here or beside the "
        "model folder. Give a file with the series as DATA."
    )


def test_data_of_another_step_are_refused(fitted):
    days = frame().assign(ds=pandas.date_range("2000-01-01", periods=N, freq="D"))
    with pytest.raises(InputError) as caught:
        fitted.predict(days)
    assert str(caught.value) == (
        "predict: one step of the times must be a month, as in the training, got a day. Sum or average the rows to "
        "that step, or train a model on these data."
    )
