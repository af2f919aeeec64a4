"""The benchmark of the foresight: its sets of runs, its rules on runs whose answer is known, its savings by hand."""

import math
from dataclasses import replace

import foresight
import foresight_picture
import foresight_rules
import foresight_runs
import foresight_savings
import numpy as np
import pytest

from ostinato.apps.lab import Case, Result
from ostinato.apps.lab.early import Moment
from ostinato.apps.lab.experiment import Reach
from ostinato.lens.live import early

BEFORE = Moment(0, 9, 0.5, 0.1, 0.2, 0.1, 1.0, 0.7, 0.5, 0.1, 1.0, 0.5, 0.1, 1.0)


def run(task="adding", lag=10, bridged=True, error=0.0, updates=500, seconds=60.0, **measured):
    result = Result(bridged, error, updates, seconds, 8, 100, Reach(9, 9, 0.5, 0.1))
    return foresight_runs.Run(Case(task, lag, "gru", "torch", 0), result, (replace(BEFORE, **measured),) * 3)


def test_the_test_set_shares_no_seed_and_no_lag_with_the_runs_that_rules_are_chosen_on():
    chosen, test = foresight_runs.chosen_cases(), foresight_runs.test_cases()
    assert (len(chosen), len(test)) == (136, 192) == (len(set(chosen)), len(set(test)))
    assert {case.seed for case in chosen} == {0} and {case.seed for case in test} == {1, 2}
    assert {case.lag for case in chosen} == {10, 30, 100} and {case.lag for case in test} == {20, 60}
    assert {case.task for case in chosen} == {case.task for case in test}
    assert {case.variant for case in chosen} == {case.variant for case in test}


def test_a_measure_that_knows_the_answer_is_perfect_and_one_that_contradicts_it_is_the_reverse():
    runs = [
        run(task, lag, updates=100 * lag, loss=lag / 100, ratio=0.1**lag)
        for task in ("adding", "reber", "copy")
        for lag in (2, 3, 4, 5)
    ]
    for name in ("gradient ratio, before", "loss, 1 to 2 %", "lag alone"):
        scores = foresight_rules.left_out(runs, [name], foresight_rules.table(runs, [name]))
        found = foresight_rules.judged(runs, scores)
        assert found.together == pytest.approx(1.0)
        assert found.by_task == {task: pytest.approx(1.0) for task in ("adding", "reber", "copy")}
    scores = np.array([float(run.case.lag) for run in runs])
    assert foresight_rules.judged(runs, scores).together == pytest.approx(-1.0)


def test_the_task_that_is_judged_has_no_part_in_the_fit():
    """In the copying problem alone a small ratio means learning; judged by the other tasks it is foretold wrong."""
    runs = [run(task, lag, updates=100 * lag, ratio=0.1**lag) for task in ("adding", "reber") for lag in (2, 3, 4)]
    runs += [run("copy", lag, updates=100 * lag, ratio=0.1 ** (5 - lag)) for lag in (2, 3, 4)]
    names = ["gradient ratio, before"]
    scores = foresight_rules.left_out(runs, names, foresight_rules.table(runs, names))
    assert foresight_rules.judged(runs, scores).by_task["copy"] == pytest.approx(-1.0)


def test_a_line_through_known_points():
    values = np.array([[0.0], [1.0], [2.0], [3.0]])
    line = foresight_rules.fitted(["lag alone"], values, np.array([5.0, 6.0, 7.0, 8.0]))
    assert line.weights[0] == pytest.approx(0.25) and line.constant == pytest.approx(0.25)
    assert line.score(np.array([[4.0]]))[0] == pytest.approx(1.25)


def test_every_measure_is_a_number_where_nothing_arrives():
    one = run(ratio=0.0, share=0.0, signal=0.0, snr=0.0, probe_share=math.nan)
    known = foresight_rules.measures()
    assert all(math.isfinite(measure(one)) for measure in known.values())
    assert {name for rule in (*foresight_rules.RULES, foresight_rules.EARLY) for name in rule} <= set(known)


