"""The tasks of the benchmark on real data: their made files, what a model is asked after its training, tiny runs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import real_data
import real_made
import real_sequences
import real_task
import results
import results_page
import soundfile
import torch_twin

BY_NAME = {task.name: task for task in real_data.TASKS}


def test_every_task_has_a_name_of_its_own_an_aim_among_its_metrics_and_a_published_figure_with_its_source():
    assert len(BY_NAME) == len(real_data.TASKS)
    for task in real_data.TASKS:
        asked = {"agreement", "exact_match"} if task.asked else set()
        assert {aim.metric for aim in task.aims} <= {*task.metrics, *asked}, task.name
        assert task.published and all(found.source and found.figure for found in task.published)


def test_no_scene_is_in_two_parts_and_a_sentence_says_its_columns(tmp_path):
    given = real_made.scenes(tmp_path, tmp_path, 200)
    lines = (tmp_path / "scenes.csv").read_text(encoding="utf-8").splitlines()
    rows = [line.split(",") for line in lines]
    assert rows[0][:7] == given["given"].split(",") and len(rows) == 201
    parts = {}
    for *columns, caption, part in rows[1:]:
        assert caption == "a {} {} {} is {} a {} {} {}".format(*columns)
        assert parts.setdefault(caption, part) == part
    assert sorted(set(parts.values())) == ["test", "train", "valid"] and len(parts) == 200


def test_recordings_are_the_same_each_time_and_hold_the_tones_of_their_digits(tmp_path):
    for folder in ("first", "again"):
        (tmp_path / folder).mkdir()
        real_made.calls(tmp_path, tmp_path / folder, 3)
    for path in sorted((tmp_path / "first").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "first")).read_bytes()
    samples, rate = soundfile.read(tmp_path / "first" / "calls" / "0.wav")
    number = (tmp_path / "first" / "calls.csv").read_text(encoding="utf-8").splitlines()[1].split(",")[1]
    spectrum = np.abs(np.fft.rfft(samples[:480]))  # the first digit's tones last 480 samples or more
    highest = np.sort(np.argsort(-spectrum)[:2]) * rate / 480
    assert rate == 8000 and np.abs(highest - real_made.TONES[number[0]]).max() < 20


def share(right, n):
    return {"value": right / n, "low": 0.0, "high": 1.0, "right": right, "n": n}


def test_of_the_report_on_agreement_all_pairs_and_those_with_misleading_nouns_are_kept():
    def row(name, ours, theirs, n):
        return {"name": name, "network": share(ours, n), "last noun": share(theirs, n), "gradient_at_the_subject": 0.5}

    document = {
        "all": row("all", 70, 90, 100),
        "by_misleading": [row("0", 54, 90, 90), row("1", 12, 0, 8), row("2", 2, 0, 2)],
    }
    document["by_misleading"][1]["network"] = share(6, 8)
    assert real_sequences.agreed(document) == {
        "network": {"agreement": 0.7, "agreement_if_misled": 0.8},
        "last noun": {"agreement": 0.9, "agreement_if_misled": 0.0},
    }


@pytest.mark.slow
def test_a_model_is_asked_by_evaluate_and_the_answers_stand_beside_its_metrics(tmp_path):
    lines = [f"{'ab'[k % 2] * (k % 3 + 1)},{'ab'[k % 2]}" for k in range(60)]
    (tmp_path / "made.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    asked = real_task.Asked(
        lambda data, made: {"paths": [data / "made.csv"]},
        lambda document: {"network": {"rows": 1.0 * len(document["metrics"])}, "majority": {"rows": 0.0}},
    )
    task = real_task.RealTask(
        "made", "Made", lambda data, made: {"paths": [data / "made.csv"], "text": "text", "target": "label"},
        1.0, 1, (real_task.Aim("rows", 1.0),), (), asked=asked,
    )  # fmt: skip
    found = results.trained(task, 0, tmp_path, tmp_path, {"updates": 2, "threads": 1})
    assert found["metrics"]["rows"] >= 2 and found["baselines"]["majority"]["rows"] == 0.0
    assert found["asked"] == "ostinato evaluate MODEL made.csv"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["captions", "tones"])
def test_made_tasks_run_beside_torch_and_are_on_the_page(name, monkeypatch, tmp_path):
    made = {"captions": real_made.scenes, "tones": real_made.calls}[name]
    task = replace(BY_NAME[name], given=lambda data, folder: made(data, folder, 60))
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    words = ["--data", str(tmp_path), "--updates", "2", "--seeds", "1", "--threads", "1", "--twin-updates", "1"]
    results.run(task, results.arguments(words))
    found = json.loads((tmp_path / "records" / f"{name}.json").read_text(encoding="utf-8"))
    assert task.aims[0].metric in found["runs"][0]["metrics"] and found["torch"]["updates"] == 1
    assert f"| {name}, {task.aims[0].metric.replace('_', ' ')}" in results_page.page({name: found})


def test_the_options_of_the_comparison_are_those_of_the_command(tmp_path):
    (tmp_path / "made.tsv").write_text("".join(f"{k % 3}\t{'ab' * (k % 4 + 1)}\n" for k in range(40)), encoding="utf-8")
    given = {"paths": [tmp_path / "made.tsv"], "columns": "kind,name", "text": "name", "target": "kind"}
    made = torch_twin.options_given({**given, "task": "classify", "threads": 1})
    assert tuple(made.data.columns) == ("kind", "name") and made.fit.threads == 1 and made.network.cell == "gru"
