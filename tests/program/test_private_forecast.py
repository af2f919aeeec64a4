"""A private folder of several series: no name or value of a row is in it; it still continues the training's file."""

import datetime
import json

import numpy as np
import pytest

import ostinato as package
from program.commands import ostinato

NAMES = ("secretanna", "secretbob", "secretcarl", "secretemil")
COMMAND = ("--target", "y", "--id", "id", "--horizon", 7, "--hidden", 8, "--updates", 2, "--no-lens", "--no-baselines")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A folder `open` and a private one of the same rows: a gap, a constant and a short series, which notes name."""
    place = tmp_path_factory.mktemp("private")
    noise, rows = np.random.default_rng(0), ["id,ds,y"]
    for k, (name, steps) in enumerate(zip(NAMES, (90, 90, 60, 90))):
        for t in range(steps):
            value = 5.0 if name == "secretemil" else 10 + 5 * k + 3 * np.sin(2 * np.pi * t / 7) + noise.normal()
            if (k, t) != (1, 30):
                rows.append(f"{name},{datetime.date(2020, 1, 1) + datetime.timedelta(days=t)},{value:.3f}")
    (place / "s.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for out, flags in (("open", ()), ("private", ("--private",))):
        ended = ostinato(place, "train", "s.csv", *COMMAND, "--out", out, *flags)
        assert ended.status in (0, 1), ended.err
    return place


def content(folder):
    """All bytes of all files."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_file_of_a_private_folder_has_a_name_of_a_series_or_a_time_of_a_row(both):
    found, opened = content(both / "private"), content(both / "open")
    for secret in (*NAMES, "2020-01-31"):
        assert secret.encode() in opened, "the check below can find something"
        assert secret.encode() not in found, secret


def test_series_have_numbers_in_the_metrics_of_a_private_folder(both):
    opened, private = (json.loads((both / name / "metrics.json").read_text()) for name in ("open", "private"))
    assert list(private["details"]["by_series"]) == ["1", "2", "3"], "the short series ends before the test part"
    assert list(private["details"]["by_series"].values()) == list(opened["details"]["by_series"].values())


@pytest.mark.parametrize("words", [("evaluate",), ("predict",)])
def test_a_private_folder_answers_on_the_training_s_files_as_the_open_one_does(both, words):
    opened, private = (ostinato(both, *words, name) for name in ("open", "private"))
    assert private.status == 0 and private.out == opened.out and NAMES[0] in private.out


def test_inspect_of_a_private_folder_measures_what_that_of_the_open_one_does(both):
    opened, private = (ostinato(both, "inspect", name, "--out", f"{name}.json") for name in ("open", "private"))
    assert private.status == opened.status == 0
    assert private.out.replace("private", "open") == opened.out


def test_a_loaded_private_forecaster_continues_the_training_s_file(both, monkeypatch):
    monkeypatch.chdir(both)
    opened, private = (package.load(name).predict() for name in ("open", "private"))
    assert opened.equals(private)


def test_saving_a_loaded_private_forecaster_anew_keeps_the_names_out(both, monkeypatch):
    monkeypatch.chdir(both)
    model = package.load("private")
    model.predict()
    assert NAMES[0] in model.task_.scaling.scales
    task, notes = model.task_.private()
    assert not task.scaling.scales and not task.reference.scales
    assert notes == [
        "The folder is private and has no names of series, so of another file than the training's every series is "
        "scaled by its own values before the forecast."
    ]
    assert notes[0] in (both / "private/README.md").read_text()


def test_a_private_folder_forecasts_another_file_with_the_series_own_scales(both):
    ended = ostinato(both, "predict", "private", "s.csv")
    assert ended.status == 0 and ended.out.count("\n") == 1 + 7 * len(NAMES)


def test_a_private_folder_of_one_series_keeps_its_scale_without_its_name(both):
    lines = (both / "s.csv").read_text().splitlines()
    (both / "one.csv").write_text("\n".join([lines[0], *(x for x in lines if NAMES[0] in x)]) + "\n")
    for out, flags in (("one-open", ()), ("one-private", ("--private",))):
        assert ostinato(both, "train", "one.csv", *COMMAND, "--out", out, *flags).status in (0, 1)
    assert NAMES[0].encode() not in content(both / "one-private")
    opened, private = (ostinato(both, "predict", name, "one.csv") for name in ("one-open", "one-private"))
    assert opened.out == private.out and opened.status == 0


def test_a_folder_whose_metric_is_none_of_a_forecast_is_refused(both):
    from ostinato.program.tasks.forecasting.forecast import Forecast

    files = {"scaling.json": json.loads((both / "open/scaling.json").read_text())}
    files["scaling.json"]["metric"] = "accuracy"
    with pytest.raises(ValueError, match="the metric 'accuracy'"):
        Forecast.from_json(files)
