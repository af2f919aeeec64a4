"""The split by time: no part's targets reach into the next part, several series are cut at one moment."""

import numpy as np
import pytest

from ostinato.program.data.time.split import part_steps
from program.data.made import options, refusal, write
from program.data.made_series import csv, data_of, days, months, ramp, sentences, wave

N = 100


def origins(data, series=None):
    """Part → (first origin, last origin, how many)."""
    examples, found = data.dataset.examples, {}
    for part, window in zip(examples.parts, examples.inputs):
        if series in (None, window.series.name):
            found.setdefault(part, []).append(window.origin)
    return {part: (min(own), max(own), len(own)) for part, own in found.items()}


def test_the_targets_of_a_part_end_before_the_next_part_begins(tmp_path):
    data = data_of(tmp_path, csv(ds=days(N), y=ramp(N)), horizon=5, valid_share=0.2, test_share=0.2)
    found = origins(data)
    assert found == {"train": (5, 55, 51), "valid": (60, 75, 16), "test": (80, 95, 16)}
    split = data.split
    assert [len(part) for part in (split.train, split.valid, split.test)] == [51, 16, 16]
    assert not split.given and not len(split.leaked)


def test_the_test_part_is_the_last_origins_whose_futures_lie_in_the_file(tmp_path):
    content = csv(ds=months(144), y=wave(144, 12, 0.5))
    data = data_of(tmp_path, content, horizon=12, origins=36)
    found = origins(data)
    assert found["test"] == (97, 132, 36)
    # 144 · 0.1 = 14 steps hold 3 origins of 12 steps, so that the part is 23 steps, which hold 12
    assert found["valid"] == (74, 85, 12)
    assert found["train"] == (12, 62, 51)


def test_a_share_of_whole_rows_is_exact(tmp_path):
    """The split of the ETT literature: 12, 4 and 4 of 20 months, here of 20 days each."""
    data = data_of(tmp_path, csv(ds=days(400), y=ramp(400)), horizon=4, valid_share=0.2, test_share=0.2)
    found = origins(data)
    assert found["train"][1] == 240 - 4 and found["valid"] == (240, 316, 77) and found["test"] == (320, 396, 77)


@pytest.mark.parametrize(
    "share, steps, horizon, part",
    [
        (0.1, 1_000, 5, 100),
        (0.1, 144, 12, 23),
        (0.1, 50, 12, 12),
        (0.1, 100, 1, 10),
        (0.2, 14_400, 96, 2_880),
        (0, 100, 5, 0),
    ],
)
def test_a_part_holds_its_share_or_at_least_some_origins(share, steps, horizon, part):
    assert part_steps(share, steps, horizon) == part


def test_several_series_are_cut_at_one_moment(tmp_path):
    names = ["a"] * 100 + ["b"] * 60 + ["c"] * 80
    times = days(100) + days(60, "2020-02-10") + days(80)
    data = data_of(tmp_path, csv(unique_id=names, ds=times, y=ramp(240)), horizon=5, valid_share=0.2, test_share=0.2)
    examples = data.dataset.examples
    first = {}
    for part, window in zip(examples.parts, examples.inputs):
        moment = window.times[window.length].astype("M8[D]")
        first[part] = min(first.get(part, moment), moment)
        end = window.times[-1].astype("M8[D]").astype(str)
        assert end < {"train": "2020-03-01", "valid": "2020-03-21", "test": "2020-04-10"}[part]
    assert {part: str(moment) for part, moment in first.items()} == {
        "train": "2020-01-06",
        "valid": "2020-03-01",
        "test": "2020-03-21",
    }
    assert origins(data, "a")["test"] == (80, 95, 16) and origins(data, "b")["test"] == (40, 55, 16)
    assert "test" not in origins(data, "c") and origins(data, "c")["valid"] == (60, 75, 16)


def test_a_column_gives_the_split_and_rows_of_no_part(tmp_path):
    parts = ["train"] * 50 + ["valid"] * 15 + ["test"] * 15 + [None] * 10 + ["unused"] * 10
    data = data_of(tmp_path, csv(ds=days(N), y=ramp(N), split=parts), horizon=5)
    assert origins(data) == {"train": (5, 45, 41), "valid": (50, 60, 11), "test": (65, 75, 11)}
    assert "20 steps of no part of the split." in data.dataset.notes


def test_a_gap_between_parts_is_no_leak(tmp_path):
    content = csv(ds=days(60) + days(40, "2020-03-06"), y=ramp(N), split=["0"] * 60 + ["1"] * 20 + ["2"] * 20)
    data = data_of(tmp_path, content, horizon=5)
    assert origins(data)["valid"] == (65, 80, 16) and origins(data)["test"] == (85, 100, 16)