def test_the_early_word_of_the_lens_is_what_the_record_gives():
    runs = foresight_runs.read(foresight_runs.CHOSEN_ON)
    line = foresight_rules.line_of(runs, foresight_rules.EARLY)
    fitted = (line.constant, *line.weights)
    assert fitted == pytest.approx((early.CONSTANT, early.OF_LAG, early.OF_RATIO, early.OF_LOSS), rel=2e-3)
    values = foresight_rules.table(runs, foresight_rules.EARLY)
    good = np.array([run.result.bridged for run in runs])
    assert foresight_savings.threshold(line.score(values), good, 0.02) == pytest.approx(early.SCORE_BELOW, abs=1e-3)
    one, late = runs[40], runs[40].moments[2]
    loss = (one.moments[1].loss + late.loss) / 2
    assert early.score_of(one.case.lag - 1, late.probe_ratio, loss) == pytest.approx(line.score(values)[40], abs=3e-3)


def test_savings_worked_out_by_hand():
    runs = [run(), run(), run(bridged=False, error=0.1, updates=2500, seconds=120.0), run(bridged=False, updates=2500)]
    found = foresight_savings.savings(runs, np.array([True, False, True, False]))
    assert (found.hopeless, found.stopped, found.good, found.lost) == (2, 1, 2, 1)
    assert (found.minutes, found.minutes_hopeless) == (5.0, 3.0)
    assert found.saved == pytest.approx(2.0 * 0.98)
    assert (found.lost_share, found.saved_share) == (0.5, pytest.approx(1.96 / 3))


def test_seconds_are_those_of_the_machine_of_other_runs():
    recorded = [run(lag=10, updates=100, seconds=s) for s in (1.0, 2.0, 9.0)] + [run(lag=30, updates=100, seconds=4.0)]
    found = foresight_savings.at_speed_of(recorded, [run(lag=20, updates=1000, seconds=500.0)])
    assert found[0].result.seconds == pytest.approx(1000 * 0.03)


def test_a_threshold_loses_no_more_than_it_may():
    scores, good = np.array([1.0, 2.0, 3.0, 4.0, 0.0]), np.array([True, True, True, True, False])
    assert foresight_savings.threshold(scores, good, 0.0) == 1.0
    assert foresight_savings.threshold(scores, good, 0.25) == 2.0
    assert foresight_savings.threshold(scores, good, 0.49) == 2.0
    assert foresight_savings.threshold(scores, ~good & (scores > 9), 0.0) == -math.inf


def test_the_page_has_what_the_records_give():
    chosen = foresight_runs.read(foresight_runs.CHOSEN_ON)
    test = foresight_savings.at_speed_of(chosen, foresight_runs.read(foresight_runs.TEST))
    page = (foresight.DOCS / "lab-lag.md").read_text(encoding="utf-8")
    first, second = foresight.correlations(chosen, test), foresight.trade_off(chosen, test)
    assert len(first) == len(foresight_rules.RULES) + 2 and len(second) == len(foresight.LOST) + 2
    assert "\n".join(first) in page and "\n".join(second) in page
    assert {(run.case.lag, run.case.seed) for run in test} <= {(20, 1), (60, 1), (20, 2), (60, 2)}


def test_the_picture_is_drawn():
    runs = [run(task, lag, lag < 30, 0.1) for task in ("adding", "reber", "copy") for lag in (10, 20, 30)]
    left, right = foresight_picture.foresight_picture(runs, runs).axes
    assert len(left.get_legend().get_texts()) == 4 and len(right.get_legend().get_texts()) == 3


def test_a_run_without_measurements_is_named(tmp_path, monkeypatch):
    measured = tmp_path / "foresight.jsonl"
    measured.write_text("", encoding="utf-8")
    monkeypatch.setattr(foresight_runs, "MEASURED", measured)
    with pytest.raises(SystemExit, match="foresight.jsonl lacks adding at lag 10, .*; python benchmarks/foresight.py"):
        foresight_runs.read(foresight_runs.CHOSEN_ON)
