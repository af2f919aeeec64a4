"""A forecast from a file to a model folder and back, by the commands that a user types."""

import csv
import hashlib
import io
import json
import shutil

import numpy as np
import pytest

from program.commands import ostinato

SMALL = ("--hidden", 8, "--embedding", 8, "--updates", 40, "--no-lens")


def written(path, values, columns=("y",)):
    """A CSV of monthly values [N, K]."""
    months = np.datetime64("1990-01", "M") + np.arange(len(values))
    rows = [",".join([str(month), *(f"{v:.4f}" for v in row)]) for month, row in zip(months, values)]
    path.write_text("\n".join([",".join(["month", *columns]), *rows]) + "\n", encoding="utf-8")


def seasons(n=180, seed=0):
    """A season of twelve months over a rising level, and noise."""
    t = np.arange(n)
    noise = np.random.default_rng(seed).normal(size=n)
    return (50 + 0.2 * t + 8 * np.sin(2 * np.pi * t / 12) + noise)[:, None]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("forecast")
    written(place / "sales.csv", seasons())
    ended = ostinato(place, "train", "sales.csv", "--target", "y", "--horizon", 6, *SMALL, "--out", "model", "--json")
    return place, ended


def test_a_season_is_forecast_better_than_by_any_trivial_baseline(model):
    place, ended = model
    assert ended.status == 0, ended.err
    assert {"scaling.json", "predictions.csv", "report.html", "metrics.json"} <= {
        p.name for p in (place / "model").iterdir()
    }
    assert "The network learns the difference from the value one season before" in ended.err


def test_predict_goes_on_after_the_end_of_the_file(model):
    place, _ = model
    ended = ostinato(place, "predict", "model")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert ended.status == 0 and len(rows) == 6
    assert rows[0]["ds"].startswith("2005-01-01")
    t = 180 + np.arange(6)
    truth = 50 + 0.2 * t + 8 * np.sin(2 * np.pi * t / 12)
    for row, value in zip(rows, truth):
        low, high = (float(row[next(k for k in row if k.endswith(end))]) for end in ("lo-95", "hi-95"))
        assert low - 2 < value < high + 2 and high - low < 12


def test_evaluate_gives_the_figures_of_the_training_again(model):
    place, ended = model
    again = ostinato(place, "evaluate", "model", "--json")
    assert again.status == 0
    kept = json_of(place / "model" / "metrics.json")["test"]["model"]["value"]
    assert again.document["metrics"]["quantile_loss"]["value"] == pytest.approx(kept, rel=1e-12)


def test_the_same_updates_on_one_and_two_threads_give_one_hash(model):
    place, _ = model
    for threads in (1, 2):
        out = f"threads{threads}"
        words = ("--target", "y", "--horizon", 6, *SMALL, "--threads", threads, "--out", out)
        assert ostinato(place, "train", "sales.csv", *words).status == 0
    kept = [json_of(place / name / "config.json")["weights_sha256"] for name in ("model", "threads1", "threads2")]
    assert len(set(kept)) == 1


def test_white_noise_ends_with_status_1(tmp_path):
    written(tmp_path / "noise.csv", np.random.default_rng(4).normal(size=(300, 1)))
    ended = ostinato(tmp_path, "train", "noise.csv", "--target", "y", "--horizon", 3, *SMALL, "--out", "model")
    assert ended.status == 1


def test_the_context_is_read_by_training_and_by_predict(tmp_path):
    written(tmp_path / "two.csv", np.c_[seasons(), seasons(seed=1)], ("a", "b"))
    words = ("--target", "a,b", "--horizon", 4, "--context", 30, *SMALL, "--out", "model")
    assert ostinato(tmp_path, "train", "two.csv", *words).status == 0
    assert json_of(tmp_path / "model" / "scaling.json")["shape"]["length"] == 30
    ended = ostinato(tmp_path, "predict", "model")
    assert ended.status == 0 and len(ended.out.splitlines()) == 1 + 2 * 4


def test_a_file_of_another_step_is_refused(model):
    place, _ = model
    times = np.datetime64("1990-01-01") + 7 * np.arange(60)
    rows = [f"{time},{value[0]:.3f}" for time, value in zip(times, seasons(60))]
    (place / "weeks.csv").write_text("\n".join(["month,y", *rows]) + "\n")
    for command in ("predict", "evaluate"):
        ended = ostinato(place, command, "model", "weeks.csv")
        assert ended.status == 2 and ended.err == (
            "weeks.csv: one step of the times must be a month, as in the training, got a week. Sum or average the rows "
            "to that step, or train a model on these data.\n"
        )


def test_a_folder_that_does_not_say_its_step_answers_any(model):
    place, _ = model
    shutil.copytree(place / "model", place / "older")
    content = json_of(place / "older" / "scaling.json")
    assert content.pop("frequency") == {"unit": "month", "count": 1, "day": 1}
    before = (place / "older" / "scaling.json").read_bytes()
    (place / "older" / "scaling.json").write_text(json.dumps(content))
    digests = [hashlib.sha256(b).hexdigest() for b in (before, (place / "older" / "scaling.json").read_bytes())]
    config = (place / "older" / "config.json").read_text(encoding="utf-8").replace(*digests)
    (place / "older" / "config.json").write_text(config, encoding="utf-8")
    rows = [f"{time},{k % 7}.5" for k, time in enumerate(np.datetime64("1990-01-01") + np.arange(60))]
    (place / "days.csv").write_text("\n".join(["month,y", *rows]) + "\n")
    ended = ostinato(place, "predict", "older", "days.csv")
    assert ended.status == 0 and ended.out.splitlines()[1].split(",")[1] == "1990-03-02"
    assert ended.err == ""


def test_a_series_of_which_most_is_filled_is_said(model):
    place, _ = model
    written(place / "short.csv", seasons(4))
    ended = ostinato(place, "predict", "model", "short.csv")
    length = json_of(place / "model" / "scaling.json")["shape"]["length"]
    assert ended.status == 0 and length > 8
    assert ended.err == (
        f"Of the {length} steps that the forecast of short reads, most have no value and are filled.\n"
    )


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))