def test_files_continue_the_series_in_time(tmp_path):
    from ostinato.program.data.found import read_data

    content = csv(ds=days(N), y=ramp(N)).splitlines(keepends=True)
    files = [
        write(tmp_path, f"{name}.csv", content[0] + "".join(content[1 + a : 1 + b]))
        for name, a, b in (("train", 0, 60), ("valid", 60, 80), ("test", 80, 100))
    ]
    data = read_data(options(files[0], valid=files[1], test=files[2], horizon=5))
    assert origins(data) == {"train": (5, 55, 51), "valid": (60, 75, 16), "test": (80, 95, 16)}
    assert data.dataset.examples.inputs[0].series.values[:, 0].tolist() == ramp(N)
    assert data.dataset.examples.origins[-1].file == "test.csv" and data.dataset.examples.origins[-1].row == 16
    data = read_data(options(files[0], test=files[2], horizon=5))
    assert origins(data)["test"] == (81, 95, 15)  # the origin 80 has no value before it: the file between is missing
    assert sum(len(part) for part in (data.split.train, data.split.valid)) > 0


def test_a_validation_part_that_is_not_given_is_the_end_of_the_training_part(tmp_path):
    content = csv(ds=days(N), y=ramp(N), split=["train"] * 80 + ["test"] * 20)
    data = data_of(tmp_path, content, horizon=5, valid_share=0.25)
    assert origins(data) == {"train": (5, 55, 51), "valid": (60, 75, 16), "test": (80, 95, 16)}


def test_a_part_without_an_origin_is_a_finding(tmp_path):
    data = data_of(tmp_path, csv(ds=days(N), y=ramp(N), split=["0"] * 60 + ["1"] * 37 + ["2"] * 3), horizon=5)
    assert sentences(data)["The part test has no rows."] == ("warning", 0)
    data = data_of(tmp_path, csv(ds=days(20), y=ramp(20)), horizon=8)
    assert sentences(data)["The part train has no rows."] == ("error", 0)


AFTER = "A forecast is judged on times after those of its training."


@pytest.mark.parametrize(
    "parts, named, message",
    [
        (
            ["test"] * 20 + ["train"] * 80,
            {},
            "split: the parts must be after each other in time: train, valid, test, got test from 2020-01-01 on, and "
            f"an earlier part up to 2020-04-09. {AFTER}",
        ),
        (
            ["train", "valid"] * 50,
            {},
            "split: the parts must be after each other in time: train, valid, test, got valid from 2020-01-02 on, and "
            f"an earlier part up to 2020-04-08. {AFTER}",
        ),
        (
            ["fold"] * 100,
            {},
            "a.csv: the column split must be train, valid or test (or 0, 1, 2), or empty where a row is in none, got "
            "'fold'. Correct it, or rename the column if it is none.",
        ),
        (
            ["train"] * 80 + ["test"] * 20,
            {"origins": 3},
            "a.csv: the split must be given once, got a column split and --origins. Leave out the others, or rename "
            "the column.",
        ),
    ],
)
def test_splits_that_no_forecast_can_have_are_refused(tmp_path, parts, named, message):
    assert refusal(tmp_path, "a.csv", csv(ds=days(N), y=ramp(N), split=parts), horizon=5, **named) == message


def test_without_a_horizon_one_season_or_a_tenth_is_forecast(tmp_path):
    data = data_of(tmp_path, csv(ds=months(144), y=wave(144, 12)), target="y")
    assert data.dataset.options.horizon == 12
    assert "One season, 12 steps, is forecast; --horizon gives another number." in data.dataset.notes
    data = data_of(tmp_path, csv(ds=days(N), y=np.random.default_rng(0).normal(size=N)), target="y")
    assert data.dataset.options.horizon == 10
    assert "10 steps, a tenth of the series, are forecast; --horizon gives another number." in data.dataset.notes


def test_the_split_of_a_file_does_not_depend_on_rows_before_its_parts(tmp_path):
    """More history leaves the test origins where they were."""
    long, short = csv(ds=days(N), y=ramp(N)), csv(ds=days(N)[20:], y=ramp(N)[20:])
    ends = [
        [w.times[w.length] for p, w in zip(e.parts, e.inputs) if p == "test"]
        for e in (data_of(tmp_path, text, horizon=5, origins=7).dataset.examples for text in (long, short))
    ]
    assert ends[0] == ends[1] and len(ends[0]) == 7
