"""The table, the closing sentence and the exit status of a training."""

import dataclasses

from ostinato.program.commands.closing import document, outcome_text, text_table
from ostinato.program.running.outcome import Gain, Outcome, Scored, signed, table_of
from ostinato.program.tasks.task import Metric


def scored(name, value, *, trivial=False, without_order=False, metric="accuracy", higher=True):
    return Scored(name, [Metric(metric, value, value - 0.02, value + 0.02, 400, higher)], trivial, without_order)


def outcome(low, high, *, of_trivial=0.1, without_order=False):
    baselines = [scored("majority", 0.5, trivial=True), scored("naive Bayes", 0.8, without_order=without_order)]
    gains = [Gain("majority", 0.3, of_trivial, 0.5), Gain("naive Bayes", (low + high) / 2, low, high)]
    return Outcome(baselines, scored("gru", 0.82), gains, 400)


def test_a_gain_over_the_best_baseline_is_said_with_its_interval():
    expected = (
        "The network gains 2.0 points of accuracy over the best baseline, naive Bayes (95 % interval +1.0 to +3.0)."
    )
    assert outcome(0.01, 0.03).sentence() == expected


def test_one_row_is_said_in_the_singular():
    one = dataclasses.replace(outcome(-0.01, 0.03), n=1).sentence()
    assert one.startswith("On 1 row the network is not certainly better than naive Bayes")


def test_no_certain_gain_is_said_and_that_order_matters_little():
    said = outcome(-0.01, 0.03, without_order=True).sentence()
    assert said.startswith(
        "On 400 rows the network is not certainly better than naive Bayes (95 % interval -1.0 to +3.0)"
    )
    assert said.endswith("the order of the steps matters little here.")


def test_a_worse_network_is_said_to_be_worse():
    assert outcome(-0.05, -0.01).sentence().startswith("The network is worse than naive Bayes by 3.0 points")


def test_the_status_is_1_where_the_gain_over_the_majority_may_be_nothing():
    assert outcome(0.01, 0.03).status == 0
    assert outcome(0.01, 0.03, of_trivial=0.0).status == 1
    assert outcome(0.01, 0.03, of_trivial=-0.01).status == 1
    assert outcome(-0.05, -0.01).status == 0  # worse than naive Bayes, better than the majority


def test_the_smallest_error_is_the_best_baseline():
    baselines = [
        scored(n, v, metric="mae", higher=False, trivial=n == "mean") for n, v in (("mean", 3.0), ("1-NN", 2.0))
    ]
    gains = [Gain("mean", 2.0, 1.5, 2.5), Gain("1-NN", 1.0, 0.5, 1.5)]
    found = Outcome(baselines, scored("gru", 1.0, metric="mae", higher=False), gains, 10)
    assert found.best_baseline.name == "1-NN"
    expected = "gains 1 of mean absolute error over the best baseline, 1-NN (95 % interval +0.5 to +1.5)"
    assert expected in found.sentence()


def test_the_table_has_baselines_first_and_the_gain_beside_each():
    lines = outcome_text(outcome(0.01, 0.03), "More time would not have helped.").splitlines()
    assert lines[0].split() == ["model", "accuracy", "network's", "gain"]
    assert lines[1].split() == ["majority", "50.0", "%", "[48.0,", "52.0]", "+30.0", "[+10.0,", "+50.0]"]
    assert lines[3].split()[0] == "gru"
    assert lines[-1] == "More time would not have helped."


def test_columns_are_of_equal_width():
    assert text_table(["a", "bb"], [["long", "1"]]) == "a     bb\nlong   1"


def test_a_document_has_null_for_what_is_not_finite():
    assert document({"a": float("nan"), "b": [1.5, float("inf")]}) == '{\n "a": null,\n "b": [\n  1.5,\n  null\n ]\n}'


def test_one_origin_gives_no_interval_and_so_no_certain_gain():
    nan = float("nan")
    network = Scored("gru", [Metric("mae", 1.0, nan, nan, 1, False)])
    naive = Scored("last value", [Metric("mae", 3.0, nan, nan, 1, False)], trivial=True)
    found = Outcome([naive], network, [Gain("last value", 2.0, nan, nan)], 1)
    assert found.status == 1
    assert found.sentence() == "1 test row gives no interval; the network's gain over last value is +2."
    assert outcome_text(found).splitlines()[1].split() == ["last", "value", "3", "+2"]


def test_what_the_task_remarks_about_the_network_follows_the_sentence():
    found = outcome(0.01, 0.03)
    remarked = dataclasses.replace(found.network, details={"remark": "It only repeats the last value."})
    said = dataclasses.replace(found, network=remarked).sentence()
    assert said == f"{found.sentence()} It only repeats the last value."


def test_where_no_test_row_counts_no_gain_is_said_and_the_table_has_a_dash():
    nothing = float("nan")
    gains = [Gain(name, nothing, nothing, nothing) for name in ("majority", "naive Bayes")]
    found = dataclasses.replace(outcome(0.01, 0.03), gains=gains)
    assert found.sentence() == "No test row counts for the accuracy, so the gain of the network is not known."
    assert [row[-1] for row in table_of(found)[1]] == ["-", "-", ""]
    assert found.status == 1


def test_a_gain_of_nothing_has_no_sign_of_minus():
    assert signed("accuracy", -1e-17) == signed("accuracy", -0.0) == "+0.0"
    assert signed("mae", -0.0) == "+0" and signed("accuracy", -0.002) == "-0.2"
