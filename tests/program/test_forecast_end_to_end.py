"""A forecast from a file to a model folder and back, by the commands that a user types."""

import csv
import io
import json

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


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))
