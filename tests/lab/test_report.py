"""The table of lags at a glance, from results made by hand."""

from ostinato.apps.lab import Result, Settings
from ostinato.apps.lab.experiment import Reach
from ostinato.apps.lab.predictive_value import PredictiveValue
from ostinato.apps.lab.report import markdown, overview, said

REACH = Reach(9, 9, 0.5, 0.1)
SETTINGS = Settings(tasks=("adding", "copy"), cells=("gru",), inits=("torch", "chrono"), lags=(20, 30), seeds=2)
BRIDGED = {
    ("adding", 20, "torch", 0),
    ("adding", 20, "torch", 1),
    ("adding", 30, "torch", 0),
    ("copy", 30, "chrono", 1),
}
"""The other runs of these tasks do not bridge their lag; of chrono in the copying problem seed 1 alone was run."""


def results():
    made = {}
    for case in SETTINGS.cases:
        place = case.task, case.lag, case.init, case.seed
        if place[0] == "copy" and place[2:] == ("chrono", 0):
            continue
        made[case] = Result(place in BRIDGED, 0.001 if place in BRIDGED else 0.5, 100, 1.0, 8, 100, REACH)
    return made


def test_a_lag_is_listed_where_every_seed_that_was_run_bridged_it():
    headings, rows = overview(SETTINGS, results())
    assert headings == ["cell", "first values", "adding", "copy"]
    assert rows == [["gru", "torch", "20", "–"], ["gru", "chrono", "–", "30"]]
    assert "| gru | torch | 20 | – |" in markdown(SETTINGS, results(), []).partition("Adam")[0]


def test_a_task_without_a_run_is_left_out():
    only = {case: result for case, result in results().items() if case.task == "adding"}
    assert overview(SETTINGS, only)[0] == ["cell", "first values", "adding"]


def test_the_sentence_on_correlations_names_those_that_there_are():
    nan = float("nan")
    assert said(PredictiveValue(1, nan, nan, nan, nan, nan, nan, 1)) == (
        "1 run: a rank correlation takes two or more; reach says the outcome right in 1 of 1."
    )
    assert said(PredictiveValue(136, 0.45, 0.44, 0.56, 0.61, 0.42, 0.86, 90)) == (
        "136 runs: rank correlation with how well they learn 0.45 for the gradient ratio at the lag, 0.44 for reach / "
        "lag, 0.56 for the cue's share of the gradient, 0.61 for the lag alone; with bridged or not 0.42 (at most "
        "0.86); reach says the outcome right in 90 of 136."
    )
    one_lag = said(PredictiveValue(3, 0.5, 1.0, nan, nan, nan, nan, 2))
    assert one_lag == (
        "3 runs: rank correlation with how well they learn 0.50 for the gradient ratio at the lag, 1.00 for reach / "
        "lag; no rank correlation for the cue's share of the gradient, the lag alone, bridged or not: equal in all "
        "runs, or not measured in all; reach says the outcome right in 2 of 3."
    )
    assert said(PredictiveValue(4, nan, nan, nan, nan, nan, nan, 0)).startswith(
        "4 runs: no rank correlation for the gradient ratio at the lag, reach / lag, "
    )
