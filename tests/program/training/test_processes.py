"""A fit that several processes share: the same updates as one process's, decisions that agree, and lost ranks."""

import pytest

from program.training.in_ranks import run_jobs
from program.training.rank_jobs import KINDS

pytestmark = [pytest.mark.slow]
JOBS = {
    "steps": 2, "steps of three": 3, "fits": 2, "resumed_streams": 2, "shared_predictions": 2, "other_weights": 2,
    "other_rows": 3, "error_of_one": 3, "dies": 3, "gone_before": 2, "agreed": 2, "not_finite": 2,
}  # fmt: skip
"""Name → ranks. A name's first words are the function of `rank_jobs`."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What every rank of every job ended with."""
    jobs = [{"name": name, "function": name.split()[0], "size": size} for name, size in JOBS.items()]
    return run_jobs(tmp_path_factory.mktemp("ranks"), jobs)


def result(ended, name):
    """What rank 0 of a job found; no rank may have failed."""
    assert [rank.status for rank in ended[name]] == [0] * JOBS[name], ended[name]
    return ended[name][0].result


@pytest.mark.parametrize("name", ["steps", "steps of three"])
def test_a_global_step_and_ten_of_sgd_are_those_of_one_process_for_all_tasks(ended, name):
    """Shards are ragged, 7 rows or streams for 2 or 3 ranks, and empty with 1 row."""
    found = result(ended, name)
    assert len(found) == 2 * len(KINDS)
    worst = {kind: max(errors) for kind, errors in found.items()}
    assert max(worst.values()) < 1e-4, worst
    assert max(errors[0] for errors in found.values()) > 0  # another order of sums: two computations were compared


def test_two_fits_of_one_world_size_have_one_hash_on_every_rank(ended):
    first, second = result(ended, "fits")["twice"]
    assert first == second and first[1:3] == [24, "updates"]
    assert [rank.result["twice"] for rank in ended["fits"]] == [[first, first]] * 2


def test_all_ranks_plan_and_stop_by_the_clock_of_rank_0(ended):
    """The clock of rank 1 runs three times as fast, so that it alone would plan and stop otherwise."""
    result(ended, "fits")
    plans = [rank.result["minutes"] for rank in ended["fits"]]
    assert plans[0] == plans[1] and plans[0][2] in ("updates", "minutes") and plans[0][1] > 5


def test_all_ranks_stop_at_one_update_where_one_is_interrupted(ended):
    result(ended, "fits")
    for rank in ended["fits"]:
        assert rank.result["interrupted"][1:3] == [8, "interrupted"]


def test_streams_are_resumed_by_every_rank_with_its_own_states(ended):
    for whole, again in result(ended, "resumed_streams"):
        assert whole == again


def test_predictions_that_ranks_share_have_the_bits_of_one_process(ended):
    found = result(ended, "shared_predictions")
    assert len(found) == len(KINDS) and all(found.values()), found


def test_ranks_that_begin_with_other_weights_or_rows_are_refused_once(ended):
    for name, what, whose in (("other_weights", "first weights", 1), ("other_rows", "training rows", 2)):
        message = (
            f"fit: the {what} must be the same on all ranks, got others on rank {whose}. "
            "Give every machine the same files, options, versions and kind of processor."
        )
        assert f"InputError('{message}')" in ended[name][0].err
        assert [(rank.status, rank.err) for rank in ended[name][1:]] == [(2, "")] * (JOBS[name] - 1)


def test_the_error_of_one_rank_is_said_once_by_rank_0(ended):
    message = (
        "ostinato train: rank 1 of 3 must be running, got its end with the error "
        "'data: the file must be there, got none'. Start the same torchrun command again."
    )
    said = [rank.err for rank in ended["error_of_one"]]
    assert message in said[0] and said[1:] == ["", ""]


def test_a_loss_of_one_rank_that_is_not_finite_ends_all_at_one_update(ended):
    first, second = ended["not_finite"]
    assert "NotFiniteError('fit: the loss at update 4 must be finite, got nan. Lower --learning-rate" in first.err
    assert (second.status, second.err) == (2, "")


def test_a_rank_that_dies_ends_the_others_with_a_sentence(ended):
    message = (
        "ostinato train: rank 1 of 3 must be running, got no answer: its process has ended, or its machine cannot be "
        "reached. Go on with the same torchrun and `-m ostinato train --resume model`."
    )
    first, second, third = ended["dies"]
    assert message in first.err and second.status == -9 and (third.status, third.err) == (2, "")


def test_a_rank_that_died_is_noticed_without_waiting_for_it(ended):
    message = (
        "ostinato train: rank 1 of 2 must be running, got its end: the process is gone. "
        "Start the same torchrun command again."
    )
    assert message in ended["gone_before"][0].err


def test_values_of_any_size_and_kind_are_agreed_on_and_gathered(ended):
    expected = [5000, [0.0, 1.0, 2.0], True, [0, True]]
    assert result(ended, "agreed") == [*expected, [[0, [0, 2]], [1, [1, 2]]]]
    assert ended["agreed"][1].result == [*expected, None]
